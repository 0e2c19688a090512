"""The ledger: how every record ended, and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pyhpc.records import Outcome, worst
from pyhpc.shards.parquet import REASON, reason_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyhpc.records import Reason, Record

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
    records: Sequence[Record], reasons: Sequence[list[Reason]], shard: int, first_row: int
) -> pa.Table:
    """Ledger of some records of a shard that stand after one another."""
    columns = {
        "id": [record.id for record in records],
        "outcome": [str(worst(found)) if found else _OK for found in reasons],
        "reasons": [[reason_row(reason) for reason in found] for found in reasons],
        "source": [record.source for record in records],
        "start": [record.start for record in records],
        "stop": [record.stop for record in records],
        "sha256": [record.sha256 for record in records],
        "shard": [shard] * len(records),
        "row": range(first_row, first_row + len(records)),
    }
    return pa.Table.from_pydict(columns, schema=SCHEMA)


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
    for row in ledger["reasons"].to_pylist():
        for outcome, code in {(reason["outcome"], reason["code"]) for reason in row}:
            reasons[outcome][code] += 1
    return {
        "outcomes": count_outcomes(ledger),
        "reasons": {outcome: dict(codes) for outcome, codes in reasons.items()},
    }
