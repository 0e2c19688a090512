"""Parquet with equal bytes for equal tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pyhpc.records import Reason

REASON = pa.struct(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
    ]
)
"""A :class:`~pyhpc.records.Reason` as a column."""


def printable(text: str) -> str:
    """Text that is valid UTF-8; file names need not be."""
    return text.encode("utf-8", "backslashreplace").decode()


def reason_row(reason: Reason) -> dict[str, str]:
    """Value of a column of type :data:`REASON`."""
    return {
        "code": reason.code,
        "stage": reason.stage,
        "outcome": str(reason.outcome),
        "message": printable(reason.message),
    }


def to_list(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Values of a column without nulls; ``to_pylist`` takes several times as long."""
    values = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(False)
    objects: list[Any] = values.tolist()
    return objects


def encode_table(table: pa.Table) -> memoryview:
    """Parquet file of a table as bytes, one row group."""
    sink = pa.BufferOutputStream()
    # Chunks show in the pages, and come from how the rows were cut into batches. Snappy: with some
    # hundred short columns of numbers zstd takes as long as all else, and saves a tenth.
    pq.write_table(
        table.combine_chunks(), sink, compression="snappy", row_group_size=max(table.num_rows, 1)
    )
    return memoryview(sink.getvalue())
