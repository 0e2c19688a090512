"""The ledger: how every record ended, and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pyhpc.records import Outcome, worst
from pyhpc.shards.packed import IDENTITY
from pyhpc.shards.parquet import REASON, reason_row, to_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyhpc.records import Reason

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(REASON), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("stop", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
    ]
)
"""Schema of the ledger: one row per record; ``shard`` and ``row`` say where it is packed."""


_OK = str(Outcome.OK)


def build_ledger(
    identity: pa.Table, reasons: Sequence[list[Reason]], shard: int, first_row: int
) -> pa.Table:
    """Ledger of some records of a shard that stand after one another.

    Parameters
    ----------
    identity : pyarrow.Table
        Columns :data:`~pyhpc.shards.packed.IDENTITY` of the records, as they were packed.
    reasons : sequence of list of Reason
        What is to be said of each record.
    shard, first_row : int
        Where the first record is packed.
    """
    count = identity.num_rows
    columns = {name: identity[name] for name in IDENTITY} | {
        "outcome": pa.array([str(worst(found)) if found else _OK for found in reasons]),
        "reasons": _reasons_column(reasons),
        "shard": pa.array(np.full(count, shard)),
        "row": pa.array(np.arange(first_row, first_row + count)),
    }
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _reasons_column(reasons: Sequence[list[Reason]]) -> pa.Array:
    """Column of the reasons; most are said of many records, and are converted once."""
    distinct: dict[Reason, int] = {}
    said = [distinct.setdefault(one, len(distinct)) for found in reasons for one in found]
    ends = np.cumsum([len(found) for found in reasons], dtype=np.int32)
    rows = pa.array([reason_row(one) for one in distinct], REASON)
    offsets = pa.array(np.concatenate([np.zeros(1, np.int32), ends]))
    return pa.ListArray.from_arrays(offsets, rows.take(pa.array(said, pa.int32())))


def count_outcomes(ledger: pa.Table) -> dict[str, int]:
    """Count the records of a ledger by outcome."""
    counts = {entry["values"]: entry["counts"] for entry in _value_counts(ledger["outcome"])}
    return {str(outcome): counts.get(outcome, 0) for outcome in Outcome}


def _value_counts(column: pa.ChunkedArray) -> list[dict[str, Any]]:
    counts: list[dict[str, Any]] = column.value_counts().to_pylist()
    return counts


def count(ledger: pa.Table) -> dict[str, Any]:
    """Count what a ledger says.

    Returns
    -------
    dict
        ``outcomes``: records by outcome. ``reasons``: by outcome of the reason and its code, the
        records that have such a reason.
    """
    reasons: dict[str, Counter[str]] = {str(outcome): Counter() for outcome in Outcome}
    column = ledger["reasons"].combine_chunks()
    said = column.flatten()
    rows, outcomes, codes = (
        to_list(values)
        for values in (pc.list_parent_indices(column), said.field("outcome"), said.field("code"))
    )
    # A record counts once however often it has a reason.
    for _, outcome, code in set(zip(rows, outcomes, codes, strict=True)):
        reasons[outcome][code] += 1
    return {
        "outcomes": count_outcomes(ledger),
        "reasons": {outcome: dict(codes) for outcome, codes in reasons.items()},
    }
