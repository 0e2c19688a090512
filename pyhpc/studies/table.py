"""The table of a study: its rows, with features of compositions, cells and structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pyhpc.datasets import DATASETS
from pyhpc.datasets.fetch import file_hash
from pyhpc.errors import PyhpcError
from pyhpc.features import featurize, one_hot_space_group
from pyhpc.features.composition_classes import anion_class, metallic, reduced_formula
from pyhpc.features.formulas import (
    charge_balance,
    chemical_system,
    parse_formula,
    stated_batch,
)
from pyhpc.features.stoichiometry import (
    cation_statistics,
    cell_shares,
    formula_units,
    stoichiometry,
)
from pyhpc.features.symmetry import CRYSTAL_SYSTEMS, N_SPACE_GROUPS
from pyhpc.models import Target, parse_targets
from pyhpc.shards.files import digest, file_digest, new_attempt, replace
from pyhpc.shards.parquet import encode_table
from pyhpc.studies.job import TARGET_QUINTILE
from pyhpc.studies.label_noise import SHARE_OF_SPREAD, compare_labels, read_labels
from pyhpc.studies.rows import MADE_TEXTS, read_rows
from pyhpc.studies.structures import source_hash, structure_features
from pyhpc.studies.training_labels import learn_from_labels, with_usable_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pyhpc.studies.job import Job
    from pyhpc.studies.rows import Rows
    from pyhpc.studies.structures import Runner, Structures

_STATED = ("density", "volume_per_atom", "n_total_atoms")
"""Features of the lattice that a table's cell tells as well: there they are ``stated_<name>``."""

_TARGET_SUFFIXES = ("", "_lower", "_upper")

_NEEDS_SITES = ("n_sites", "has_cif_struct")
"""Features of the lattice that a table's cell does not tell, beside the number of ion sites."""


@dataclass(frozen=True, eq=False)
class StudyTable:
    """Rows of a study, those to train on first.

    Attributes
    ----------
    table : pyarrow.Table
        ``id``, columns of the tables as text, those made of the composition (:data:`MADE_TEXTS`),
        then the features as float64, NaN where missing.
    target : Target
        Of all rows, transformed: what predictions are scored against.
    raw : Target
        The same before the transform.
    auxiliary : pyarrow.Table
        Rows that have labels of ``target.training_labels`` alone, with the same columns: some are
        trained on, none is scored.
    learned : Target
        What models are fitted to, of the rows of ``table`` and then of ``auxiliary``: the target,
        or its mean with the other labels.
    n_train : int
        Rows to train on; the rest are the test rows.
    features : tuple of str
        Columns that may be features.
    sources : dict
        Hash of each file that was read, how many rows were left out and why, and what became of
        the structures; with ``data.other_labels`` their disagreement, from
        :func:`pyhpc.studies.label_noise.compare_labels`, as ``labels``; with
        ``target.training_labels`` how many rows they add and change, as ``training_labels``.
        JSON-able.
    """

    table: pa.Table
    target: Target
    raw: Target
    auxiliary: pa.Table
    learned: Target
    n_train: int
    features: tuple[str, ...]
    sources: dict[str, Any]

    @property
    def ids(self) -> list[str]:
        """Names of the rows."""
        names: list[str] = self.table["id"].to_pylist()
        return names

    def rows(self, *, test: bool) -> slice:
        """Training rows or test rows."""
        return slice(self.n_train, None) if test else slice(0, self.n_train)

    def texts(self, column: str, *, test: bool = False) -> list[str]:
        """Column of text of the training rows, or of all rows.

        Raises
        ------
        PyhpcError
            If there is none of that name.
        """
        if column not in self.table.column_names:
            raise PyhpcError(
                f"the table has no column {column!r}",
                f"It has {', '.join(n for n in self.table.column_names if n not in self.features)}",
            )
        rows = None if test else self.n_train
        return [str(value) for value in self.table[column][:rows].to_pylist()]

    def texts_to_train_on(self, column: str) -> list[str]:
        """Column of text of the training rows, then of the auxiliary ones."""
        return self.texts(column) + [str(value) for value in self.auxiliary[column].to_pylist()]

    def levels(self, column: str, *, test: bool = False) -> list[str]:
        """Levels of the training rows, or of all rows, in a factor.

        A factor is a column of text, a feature with few values, or :data:`TARGET_QUINTILE`.

        Raises
        ------
        PyhpcError
            If there is none of that name.
        """
        rows = None if test else self.n_train
        if column == TARGET_QUINTILE:
            ends = np.quantile(self.target.values[: self.n_train], [0.2, 0.4, 0.6, 0.8])
            return [str(level) for level in np.searchsorted(ends, self.target.values[:rows])]
        if column not in self.features:
            return self.texts(column, test=test)
        return [f"{value:g}" for value in self.table[column][:rows].to_pylist()]


def check_data(job: Job) -> dict[str, str]:
    """Look whether the files of a study are there, and those of a published set whole.

    Returns
    -------
    dict of str to str
        Hash of each file.

    Raises
    ------
    PyhpcError
        If a file is missing or altered; the message says how to get it.
    """
    data = job.data
    remedy = "Pass the folder with --data."
    if data.dataset:
        remedy = f"Get it with: pyhpc dataset {data.dataset} --out {data.folder}; or use --data."
    names = [name for name in (data.train, data.test, data.structures) if name]
    for name in names:
        if not (data.folder / name).exists():
            raise PyhpcError(f"there is no {name} in {data.folder}", remedy)
    if data.dataset:
        for file in DATASETS[data.dataset].files:
            if file.name in names and file_hash(file, data.folder / file.name) != file.sha256:
                raise PyhpcError(
                    f"{data.folder / file.name} is not the published file: its hash is another",
                    remedy,
                )
    return {name: source_hash(data.folder / name) for name in names}


def build_table(job: Job, work: Path, run: Runner) -> StudyTable:
    """Make the table of a study.

    What the tables state (composition, cell, space group) goes before what the structures say:
    it is there for every row. The structures add what only they know, and the composition where
    none is stated. Rows that have neither are left out.

    Parameters
    ----------
    job : Job
        The study.
    work : Path
        Folder for the run that makes features of structures, which is kept and used again.
    run : callable
        Runs such a job to its end.

    Raises
    ------
    PyhpcError
        If a file, column or cell is not as it should be.
    """
    sources: dict[str, Any] = {"files": check_data(job)}
    rows = with_usable_labels(job, read_rows(job))
    structures = None
    made: dict[str, Any] = {}
    if job.data.structures or job.data.structure:
        structures = structure_features(job, rows, work, run)
        sources["structures"] = structures.facts
        made = structures.columns
    sources["left_out"] = {"no target": rows.without_target}
    contents = _contents(job, rows, structures)
    if job.data.composition or structures:
        known = np.array([one is not None for one in contents])
        sources["left_out"]["neither composition nor structure"] = int((~known).sum())
        rows = rows.take(known.tolist())
        made = {name: values[known] for name, values in made.items()}
        if not rows.n_train:
            raise PyhpcError(
                "no training row has a composition or a structure",
                "Check data.composition, that the structures have the names of the rows, and that "
                "featurize.groups leaves composition in.",
            )
    compositions = [one for one in contents if one is not None]
    raw, _ = parse_targets(rows.column(job.target.column)[: rows.n_scored])
    target = raw.log10() if job.target.transform == "log10" else raw
    learned = learn_from_labels(job, rows, target)
    if job.target.training_labels:
        changed = learned.values[: rows.n_train] != target.values[: rows.n_train]
        sources["training_labels"] = {"added": rows.n_auxiliary, "changed": int(changed.sum())}
    if job.data.other_labels:
        sources["labels"] = _label_noise(job, rows, target)
    columns: dict[str, Any] = _stated_features(job, rows, compositions)
    columns |= {name: column for name, column in made.items() if name not in columns}
    if job.target.leak:
        columns[job.target.leak] = learned.censored.astype(np.float64)
    if "space_group_number" in columns:
        columns |= _one_hot(columns["space_group_number"])
    features = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    texts = {
        name: rows.column(name)
        for name in rows.cells[0]
        if name not in features and name not in ("id", job.data.id)
    }
    for name, words in _composition_texts(compositions).items():
        texts.setdefault(name, words)
    table = pa.table({"id": rows.ids} | texts | features)
    return StudyTable(
        table.slice(0, rows.n_scored),
        target,
        raw,
        table.slice(rows.n_scored),
        learned,
        rows.n_train,
        tuple(features),
        sources,
    )


def store_table(study: StudyTable, path: Path) -> str:
    """Write all rows, the auxiliary ones last, with ``target`` and ``learned``.

    Each is a column of values and two of bounds, ``target_lower`` and ``target_upper``. The target
    of auxiliary rows is what is learned.

    Returns
    -------
    str
        Hash of the file.
    """
    table, n_scored = pa.concat_tables([study.table, study.auxiliary]), len(study.target)
    for part, suffix in zip(("values", "lower", "upper"), _TARGET_SUFFIXES, strict=True):
        learned = getattr(study.learned, part)
        scored = np.concatenate([getattr(study.target, part), learned[n_scored:]])
        table = table.append_column(f"target{suffix}", pa.array(scored))
        table = table.append_column(f"learned{suffix}", pa.array(learned))
    data = encode_table(table)
    sha256 = digest(data)
    if not path.exists() or file_digest(path) != sha256:
        replace(path, bytes(data), new_attempt())
    return sha256


def load_table(path: Path, sha256: str) -> pa.Table:
    """Read what :func:`store_table` wrote.

    Raises
    ------
    PyhpcError
        If it is missing or another.
    """
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if digest(data) != sha256:
        raise PyhpcError(
            f"the table {path} is missing or was altered", "Call pyhpc run again: it is made anew."
        )
    return pq.read_table(pa.BufferReader(data))


def stored_target(table: pa.Table, name: str) -> Target:
    """``"target"`` or ``"learned"`` of a table that :func:`store_table` wrote."""
    return Target(*(np.asarray(table[name + suffix]) for suffix in _TARGET_SUFFIXES))


def _contents(
    job: Job, rows: Rows, structures: Structures | None
) -> Sequence[dict[int, float] | None]:
    """Atoms of each row by atomic number: as stated, else as its structure says."""
    if not job.data.composition:
        return structures.contents if structures else []
    contents: list[dict[int, float] | None] = []
    for k, text in enumerate(rows.column(job.data.composition)):
        if text:
            contents.append(_formula(text, rows.ids[k]))
        else:
            contents.append(structures.contents[k] if structures else None)
    return contents


def _composition_texts(contents: Sequence[Mapping[int, float]]) -> dict[str, list[str]]:
    """Words for splits and strata, where anything is known of the compositions."""
    if not contents:
        return {}
    makers = (chemical_system, reduced_formula, anion_class, metallic)
    return {
        name: [make(one) for one in contents] for name, make in zip(MADE_TEXTS, makers, strict=True)
    }


def _stated_features(job: Job, rows: Rows, formulas: Sequence[dict[int, float]]) -> dict[str, Any]:
    """Features of what the rows state, and of their compositions, wherever those come from."""
    data, ids = job.data, rows.ids
    columns: dict[str, Any] = {name: _numbers(rows, name) for name in data.numbers}
    ion = job.featurize.get("mobile_ion", "Li")
    if formulas:
        made = featurize(stated_batch(ids, formulas), ["composition"], mobile_ion=ion)
        columns |= {name: made[name] for name in made.column_names[1:]}
        columns |= charge_balance(formulas)
        columns |= stoichiometry(formulas, ion) | cation_statistics(formulas, ion)
    if data.lattice:
        cells = np.stack([_numbers(rows, name) for name in data.lattice], axis=1)
        contents = formulas or [{1: 1.0}] * len(rows)
        if data.cell_composition:
            texts = rows.column(data.cell_composition)
            contents = [_formula(text, name) for text, name in zip(texts, ids, strict=True)]
        made = featurize(stated_batch(ids, contents, cells), ["lattice"], mobile_ion=ion)
        unknown = (*_NEEDS_SITES, f"n_{ion.lower()}_sites")
        for name in made.column_names[1:]:
            if name in _STATED and data.cell_composition:
                columns[f"stated_{name}"] = made[name]
            elif name not in (*unknown, *_STATED):
                columns[name] = made[name]
        if data.cell_composition:
            volumes = np.asarray(made["volume"], dtype=np.float64)
            columns |= cell_shares(contents, cells, volumes, ion)
            if formulas:
                units = formula_units(formulas, contents)
                columns |= {"formula_units": units, "cell_volume_per_formula": volumes / units}
    if data.space_group:
        numbers = _numbers(rows, data.space_group)
        last = list(CRYSTAL_SYSTEMS.values())
        columns["space_group_number"] = numbers
        columns["crystal_system"] = np.where(
            np.isfinite(numbers), np.searchsorted(last, numbers), np.nan
        )
    return columns


def _label_noise(job: Job, rows: Rows, target: Target) -> dict[str, Any]:
    """Disagreement of the labels of the training rows; those of the test rows stay unread."""
    train = slice(0, rows.n_train)
    names = (job.target.column, *job.data.other_labels)
    labels = {name: read_labels(rows.column(name))[train] for name in names}
    bound = SHARE_OF_SPREAD * float(np.std(target.values[train]))
    return compare_labels(labels, job.target.transform, bound)


def _formula(text: str, row: str) -> dict[int, float]:
    try:
        return parse_formula(text)
    except PyhpcError as error:
        raise PyhpcError(f"row {row}: {error.message}", error.remedy) from None


def _numbers(rows: Rows, column: str) -> Any:
    values = np.full(len(rows), np.nan)
    for k, cell in enumerate(rows.column(column)):
        try:
            values[k] = float(cell) if cell else np.nan
        except ValueError:
            raise PyhpcError(
                f"row {rows.ids[k]} has the {column} {cell!r}", "Expected a number."
            ) from None
    return values


def _one_hot(numbers: Any) -> dict[str, Any]:
    values = np.asarray(numbers, dtype=np.float64)
    column = pa.array(values, mask=np.isnan(values)).cast(pa.int16())
    hot = one_hot_space_group(pa.table({"space_group_number": column}))
    return {f"sg_{k}": hot[f"sg_{k}"] for k in range(1, N_SPACE_GROUPS + 1)}
