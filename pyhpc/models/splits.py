"""Folds: which rows are predicted by a model that has not seen them.

Folds are made once, as an array, and used by every experiment that is to be compared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Folds:
    """Assignment of rows to folds.

    Attributes
    ----------
    name : str
        Scheme and seed, such as ``"random, seed 42"``.
    assignment : array, shape (n_rows,), int64
        Fold in which the row is predicted; -1: in none, it is trained on in all.
    """

    name: str
    assignment: NDArray[np.int64]

    def __post_init__(self) -> None:
        present = np.unique(self.assignment[self.assignment >= 0])
        if len(present) == 0 or present[-1] != len(present) - 1:
            raise ValueError("folds are numbered from 0 without gaps, and there is one at least")
        self.assignment.flags.writeable = False

    def __len__(self) -> int:
        return int(self.assignment.max()) + 1

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        return (self.rows(fold) for fold in range(len(self)))

    def rows(self, fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows to train on and rows to predict in a fold, both ascending."""
        tested = self.assignment == fold
        return np.flatnonzero(~tested), np.flatnonzero(tested)

    @property
    def digest(self) -> str:
        """SHA-256 of the assignment: equal for equal folds, on any machine."""
        return hashlib.sha256(self.assignment.astype("<i8").tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folds) and np.array_equal(self.assignment, other.assignment)

    def __hash__(self) -> int:
        return hash(self.digest)


def random_folds(n_rows: int, n_folds: int = 5, seed: int = 42) -> Folds:
    """Random folds, equal to ``sklearn.model_selection.KFold(n_folds, shuffle, seed)``.

    Parameters
    ----------
    n_rows, n_folds, seed : int
        The first ``n_rows % n_folds`` folds have a row more than the others.

    Raises
    ------
    PyhpcError
        If there are fewer rows than folds.
    """
    _check_size(n_rows, n_folds, "rows")
    # The generator of KFold, whose stream is frozen: published folds depend on it.
    order = np.random.RandomState(seed).permutation(n_rows)
    assignment = np.empty(n_rows, dtype=np.int64)
    for fold, rows in enumerate(np.array_split(order, n_folds)):
        assignment[rows] = fold
    return Folds(f"random, seed {seed}", assignment)


def repeated(make: Callable[[int], Folds], seeds: Sequence[int]) -> list[Folds]:
    """Make the same kind of folds with several seeds, ``make(seed)`` each."""
    return [make(seed) for seed in seeds]


def connected_groups(
    keys: Sequence[Sequence[str | None]], separators: Sequence[str | None] | None = None
) -> NDArray[np.int64]:
    """Group rows that share a key, directly or through other rows.

    Parameters
    ----------
    keys : sequence of columns
        Each a sequence of n_rows texts. A missing or empty text links nothing.
    separators : sequence of str or None, optional
        For each column, what separates several keys in one text, such as ``"|"``; None: each
        text is one key.

    Returns
    -------
    array, shape (n_rows,), int64
        Connected component of each row, numbered in the order of their first rows.
    """
    parents = np.arange(len(keys[0]) if keys else 0)

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = int(parents[row])
        return row

    for column, separator in zip(keys, separators or [None] * len(keys), strict=True):
        first: dict[str, int] = {}
        for row, text in enumerate(column):
            for part in (text or "").split(separator) if separator else [text or ""]:
                key = part.strip()
                if key:
                    a, b = root(first.setdefault(key, row)), root(row)
                    parents[max(a, b)] = min(a, b)
    roots = np.array([root(row) for row in range(len(parents))], dtype=np.int64)
    # A root is the first row of its group, so that sorted roots are in the order of the rows.
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def grouped_folds(groups: ArrayLike, n_folds: int = 5, seed: int = 42) -> Folds:
    """Folds that keep groups whole: the largest first, each into the smallest fold.

    Parameters
    ----------
    groups : array, shape (n_rows,)
        Group of each row: integers or text.
    n_folds : int
        Number of folds.
    seed : int
        Draws the order of equally large groups and of equally small folds.

    Raises
    ------
    PyhpcError
        If there are fewer groups than folds.
    """
    _, members, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    _check_size(len(sizes), n_folds, "groups")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(sizes))
    fold_of = np.empty(len(sizes), dtype=np.int64)
    filled = np.zeros(n_folds, dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[group] = generator.choice(np.flatnonzero(filled == filled.min()))
        filled[fold_of[group]] += sizes[group]
    return Folds(f"grouped, seed {seed}", fold_of[members])


def leave_one_out_folds(clusters: Sequence[object], min_size: int = 1) -> Folds:
    """One fold per cluster: each is predicted from all others.

    Parameters
    ----------
    clusters : sequence, length n_rows
        Cluster of each row. Rows of a missing (None or empty) cluster, and those of a cluster with
        fewer than ``min_size`` rows, are trained on always and predicted never.
    min_size : int
        Rows from which a cluster is a fold.

    Raises
    ------
    PyhpcError
        If fewer than two clusters are large enough.
    """
    names = np.array(["" if cluster is None else str(cluster) for cluster in clusters])
    values, members, sizes = np.unique(names, return_inverse=True, return_counts=True)
    usable = (sizes >= min_size) & (values != "")
    _check_size(int(usable.sum()), 2, "clusters")
    number = np.where(usable, np.cumsum(usable) - 1, -1)
    return Folds("leave one cluster out", number[members].astype(np.int64))


def stratified_folds(
    factors: Sequence[Sequence[object]], n_folds: int = 5, seed: int = 42
) -> Folds:
    """Folds that are alike in several factors at once, whose strata may be rare.

    The rows are sorted by all factors, at random within a stratum, and dealt out along this order:
    each stratum is shared by largest remainder, and what is over is carried to the next, which
    differs from it in the last factor first. So put the most important factor first. The folds'
    sizes are exact, and strata of one row are no trouble.

    Parameters
    ----------
    factors : sequence of columns
        Each a sequence of n_rows values; numbers have to be binned first.
    n_folds, seed : int
        Number of folds; seed of the order within strata and of the folds' numbers.

    Raises
    ------
    PyhpcError
        If there are fewer rows than folds.
    """
    n_rows = len(factors[0]) if factors else 0
    _check_size(n_rows, n_folds, "rows")
    parts = np.full(n_folds, 1.0 / n_folds)
    return Folds(f"stratified, seed {seed}", deal(factors, parts, seed))


def deal(
    factors: Sequence[Sequence[object]], fractions: ArrayLike, seed: int = 42
) -> NDArray[np.int64]:
    """Deal rows into parts of given sizes that are alike in several factors.

    Parameters
    ----------
    factors : sequence of columns
        As in :func:`stratified_folds`.
    fractions : array, shape (n_parts,)
        Size of each part; they sum to 1. What rounding leaves over goes by largest remainder.
    seed : int
        Of the order within strata.

    Returns
    -------
    array, shape (n_rows,), int64
        Part of each row.
    """
    generator = np.random.default_rng(seed)
    codes = [np.unique([str(value) for value in f], return_inverse=True)[1] for f in factors]
    n_rows = len(codes[0])
    order = np.lexsort([generator.permutation(n_rows), *reversed(codes)])
    shares = np.asarray(fractions, dtype=np.float64) * n_rows
    sizes = np.floor(shares).astype(np.int64)
    over = n_rows - int(sizes.sum())
    turns = generator.permutation(len(sizes))
    sizes[turns[np.argsort((sizes - shares)[turns], kind="stable")[:over]]] += 1
    # Part p takes its j-th row as near as can be to (j + 1/2) / size_p of the way along the order:
    # every stretch of the order, so every stratum, holds each part in proportion.
    slots = np.concatenate([(np.arange(sizes[p]) + 0.5) / sizes[p] for p in turns])
    owners = np.repeat(turns, sizes[turns])
    parts = np.empty(n_rows, dtype=np.int64)
    parts[order] = owners[np.argsort(slots, kind="stable")]
    return parts


def target_tail_folds(values: ArrayLike, share: float = 0.1) -> Folds:
    """Two folds that ask for extrapolation: the lowest and the highest targets.

    Each tail is predicted by a model that has seen no target beyond it, nor any in it; the rows
    between are trained on always and predicted never.

    Parameters
    ----------
    values : array, shape (n_rows,)
        Targets.
    share : float
        Part of the rows in each tail, above 0 and at most 0.4. Rows whose target equals one at
        the inner end of a tail belong to it.

    Raises
    ------
    PyhpcError
        If the share is out of range, or the tails meet.
    """
    if not 0 < share <= 0.4:
        raise PyhpcError(f"tails of {share} of the rows are out of range", "Take 0.01 to 0.4.")
    numbers = np.asarray(values, dtype=np.float64)
    ascending = np.sort(numbers)
    n_tail = max(1, round(share * len(numbers))) if len(numbers) else 0
    if 2 * n_tail >= len(numbers) or ascending[n_tail - 1] >= ascending[-n_tail]:
        raise PyhpcError(
            "the lowest and the highest targets are the same", "Take a smaller share, or more rows."
        )
    low, high = numbers <= ascending[n_tail - 1], numbers >= ascending[-n_tail]
    return Folds("target tails", np.select([low, high], [0, 1], -1).astype(np.int64))


def share_deviations(folds: Folds, factor: Sequence[object]) -> NDArray[np.float64]:
    """How far each fold is from the whole in the shares of a factor's levels.

    Parameters
    ----------
    folds : Folds
        Assignment.
    factor : sequence, length n_rows
        Level of each row.

    Returns
    -------
    array, shape (n_folds,)
        Largest difference, over the levels, between the share among the fold's rows and that
        among all rows that are in a fold; 0 if the fold is just like the whole.
    """
    inside = folds.assignment >= 0
    codes = np.unique([str(value) for value in factor], return_inverse=True)[1]
    n_levels = int(codes.max()) + 1
    counts = np.zeros((len(folds), n_levels))
    np.add.at(counts, (folds.assignment[inside], codes[inside]), 1)
    whole = counts.sum(axis=0) / counts.sum()
    shares = counts / counts.sum(axis=1, keepdims=True)
    deviations: NDArray[np.float64] = np.abs(shares - whole).max(axis=1)
    return deviations


def _check_size(found: int, needed: int, things: str) -> None:
    if needed < 2 or found < needed:
        raise PyhpcError(
            f"{found} {things} cannot make {needed} folds", "Ask for fewer folds, and at least 2."
        )
