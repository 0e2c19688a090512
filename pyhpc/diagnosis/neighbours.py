"""Are rows that were predicted near to rows that the model was fitted to, or the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.diagnosis.check import Check, Verdict
from pyhpc.diagnosis.flattery import flattery
from pyhpc.diagnosis.statistics import rank_correlation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pyhpc.diagnosis.sample import Sample

_COMPONENTS = 32
"""Principal components that distances are taken in: the nearest row is found in a few of them."""

_MOST_ROWS = 10_000
_MOST_DISTANCES = 2_000_000_000
_BLOCK = 512
_CLIP = 6.0
"""Standard deviations beyond which a feature's values are the same for distances."""

_TWIN = 0.01
"""Share of the typical distance between two rows below which they are twins."""

_SURE = 1e-3


@dataclass(frozen=True, eq=False)
class Training:
    """Rows that the model was fitted to, where the folds do not say.

    Attributes
    ----------
    features : dict of str to array, shape (n_training,)
        Of the same names as the features of the sample.
    truth : array, shape (n_training,), or None
        What the model was fitted to.
    ids : frozenset of str
        Names of the rows.
    compositions : frozenset of str
        Of the rows, by the names that :func:`pyhpc.diagnosis.formulas.composition` gives.
    """

    features: Mapping[str, NDArray[np.float64]]
    truth: NDArray[np.float64] | None
    ids: frozenset[str]
    compositions: frozenset[str]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest training row of each row.

    Attributes
    ----------
    rows : array, shape (n,), int64
        Rows of the sample that were looked at.
    distance : array, shape (n,), float64
        To the nearest training row, in units of the median distance between two rows.
    truth : array, shape (n,), or None
        Truth of that row.
    """

    rows: NDArray[np.int64]
    distance: NDArray[np.float64]
    truth: NDArray[np.float64] | None


def find_neighbours(sample: Sample, training: Training | None, seed: int) -> Neighbours | None:
    """Find the nearest training row of each row, in standardized features.

    Beyond 10,000 rows, so many are drawn; beyond 2e9 pairs, fewer.

    Parameters
    ----------
    sample : Sample
        With features, and with folds unless ``training`` is given.
    training : Training, optional
        The rows to look among; without it, those of the other folds.
    seed : int
        Of what is drawn.

    Returns
    -------
    Neighbours or None
        None where neither says what the training rows are, or no feature varies.
    """
    names = [n for n in sample.features if training is None or n in training.features]
    if not names or (training is None and sample.folds is None):
        return None
    inner = np.column_stack([sample.features[name] for name in names])
    others = inner if training is None else np.column_stack([training.features[n] for n in names])
    places, other_places = _embed(inner, others)
    if places.shape[1] == 0 or len(other_places) == 0:
        return None
    generator = np.random.default_rng(seed)
    rows = np.arange(len(sample))
    most = min(_MOST_ROWS, max(100, _MOST_DISTANCES // len(others)))
    if len(rows) > most:
        rows = np.sort(generator.choice(len(rows), most, replace=False))
    folds = None if training is not None else sample.folds
    if folds is not None and folds.min() == folds.max():
        return None
    nearest, distance = _nearest(places[rows], other_places, folds, rows)
    first, second = generator.integers(len(other_places), size=(2, 2000))
    apart = np.linalg.norm(other_places[first] - other_places[second], axis=1)
    unit = float(np.median(apart[first != second])) or 1.0
    known = sample.truth if training is None else training.truth
    return Neighbours(rows, distance / unit, None if known is None else known[nearest])


def neighbours_check(
    sample: Sample, neighbours: Neighbours | None, training: Training | None
) -> Check:
    """Judge what near training rows do for the score.

    Twins alone are no fault; they are one when errors are smaller for rows that have them, for
    then the score is that of looking rows up.
    """
    title = "Leaks between training and test rows"
    repeated = sum(name in training.ids for name in sample.ids) if training is not None else 0
    numbers: dict[str, Any] = {"rows_in_training": repeated}
    text: list[str] = []
    advice: list[str] = []
    verdict = Verdict.FINE
    if repeated:
        share = repeated / len(sample)
        verdict = Verdict.SERIOUS if share > 0.05 else Verdict.WATCH
        text.append(
            f"{repeated:,} of {len(sample):,} rows ({100 * share:.0f} %) are themselves among the "
            "training rows."
        )
        advice.append("Take them out of one of the two, and judge again.")
    if neighbours is None:
        text = text or ["No training rows with the same features are known."]
        return Check("neighbours", title, verdict, text, advice, numbers)
    found, said = _judge(sample, neighbours, numbers)
    text.append(said)
    if found is not Verdict.FINE:
        advice.append(
            "Keep rows of one composition, structure type or paper in one fold (grouped folds), "
            "remove duplicates, and report the score without twins."
        )
    verdict = min(verdict, found, key=lambda v: v.rank)
    if (ratio := numbers.get("neighbour_rmse_ratio", np.inf)) <= 1:
        text.append(
            "The truth of the nearest training row is as good a prediction: its RMSE is "
            f"{ratio:.2f} of the model's."
        )
    return Check("neighbours", title, verdict, text, advice, numbers)


def _judge(sample: Sample, neighbours: Neighbours, numbers: dict[str, Any]) -> tuple[Verdict, str]:
    """Verdict on twins and distances, with what to say; the figures go to ``numbers``."""
    truth, prediction = sample.truth[neighbours.rows], sample.prediction[neighbours.rows]
    error = np.abs(prediction - truth)
    twins = neighbours.distance < _TWIN
    share = float(twins.mean())
    rho, p_value = rank_correlation(neighbours.distance, error)
    numbers |= {
        "rows": len(truth),
        "twins": int(twins.sum()),
        "median_distance": float(np.median(neighbours.distance)),
        "error_to_distance": rho,
        "p_value": p_value,
    }
    if neighbours.truth is not None and (rmse := _rms(error)) > 0:
        numbers["neighbour_rmse_ratio"] = _rms(neighbours.truth - truth) / rmse
    found = flattery(twins, truth, prediction)
    if found is not None:
        numbers |= found.numbers("twins")
        if found.verdict is not Verdict.FINE:
            return found.verdict, found.sentence("a twin")
    if rho > 0.3 and p_value < _SURE:
        return Verdict.WATCH, (
            f"Errors grow with the distance to the nearest training row (rank correlation "
            f"{rho:.2f}): the score holds for rows as near as these, at a median distance of "
            f"{numbers['median_distance']:.2f} of that between any two."
        )
    few = f"{100 * share:.0f} % of the rows have" if twins.any() else "No row has"
    rest = "; the score does not rest on them" if twins.any() else ""
    return Verdict.FINE, f"{few} a twin among the training rows{rest}."


def _embed(
    rows: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standardize features by the training rows, and project many of them on few components."""
    with np.errstate(invalid="ignore"):
        present = np.isfinite(others)
        count = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, others, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(present, others - mean, 0.0) ** 2).sum(axis=0) / count)
    varies = spread > 1e-12 * np.maximum(np.abs(mean), 1e-300)

    def standardized(values: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = (values[:, varies] - mean[varies]) / spread[varies]
        return np.asarray(np.clip(np.nan_to_num(scaled, nan=0.0), -_CLIP, _CLIP))

    inner, outer = standardized(rows), standardized(others)
    if inner.shape[1] > _COMPONENTS:
        vectors = np.linalg.eigh(outer.T @ outer)[1][:, -_COMPONENTS:]
        inner, outer = inner @ vectors, outer @ vectors
    return inner, outer


def _nearest(
    places: NDArray[np.float64],
    others: NDArray[np.float64],
    folds: NDArray[np.int64] | None,
    rows: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nearest of the others to each place, of another fold where there are folds.

    By products of matrices: in tens of dimensions, a tree looks at nearly all points, too.
    """
    squares = np.einsum("ij,ij->i", others, others)
    nearest = np.empty(len(places), dtype=np.int64)
    for start in range(0, len(places), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = squares - 2 * (places[block] @ others.T)
        if folds is not None:
            distances[folds[rows[block], None] == folds] = np.inf
        nearest[block] = distances.argmin(axis=1)
    # Anew, since the products leave a rounding error where two rows are the same.
    return nearest, np.linalg.norm(places - others[nearest], axis=1)


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))
