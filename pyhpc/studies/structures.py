"""Features of the rows' structures, by an ordinary run over shards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from pyhpc.crystals import Limits, iter_records
from pyhpc.crystals.cost import estimate_cost
from pyhpc.crystals.structure_json import is_structure_json
from pyhpc.errors import PyhpcError
from pyhpc.executors import Job as ShardJob
from pyhpc.features.catalogue import SMACT_ELEMENTS
from pyhpc.features.composition_classes import whole_amounts
from pyhpc.features.symmetry import CRYSTAL_SYSTEMS
from pyhpc.kernels import ValenceMethod
from pyhpc.models import ordinal
from pyhpc.records import Outcome, Record
from pyhpc.shards import Guard, Output, Plan, ShardSize, finish, pack
from pyhpc.shards.files import digest, file_digest, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pyhpc.shards.commit import Manifest
    from pyhpc.studies.job import Job
    from pyhpc.studies.rows import Rows

    Runner = Callable[[ShardJob], None]

STRUCTURE_OK = "structure_ok"
"""Feature that is 1 where the ledger says that the row's structure is ok, else 0."""

_CODES = {
    "crystal_system": tuple(CRYSTAL_SYSTEMS),
    "valence_method": tuple(method.name.lower() for method in sorted(ValenceMethod)),
}
"""Words that become numbers, in their order."""


@dataclass(frozen=True, eq=False)
class Structures:
    """What the structures say of the rows.

    Attributes
    ----------
    columns : dict of str to array, shape (n_rows,)
        Features, NaN where a row has no structure, and 0 in ``has_*`` and ``structure_ok``.
    contents : list of dict or None, length n_rows
        Atoms of the smallest formula by atomic number; None without a structure, or where the
        run made no features of the composition.
    facts : dict
        What became of the records; JSON-able.
    """

    columns: dict[str, NDArray[np.float64]]
    contents: list[dict[int, float] | None]
    facts: dict[str, Any]


def structure_features(job: Job, rows: Rows, work: Path, run: Runner) -> Structures:
    """Make the features of all structures, and give them to their rows.

    Parameters
    ----------
    job : Job
        The study.
    rows : Rows
        Its rows.
    work : Path
        Folder for the run, which is kept and used again.
    run : callable
        Runs a job over shards to its end.

    Raises
    ------
    PyhpcError
        If it can't be told which record a row means, or no row has a structure.
    """
    inputs, records = _sources(job, rows)
    output, manifest = _run(job, inputs, records, work, run)
    made = ds.dataset(output.parts).to_table()
    for name, words in _CODES.items():
        if name in made.column_names:
            made = ordinal(made, name, words)
    ledger = ds.dataset(output.ledger).to_table(columns=["id", "outcome"])
    outcomes = dict(zip(*(ledger[name].to_pylist() for name in ("id", "outcome")), strict=True))
    records_of_rows = match_records(rows.ids, outcomes)
    position = {name: k for k, name in enumerate(made["id"].to_pylist())}
    at = np.array([position.get(name, -1) for name in records_of_rows])
    columns = {}
    for name in made.column_names[1:]:
        values = made[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        absent = 0.0 if name.startswith("has_") else np.nan
        columns[name] = np.where(at >= 0, values[at], absent) if len(values) else at + absent
    is_ok = [outcomes.get(name) == Outcome.OK for name in records_of_rows]
    columns[STRUCTURE_OK] = np.array(is_ok, dtype=np.float64)
    facts = {
        "records": manifest["records"],
        "outcomes": manifest["outcomes"],
        "rows with a structure": int((at >= 0).sum()),
        "rows": len(rows),
    }
    return Structures(columns, _contents(columns, len(rows)), facts)


def match_records(names: Sequence[str], records: Iterable[str]) -> list[str | None]:
    """Find the record of each row: that of the same name, else of the same last part of a path.

    Parameters
    ----------
    names : sequence of str
        Names of the rows.
    records : iterable of str
        Names of the records, such as ``cif/mp-10``.

    Returns
    -------
    list of str or None
        None where no record has the name.

    Raises
    ------
    PyhpcError
        If two records in different folders have the name of a row.
    """
    known = set(records)
    by_last_part: dict[str, list[str]] = {}
    for record in sorted(known):
        by_last_part.setdefault(record.rpartition("/")[2], []).append(record)
    found: list[str | None] = []
    for name in names:
        candidates = [name] if name in known else by_last_part.get(name, [])
        if len(candidates) > 1:
            raise PyhpcError(
                f"row {name} may be {candidates[0]} or {candidates[1]} of the structures",
                "Name rows by the whole path of the record, or leave one of the two out.",
            )
        found.append(candidates[0] if candidates else None)
    return found


def source_hash(path: Path) -> str:
    """Hash of a file, or of the names and hashes of the files in a folder."""
    if path.is_file():
        return file_digest(path)
    files = sorted(item for item in path.rglob("*") if item.is_file())
    return digest(to_json([[str(item.relative_to(path)), file_digest(item)] for item in files]))


def _sources(job: Job, rows: Rows) -> tuple[dict[str, Any], Iterator[Record]]:
    """Give what the run depends on, and its records."""
    if job.data.structures:
        source = job.data.folder / job.data.structures
        inputs = {"structures": job.data.structures, "sha256": source_hash(source)}
        records = iter_records([str(source)])
    else:
        texts = [record for record in _records_of_rows(job, rows) if record.text]
        if not texts:
            raise PyhpcError(
                f"no row has anything in its column {job.data.structure!r}",
                "Check data.structure, or leave it out.",
            )
        content = [[record.id, record.format, record.sha256] for record in texts]
        inputs = {"column": job.data.structure, "sha256": digest(to_json(content))}
        records = iter(texts)
    return inputs | {"limits": asdict(Limits())}, records


def _records_of_rows(job: Job, rows: Rows) -> Iterator[Record]:
    for name, text in zip(rows.ids, rows.structures, strict=True):
        kind = "pymatgen" if is_structure_json(text) else "cif"
        yield Record(name, text, kind, f"{job.data.structure} of {name}", 0, len(text))


def _run(
    job: Job, inputs: dict[str, Any], records: Iterator[Record], work: Path, run: Runner
) -> tuple[Output, Manifest]:
    task = job.task()
    made_of = {"inputs": inputs, "parameters": task.parameters, "versions": task.versions}
    output = Output(work / f"structures-{digest(to_json(made_of))[:12]}")
    packing = pack(
        records,
        output.shards,
        inputs=inputs,
        cost=estimate_cost,
        size=ShardSize(records=200, seconds=30.0),
    )
    plan = Plan.make(output, packing, task, Guard()).create(output)
    if not output.final_manifest.exists():
        run(ShardJob(output, plan, task, packing.folder))
    return output, finish(output, plan)


def _contents(
    columns: dict[str, NDArray[np.float64]], n_rows: int
) -> list[dict[int, float] | None]:
    """Compositions from the fractions of the elements, which end with lawrencium."""
    names = [f"smact_stoich_{k}" for k in range(SMACT_ELEMENTS)]
    if names[0] not in columns:
        return [None] * n_rows
    fractions = np.stack([columns[name] for name in names], axis=1)
    found: list[dict[int, float] | None] = []
    for row in fractions:
        elements = np.flatnonzero(row > 0)
        contents = {int(k) + 1: float(row[k]) for k in elements}
        found.append(whole_amounts(contents) if contents else None)
    return found
