"""The ledger: how every record ended, and why."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pyhpc.arrow import numbers, strings, values
from pyhpc.records import OUTCOMES, Outcome
from pyhpc.shards.packed import IDENTITY
from pyhpc.shards.parquet import REASON, reason_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhpc.reasons import Reasons

_WORD = pa.dictionary(pa.int32(), pa.string())
_SAID = pa.struct([pa.field(field.name, _WORD, nullable=False) for field in REASON])

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(_SAID), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("stop", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
    ]
)
"""Schema of the ledger: one row per record; ``shard`` and ``row`` say where it is packed. What the
reasons say is in dictionaries, since most are said of many records."""

_OUTCOMES = strings(OUTCOMES)


def build_ledger(
    identity: pa.Table | pa.RecordBatch,
    outcomes: NDArray[np.uint8],
    reasons: Reasons,
    shard: int,
    first_row: int,
) -> pa.Table:
    """Ledger of some records of a shard that stand after one another.

    Parameters
    ----------
    identity : pyarrow.Table or RecordBatch
        Columns :data:`~pyhpc.shards.packed.IDENTITY` of the records, as they were packed.
    outcomes : array, shape (n_records,), uint8
        How each record ended, as an index of :data:`~pyhpc.records.OUTCOMES`.
    reasons : Reasons
        What is to be said of the records.
    shard, first_row : int
        Where the first record is packed.
    """
    count = identity.num_rows
    columns = {name: identity[name] for name in IDENTITY} | {
        "outcome": _OUTCOMES.take(numbers(outcomes)),
        "reasons": _reasons_column(reasons, count),
        "shard": numbers(np.full(count, shard)),
        "row": numbers(np.arange(first_row, first_row + count)),
    }
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _reasons_column(reasons: Reasons, count: int) -> pa.Array:
    """Column of the reasons of so many records."""
    reasons = reasons.by_appearance()
    rows = [reason_row(one) for one in reasons.distinct]
    columns = [_words([row[field.name] for row in rows], reasons.said) for field in _SAID]
    elements = pa.StructArray.from_arrays(columns, fields=list(_SAID))
    ends = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(reasons.records, minlength=count), out=ends[1:])
    return pa.ListArray.from_arrays(numbers(ends), elements)


def _words(values: Sequence[str], taken: NDArray[np.int32]) -> pa.DictionaryArray:
    """Column of values that were taken from some, each of which is in its dictionary once."""
    words: dict[str, int] = {}
    codes = np.array([words.setdefault(value, len(words)) for value in values], np.int32)
    return pa.DictionaryArray.from_arrays(numbers(codes[taken]), strings(list(words)))


def count(ledger: pa.Table) -> dict[str, Any]:
    """Count what a ledger says.

    Returns
    -------
    dict
        ``outcomes``: records by outcome. ``reasons``: by outcome of the reason and its code, the
        records that have such a reason.
    """
    ended = {str(outcome): 0 for outcome in Outcome}
    for found in pc.value_counts(ledger["outcome"]).to_pylist():
        ended[found["values"]] = found["counts"]
    reasons: dict[str, dict[str, int]] = {str(outcome): {} for outcome in Outcome}
    column = ledger["reasons"].combine_chunks()
    said = column.flatten()
    outcomes, codes = (said.field(name) for name in ("outcome", "code"))
    names = list(product(outcomes.dictionary.to_pylist(), codes.dictionary.to_pylist()))
    kinds = values(outcomes.indices) * len(codes.dictionary) + values(codes.indices)
    # A record counts once however often it has a reason.
    has = np.zeros((ledger.num_rows, len(names)), np.bool_)
    has[values(pc.list_parent_indices(column)), kinds] = True
    for (outcome, code), number in zip(names, has.sum(axis=0).tolist(), strict=True):
        if number:
            reasons[outcome][code] = number
    return {"outcomes": ended, "reasons": reasons}
