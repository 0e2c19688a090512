"""The table of a study: rows of CSV files, with features of compositions, cells and structures."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pyhpc.crystals import Limits, iter_records
from pyhpc.crystals.cost import estimate_cost
from pyhpc.datasets import DATASETS
from pyhpc.datasets.fetch import file_hash
from pyhpc.errors import PyhpcError
from pyhpc.executors import Job as ShardJob
from pyhpc.features import featurize, one_hot_space_group
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
from pyhpc.kernels import ValenceMethod
from pyhpc.models import Target, ordinal, parse_targets
from pyhpc.shards import Guard, Output, Plan, ShardSize, finish, pack
from pyhpc.shards.files import digest, file_digest, new_attempt, replace, to_json
from pyhpc.shards.parquet import encode_table
from pyhpc.studies.job import TARGET_QUINTILE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pyhpc.studies.job import Job

    Runner = Callable[[ShardJob], None]

_STATED = ("density", "volume_per_atom", "n_total_atoms")
"""Features of the lattice that a table's cell tells as well: there they are ``stated_<name>``."""

_NEEDS_SITES = ("n_sites", "has_cif_struct")
"""Features of the lattice that a table's cell does not tell, beside the number of ion sites."""

_CODES = {
    "crystal_system": tuple(CRYSTAL_SYSTEMS),
    "valence_method": tuple(method.name.lower() for method in sorted(ValenceMethod)),
}
"""Words that become numbers, in their order."""


@dataclass(frozen=True, eq=False)
class StudyTable:
    """Rows of a study, those to train on first.

    Attributes
    ----------
    table : pyarrow.Table
        ``id``, columns of the CSV files as text, then the features as float64, NaN where missing.
    target : Target
        Of all rows, transformed.
    raw : Target
        The same before the transform.
    n_train : int
        Rows to train on; the rest are the test rows.
    features : tuple of str
        Columns that may be features.
    sources : dict
        Hash of each file that was read, and what became of the structures; JSON-able.
    """

    table: pa.Table
    target: Target
    raw: Target
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
    return {name: _hash(data.folder / name) for name in names}


def build_table(job: Job, work: Path, run: Runner) -> StudyTable:
    """Make the table of a study.

    What the CSV files state (composition, cell, space group) goes before what the structures say:
    it is there for every row. The structures add what only they know.

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
    hashes = check_data(job)
    names = [name for name in (job.data.train, job.data.test) if name]
    parts = [_read_csv(job, name) for name in names]
    rows = [row for part in parts for row in part]
    raw, _ = parse_targets([row[job.target.column] for row in rows])
    target = raw.log10() if job.target.transform == "log10" else raw
    ids = [row[job.data.id] for row in rows]
    repeated = next((name for k, name in enumerate(ids) if name in set(ids[:k])), None)
    if repeated is not None:
        raise PyhpcError(
            f"two rows of {' and '.join(names)} have the {job.data.id} {repeated!r}",
            "Names of rows must be unique.",
        )
    columns: dict[str, Any] = _stated_features(job, rows, ids)
    sources: dict[str, Any] = {"files": hashes}
    if job.data.structures:
        made, sources["structures"] = _structure_features(job, ids, work, run)
        columns |= {name: column for name, column in made.items() if name not in columns}
    if job.target.leak:
        columns[job.target.leak] = target.censored.astype(np.float64)
    if "space_group_number" in columns:
        columns |= _one_hot(columns["space_group_number"])
    features = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    texts = {
        name: [row[name] for row in rows]
        for name in rows[0]
        if name not in features and name not in ("id", job.data.id)
    }
    if job.data.composition:
        texts["chemical_system"] = [
            chemical_system(parse_formula(row[job.data.composition])) for row in rows
        ]
    table = pa.table({"id": ids} | texts | features)
    return StudyTable(table, target, raw, len(parts[0]), tuple(features), sources)


def store_table(study: StudyTable, path: Path) -> str:
    """Write the table with its target (``target``, ``target_lower``, ``target_upper``).

    Returns
    -------
    str
        Hash of the file.
    """
    table = study.table
    for name, values in (
        ("target", study.target.values),
        ("target_lower", study.target.lower),
        ("target_upper", study.target.upper),
    ):
        table = table.append_column(name, pa.array(values))
    data = encode_table(table)
    sha256 = digest(data)
    if not path.exists() or file_digest(path) != sha256:
        replace(path, bytes(data), new_attempt())
    return sha256


def load_table(path: Path, sha256: str) -> tuple[pa.Table, Target]:
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
    table = pq.read_table(pa.BufferReader(data))
    target = Target(
        *(
            np.asarray(table[name], dtype=np.float64)
            for name in ("target", "target_lower", "target_upper")
        )
    )
    return table, target


def _hash(path: Path) -> str:
    """Hash of a file, or of the names and hashes of the files in a folder."""
    if path.is_file():
        return file_digest(path)
    files = sorted(item for item in path.rglob("*") if item.is_file())
    return digest(to_json([[str(item.relative_to(path)), file_digest(item)] for item in files]))


def _read_csv(job: Job, name: str) -> list[dict[str, str]]:
    """Rows that have a target, with the columns that the job names, cleaned."""
    path = job.data.folder / name
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PyhpcError(f"{path} can't be read as CSV: {error}", "Correct the file.") from None
    data = job.data
    needed = dict.fromkeys(
        name
        for name in (
            data.id,
            job.target.column,
            data.composition,
            data.cell_composition,
            data.space_group,
            *data.lattice,
            *data.renamed,
            *(name for split in job.splits.values() for name in split.columns),
        )
        if name and name != "chemical_system"
    )
    found = rows[0].keys() if rows else ()
    for column in (*needed, *data.numbers):
        if column not in found:
            raise PyhpcError(
                f"{path} has no column {column!r}", f"It has {', '.join(found) or 'no rows'}."
            )
    kept = []
    for row in rows:
        if (row[job.target.column] or "").strip().lower() in ("", "nan"):
            continue
        clean = {column: (row[column] or "").strip() for column in (*needed, *data.numbers)}
        for column, renamed in data.renamed.items():
            clean[column] = renamed.get(clean[column], clean[column])
        kept.append(clean)
    if not kept:
        raise PyhpcError(f"{path} has no row with a {job.target.column}", "Check target.column.")
    return kept


def _stated_features(
    job: Job, rows: Sequence[dict[str, str]], ids: Sequence[str]
) -> dict[str, Any]:
    """Features of what the rows state."""
    data = job.data
    columns: dict[str, Any] = {name: _numbers(rows, ids, name) for name in data.numbers}
    ion = job.featurize.get("mobile_ion", "Li")
    if data.composition:
        formulas = _formulas(rows, ids, data.composition)
        made = featurize(stated_batch(ids, formulas), ["composition"], mobile_ion=ion)
        columns |= {name: made[name] for name in made.column_names[1:]}
        columns |= charge_balance(formulas)
        columns |= stoichiometry(formulas, ion) | cation_statistics(formulas, ion)
    if data.lattice:
        cells = np.stack([_numbers(rows, ids, name) for name in data.lattice], axis=1)
        source = data.cell_composition or data.composition
        contents = _formulas(rows, ids, source) if source else [{1: 1.0}] * len(rows)
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
            if data.composition:
                units = formula_units(formulas, contents)
                columns |= {"formula_units": units, "cell_volume_per_formula": volumes / units}
    if data.space_group:
        numbers = _numbers(rows, ids, data.space_group)
        last = list(CRYSTAL_SYSTEMS.values())
        columns["space_group_number"] = numbers
        columns["crystal_system"] = np.where(
            np.isfinite(numbers), np.searchsorted(last, numbers), np.nan
        )
    return columns


def _formulas(
    rows: Sequence[dict[str, str]], ids: Sequence[str], column: str
) -> list[dict[int, float]]:
    contents = []
    for row, name in zip(rows, ids, strict=True):
        try:
            contents.append(parse_formula(row[column]))
        except PyhpcError as error:
            raise PyhpcError(f"row {name}: {error.message}", error.remedy) from None
    return contents


def _numbers(rows: Sequence[dict[str, str]], ids: Sequence[str], column: str) -> Any:
    values = np.full(len(rows), np.nan)
    for k, row in enumerate(rows):
        try:
            values[k] = float(row[column]) if row[column] else np.nan
        except ValueError:
            raise PyhpcError(
                f"row {ids[k]} has the {column} {row[column]!r}", "Expected a number."
            ) from None
    return values


def _structure_features(
    job: Job, ids: Sequence[str], work: Path, run: Runner
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Features of the rows' structures, by an ordinary run, and what became of the records."""
    source = job.data.folder / job.data.structures
    task = job.task()
    inputs = {
        "structures": job.data.structures,
        "sha256": _hash(source),
        "limits": asdict(Limits()),
    }
    made_of = {"inputs": inputs, "parameters": task.parameters, "versions": task.versions}
    output = Output(work / f"structures-{digest(to_json(made_of))[:12]}")
    packing = pack(
        iter_records([str(source)]),
        output.shards,
        inputs=inputs,
        cost=estimate_cost,
        size=ShardSize(records=200, seconds=30.0),
    )
    plan = Plan.make(output, packing, task, Guard()).create(output)
    if not output.final_manifest.exists():
        run(ShardJob(output, plan, task, packing.folder))
    manifest = finish(output, plan)
    made = ds.dataset(output.parts).to_table()
    for name, words in _CODES.items():
        if name in made.column_names:
            made = ordinal(made, name, words)
    position = {name: k for k, name in enumerate(made["id"].to_pylist())}
    at = np.array([position.get(name, -1) for name in ids])
    columns = {}
    for name in made.column_names[1:]:
        values = made[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        absent = 0.0 if name.startswith("has_") else np.nan
        columns[name] = np.where(at >= 0, values[at], absent)
    facts = {
        "records": manifest["records"],
        "outcomes": manifest["outcomes"],
        "rows with a structure": int((at >= 0).sum()),
        "rows": len(ids),
    }
    return columns, facts


def _one_hot(numbers: Any) -> dict[str, Any]:
    values = np.asarray(numbers, dtype=np.float64)
    column = pa.array(values, mask=np.isnan(values)).cast(pa.int16())
    hot = one_hot_space_group(pa.table({"space_group_number": column}))
    return {f"sg_{k}": hot[f"sg_{k}"] for k in range(1, N_SPACE_GROUPS + 1)}
