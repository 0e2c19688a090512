"""The commit of shards: part and ledger first, then the manifest that makes them count."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyhpc.errors import PyhpcError
from pyhpc.records import Outcome
from pyhpc.shards.files import NewFile, digest, publish, publish_first, staged, to_json
from pyhpc.shards.ledger import count
from pyhpc.shards.parquet import encode_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from pyhpc.shards.output import Output
    from pyhpc.shards.plan import Plan

Manifest = dict[str, Any]
"""Content of a manifest: plan, shard, the two files with hash, size and rows, and the counts."""


def read_manifest(output: Output, plan: Plan, index: int) -> Manifest | None:
    """Read the manifest of a shard; None where the shard is not done.

    Raises
    ------
    PyhpcError
        If the manifest is damaged or belongs to another plan.
    """
    path = output.manifest(index)
    try:
        manifest: Manifest = json.loads(path.read_bytes())
        named = manifest["plan"], manifest["shard"]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        raise PyhpcError(
            f"manifest {path} is damaged", f"Call: pyhpc verify --repair {output.path}"
        ) from None
    if named != (plan.sha256, index):
        raise PyhpcError(
            f"manifest {path} belongs to another plan or shard",
            f"Call: pyhpc verify --repair {output.path}",
        )
    return manifest


def describe_file(path: Path, data: bytes | memoryview, rows: int) -> dict[str, Any]:
    """Entry of a manifest for a Parquet file."""
    return _entry(path, len(data), digest(data), rows)


def _entry(path: Path, size: int, sha256: str, rows: int) -> dict[str, Any]:
    return {"name": path.name, "bytes": size, "sha256": sha256, "rows": rows}


def build_manifest(
    plan: Plan, index: int, part: dict[str, Any], ledger: dict[str, Any], table: pa.Table
) -> Manifest:
    """Make a manifest from the entries of the two files and the table of the ledger."""
    return {
        "plan": plan.sha256,
        "shard": index,
        "records": table.num_rows,
        "part": part,
        "ledger": ledger,
        **count(table),
    }


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """What an attempt has made of a shard, and would have count.

    Attributes
    ----------
    index : int
        The shard.
    tables : list of NewFile
        Part and ledger.
    manifest : Manifest
        What the manifest says.
    marker : NewFile
        The manifest, which makes them count.
    """

    index: int
    tables: list[NewFile]
    manifest: Manifest
    marker: NewFile


def encode_shard(
    output: Output, plan: Plan, index: int, part: pa.Table, ledger: pa.Table, attempt: str
) -> Candidate:
    """Make the files of a shard, in memory."""
    part = part.replace_schema_metadata(
        {**(part.schema.metadata or {}), b"pyhpc_plan_sha256": plan.sha256.encode()}
    )
    entries, files = [], []
    for table, kind in ((part, output.part), (ledger, output.ledger_part)):
        data = encode_table(table)
        sha256 = digest(data)
        path = kind(index, sha256)
        entries.append(_entry(path, len(data), sha256, table.num_rows))
        files.append(NewFile.of(path, data, attempt))
    manifest = build_manifest(plan, index, entries[0], entries[1], ledger)
    with_row = ledger.num_rows - manifest["outcomes"][Outcome.QUARANTINED]
    if ledger.num_rows != plan.shards[index].records or part.num_rows != with_row:
        raise RuntimeError(
            f"shard {index} has {plan.shards[index].records} records, but its ledger "
            f"{ledger.num_rows} rows, of which {with_row} should be in the part, which has "
            f"{part.num_rows}"
        )
    marker = NewFile.of(output.manifest(index), to_json(manifest), attempt)
    return Candidate(index, files, manifest, marker)


def commit(output: Output, plan: Plan, candidates: Sequence[Candidate]) -> list[Manifest]:
    """Commit shards together, each unless another attempt was faster: the first wins, and counts.

    However many there are, the disk is waited for as often as for one. Broken off at any point,
    each of them is committed or has left nothing that counts.

    Returns
    -------
    list of dict
        The manifests that count.
    """
    tables = [file for candidate in candidates for file in candidate.tables]
    markers = [candidate.marker for candidate in candidates]
    try:
        with staged([*tables, *markers]):
            # Manifests make the others count, so they come when those are on the disk by name.
            publish(tables)
            won = publish_first(markers)
    except FileNotFoundError:
        # The run was completed by others while this attempt slept, and its files were swept.
        if not all(marker.target.exists() for marker in markers):
            raise
        won = [False] * len(candidates)
    return [
        candidate.manifest if first else _give_way(output, plan, candidate)
        for candidate, first in zip(candidates, won, strict=True)
    ]


def _give_way(output: Output, plan: Plan, candidate: Candidate) -> Manifest:
    """Take back the files of an attempt that another has overtaken."""
    winner = read_manifest(output, plan, candidate.index)
    if winner is None:
        raise RuntimeError(f"manifest {candidate.marker.target} exists and does not exist")
    named = {winner["part"]["name"], winner["ledger"]["name"]}
    for file in candidate.tables:
        if file.target.name not in named:
            file.target.unlink(missing_ok=True)
    return winner
