"""Parquet with equal bytes for equal tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def encode_table(table: pa.Table) -> memoryview:
    """Parquet file of a table as bytes, one row group.

    Snappy: with some hundred short columns of numbers zstd takes as long as all else, and saves a
    tenth. Dictionaries for none but columns that are dictionaries, since numbers hardly repeat, and
    no statistics, by which nobody skips a file of a few thousand rows: both would add a third.
    """
    sink = pa.BufferOutputStream()
    written: list[pq.FileMetaData] = []
    dictionaries = [path for field in table.schema for path in _dictionaries(field)]
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="snappy",
        use_dictionary=dictionaries or False,
        write_statistics=False,
        metadata_collector=written,
    ) as writer:
        # Chunks show in the pages, and come from how the rows were cut into batches.
        writer.write_table(table.combine_chunks(), row_group_size=max(table.num_rows, 1))
    if written[0].num_rows != table.num_rows:
        raise RuntimeError(f"{written[0].num_rows} of {table.num_rows} rows were encoded")
    return memoryview(sink.getvalue())


def _dictionaries(field: pa.Field) -> Iterator[str]:
    """Parquet's paths of what is a dictionary in a column."""
    if pa.types.is_dictionary(field.type):
        yield field.name
    elif pa.types.is_list(field.type):
        # Parquet's own name of the level between a list and its elements.
        element = field.type.value_field.with_name("list.element")
        yield from (f"{field.name}.{path}" for path in _dictionaries(element))
    elif pa.types.is_struct(field.type):
        yield from (f"{field.name}.{path}" for inner in field.type for path in _dictionaries(inner))
