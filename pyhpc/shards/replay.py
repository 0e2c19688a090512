"""Find a record of a run, and run it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from pyhpc.errors import PyhpcError
from pyhpc.shards.commit import read_manifest
from pyhpc.shards.packed import open_shard, read_batches
from pyhpc.shards.plan import packing_folder

if TYPE_CHECKING:
    from pathlib import Path

    from pyhpc.records import Record
    from pyhpc.shards.output import Output
    from pyhpc.shards.plan import Plan


@dataclass(frozen=True)
class Found:
    """A record of a run.

    Attributes
    ----------
    record : Record
        The record as it is packed.
    shard, row : int
        Where it is packed.
    ledger : dict, optional
        What the ledger says of it; None where its shard is not done.
    """

    record: Record
    shard: int
    row: int
    ledger: dict[str, Any] | None


def find_records(
    output: Output,
    plan: Plan,
    id: str,  # noqa: A002 (the field's name)
    *,
    shard: int | None = None,
    row: int | None = None,
    packing: Path | None = None,
) -> list[Found]:
    """Find the records of this name; several records may share one.

    Parameters
    ----------
    output : Output
        Output folder.
    plan : Plan
        Its plan.
    id : str
        Name of the record.
    shard, row : int, optional
        Look in this shard, or take this row of it, only.
    packing : Path, optional
        Folder of the shard files, if not where the plan says.

    Raises
    ------
    PyhpcError
        If there is none.
    """
    folder = packing or packing_folder(output, plan)
    found: list[Found] = []
    for index, entry in enumerate(plan.shards):
        if shard is not None and index != shard:
            continue
        file = open_shard(folder, entry)
        ids = file.read_all()["id"].to_pylist()
        rows = [k for k, name in enumerate(ids) if name == id and row in (None, k)]
        if not rows:
            continue
        records = [record for batch in read_batches(file) for record in batch.records]
        manifest = read_manifest(output, plan, index)
        ledger = manifest and pq.read_table(output.ledger / manifest["ledger"]["name"]).to_pylist()
        found.extend(Found(records[k], index, k, ledger and ledger[k]) for k in rows)
    if not found:
        raise PyhpcError(
            f"{output.path} has no record {id!r}",
            "The ledger lists all: the column id of ledger/*.parquet.",
        )
    return found
