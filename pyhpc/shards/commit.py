"""The commit of a shard: part and ledger first, then the manifest that makes them count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pyhpc.errors import PyhpcError
from pyhpc.records import Outcome
from pyhpc.shards.files import digest, publish, publish_first, staged, to_json
from pyhpc.shards.ledger import count, count_outcomes
from pyhpc.shards.parquet import encode_table

if TYPE_CHECKING:
    from pathlib import Path

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
    return {"name": path.name, "bytes": len(data), "sha256": digest(data), "rows": rows}


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


def commit(
    output: Output, plan: Plan, index: int, part: pa.Table, ledger: pa.Table, attempt: str
) -> Manifest:
    """Commit a shard, unless another attempt was faster: the first wins, and is what counts.

    Returns
    -------
    dict
        The manifest that counts.
    """
    with_row = ledger.num_rows - count_outcomes(ledger)[Outcome.QUARANTINED]
    if ledger.num_rows != plan.shards[index].records or part.num_rows != with_row:
        raise RuntimeError(
            f"shard {index} has {plan.shards[index].records} records, but its ledger "
            f"{ledger.num_rows} rows, of which {with_row} should be in the part, which has "
            f"{part.num_rows}"
        )
    part = part.replace_schema_metadata(
        {**(part.schema.metadata or {}), b"pyhpc_plan_sha256": plan.sha256.encode()}
    )
    encoded = [encode_table(table) for table in (part, ledger)]
    names = (output.part, output.ledger_part)
    paths = [name(index, digest(data)) for name, data in zip(names, encoded, strict=True)]
    files = []
    for table, path, data in zip((part, ledger), paths, encoded, strict=True):
        if pq.read_metadata(pa.BufferReader(data)).num_rows != table.num_rows:
            raise RuntimeError(f"{path} would not have the rows of its table")
        files.append(describe_file(path, data, table.num_rows))
    manifest = build_manifest(plan, index, files[0], files[1], ledger)
    target = output.manifest(index)
    contents: dict[Path, bytes | memoryview] = dict(zip(paths, encoded, strict=True))
    contents[target] = to_json(manifest)
    try:
        with staged(contents, attempt):
            # The manifest makes the others count, so it comes when they are on the disk by name.
            publish(paths, attempt)
            if publish_first(target, attempt):
                return manifest
    except FileNotFoundError:
        # The run was completed by others while this attempt slept, and its files were swept.
        if not target.exists():
            raise
    winner = read_manifest(output, plan, index)
    if winner is None:
        raise RuntimeError(f"manifest {target} exists and does not exist")
    for folder, kind, file in zip(
        (output.parts, output.ledger), ("part", "ledger"), files, strict=False
    ):
        if file["name"] != winner[kind]["name"]:
            (folder / file["name"]).unlink(missing_ok=True)
    return winner
