"""Count and hash everything again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pyhpc.errors import PyhpcError
from pyhpc.records import Outcome
from pyhpc.shards.batch import gaps
from pyhpc.shards.commit import build_manifest, describe_file, read_manifest
from pyhpc.shards.files import sync_folder, to_json
from pyhpc.shards.finish import strays, total_manifest
from pyhpc.shards.ledger import SCHEMA as LEDGER_SCHEMA
from pyhpc.shards.packed import IDENTITY, open_shard
from pyhpc.shards.plan import Plan, packing_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pyhpc.shards.commit import Manifest
    from pyhpc.shards.output import Output
    from pyhpc.shards.packed import Shard

_REPAIR = "pyhpc verify --repair takes the shard back, and pyhpc featurize redoes it."
_AGAIN = "Call pyhpc featurize again: it goes on where it stopped."


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be.

    Attributes
    ----------
    path : Path
        The file.
    message, remedy : str
        What is wrong and what to do.
    suspects : tuple of Path
        Files that ``repair`` removes, so that a further run makes them anew.
    """

    path: Path
    message: str
    remedy: str
    suspects: tuple[Path, ...] = ()


def verify(
    output: Output,
    *,
    packing: Path | None = None,
    on_shard: Callable[[], None] = lambda: None,
) -> list[Problem]:
    """Check an output folder against its plan, its inputs and itself.

    Every hash is computed again, of inputs, parts, ledgers and manifests; every count is taken
    again from the ledger; the records of the ledger are those of the shards; every row of a part
    has its record, and every value that is missing a reason.

    Parameters
    ----------
    output : Output
        Output folder.
    packing : Path, optional
        Folder of the shard files, if not where the plan says.
    on_shard : callable, optional
        Called after each shard.

    Returns
    -------
    list of Problem
        Empty where all is well.

    Raises
    ------
    PyhpcError
        If there is no plan, or it is damaged.
    """
    plan = Plan.load(output)
    folder = packing or packing_folder(output, plan)
    problems: list[Problem] = []
    manifests: list[Manifest] = []
    missing = 0
    for index, shard in enumerate(plan.shards):
        try:
            manifest = read_manifest(output, plan, index)
        except PyhpcError as error:
            path = output.manifest(index)
            problems.append(Problem(path, error.message, _REPAIR, (path,)))
            manifest = None
        else:
            missing += manifest is None
        if manifest is not None:
            manifests.append(manifest)
        problems.extend(_check_shard(output, plan, index, manifest, folder, shard))
        on_shard()
    if missing:
        message = f"{missing} of {len(plan.shards)} shards are not done"
        problems.append(Problem(output.manifests, message, _AGAIN))
    if not problems:
        problems.extend(_check_whole(output, plan, manifests))
    if not any(problem.suspects for problem in problems):
        # With a manifest damaged, it is not known which files are strays.
        problems.extend(
            Problem(path, "no manifest names this file", "Remove it.", (path,))
            for path in strays(output, total_manifest(output, plan, manifests))
            if path.suffix != ".tmp"
        )
    return problems


def repair(output: Output, problems: list[Problem]) -> list[Path]:
    """Take back what is damaged, so that a further run makes it anew.

    Returns
    -------
    list of Path
        The files that were removed.
    """
    suspects = {path for problem in problems for path in problem.suspects if path.exists()}
    if suspects and output.final_manifest.exists():
        suspects.add(output.final_manifest)
    # Manifests first: a shard without its files must not count as done.
    removed = sorted(suspects, key=lambda path: (path.suffix != ".json", path))
    for path in removed:
        path.unlink()
        sync_folder(path.parent)
    return removed


def _check_shard(
    output: Output, plan: Plan, index: int, manifest: Manifest | None, folder: Path, shard: Shard
) -> Iterator[Problem]:
    inputs: pa.Table | None = None
    try:
        inputs = open_shard(folder, shard).read_all().select(IDENTITY)
    except PyhpcError as error:
        yield Problem(folder / shard.name, error.message, error.remedy)
    if manifest is None:
        return
    path = output.manifest(index)
    try:
        part = _read(output.parts / manifest["part"]["name"], manifest["part"])
        ledger = _read(output.ledger / manifest["ledger"]["name"], manifest["ledger"])
    except (KeyError, TypeError):
        yield Problem(path, "the manifest is damaged", _REPAIR, (path,))
        return
    for file in (part, ledger):
        if isinstance(file, Problem):
            yield Problem(file.path, file.message, file.remedy, (path, file.path))
    if isinstance(part, Problem) or isinstance(ledger, Problem):
        return
    suspects = (
        path,
        output.parts / manifest["part"]["name"],
        output.ledger / manifest["ledger"]["name"],
    )
    for message in _contradictions(part, ledger, inputs, index):
        yield Problem(path, message, _REPAIR, suspects)
    expected = build_manifest(plan, index, manifest["part"], manifest["ledger"], ledger)
    if to_json(expected) != path.read_bytes():
        yield Problem(path, "the manifest does not say what its files do", _REPAIR, suspects)


def _read(path: Path, entry: dict[str, Any]) -> pa.Table | Problem:
    """Table of a file that is as its manifest says."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Problem(path, "the file is missing", _REPAIR)
    if describe_file(path, data, entry["rows"]) != entry:
        return Problem(path, "the file was truncated or altered", _REPAIR)
    table = pq.read_table(pa.BufferReader(data))
    if table.num_rows != entry["rows"]:
        return Problem(path, "the file has not the rows its manifest says", _REPAIR)
    return table


def _contradictions(
    part: pa.Table, ledger: pa.Table, inputs: pa.Table | None, index: int
) -> Iterator[str]:
    """Say where part, ledger and inputs do not agree."""
    if not ledger.schema.equals(LEDGER_SCHEMA):
        yield "the ledger has other columns than a ledger has"
        return
    if inputs is not None and ledger.select(IDENTITY).to_pydict() != inputs.to_pydict():
        yield "the ledger's records are not those of the shard"
    rows = ledger.to_pylist()
    if [(row["shard"], row["row"]) for row in rows] != [(index, k) for k in range(len(rows))]:
        yield "the ledger's rows are out of order"
    order = [str(outcome) for outcome in Outcome]
    for row in rows:
        outcomes = [order.index(reason["outcome"]) for reason in row["reasons"]]
        if row["outcome"] != order[max(outcomes, default=0)]:
            yield f"record {row['id']} is {row['outcome']}, which its reasons do not say"
    kept = [row for row in rows if row["outcome"] != Outcome.QUARANTINED]
    if part["id"].to_pylist() != [row["id"] for row in kept]:
        yield "the part's rows are not the records that the ledger keeps"
        return
    unexplained = [k for k, row in enumerate(kept) if not row["reasons"]]
    for k, columns in gaps(part, unexplained).items():
        yield f"record {kept[k]['id']} has no value for {columns[0]}, and no reason"


def _check_whole(output: Output, plan: Plan, manifests: list[Manifest]) -> Iterator[Problem]:
    path = output.final_manifest
    total = total_manifest(output, plan, manifests)
    if total["records"] != plan.records:
        message = f"{plan.records} records went in, but {total['records']} came out"
        yield Problem(path, message, _AGAIN)
    if not path.exists():
        yield Problem(path, "the run was not finished: its manifest is missing", _AGAIN)
    elif path.read_bytes() != to_json(total):
        yield Problem(path, "the manifest of the run does not say what its shards do", _AGAIN)
