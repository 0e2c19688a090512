"""Pack sources with the reader of crystals, and show how it goes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pyhpc import crystals
from pyhpc.cli.progress import Counter
from pyhpc.crystals.cost import estimate_cost
from pyhpc.shards import ShardSize, describe_sources, pack

if TYPE_CHECKING:
    from pathlib import Path

    from pyhpc.shards import Packing


def pack_sources(
    sources: tuple[str, ...],
    folder: Path,
    *,
    text_column: str | None,
    id_column: str | None,
    max_text_bytes: int | None,
    records_per_shard: int,
    shard_seconds: float,
) -> Packing:
    """Pack sources into shards, or take the equal packing that is there."""
    limits = crystals.Limits()
    if max_text_bytes is not None:
        limits = crystals.Limits(max_text_bytes=max_text_bytes)
    columns = {"text_column": text_column, "id_column": id_column}
    columns = {name: column for name, column in columns.items() if column is not None}
    with Counter("packing") as counter:
        return pack(
            crystals.iter_records(sources, limits, **columns),
            folder,
            inputs={
                "sources": describe_sources(sources),
                "limits": asdict(limits),
                "columns": columns,
            },
            cost=estimate_cost,
            size=ShardSize(records=records_per_shard, seconds=shard_seconds),
            on_record=counter.add,
        )
