"""Parquet with equal bytes for equal tables."""

from __future__ import annotations

import base64
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

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
    form = _form(table.schema)
    rows = max(table.num_rows, 1)
    with pq.ParquetWriter(
        sink,
        form.bare,
        compression="snappy",
        use_dictionary=form.dictionaries or False,
        write_statistics=False,
        # All rows of a shard in one step.
        write_batch_size=8192,
        store_schema=False,
        metadata_collector=written,
    ) as writer:
        # Chunks show in the pages, and come from how the rows were cut into batches.
        whole = table.combine_chunks()
        if table.num_rows:
            # The same bytes as of a table, in less time.
            (batch,) = whole.to_batches()
            writer.write_batch(batch, row_group_size=rows)
        else:
            writer.write_table(whole, row_group_size=rows)
        writer.add_key_value_metadata(form.metadata)
    if written[0].num_rows != table.num_rows:
        raise RuntimeError(f"{written[0].num_rows} of {table.num_rows} rows were encoded")
    return memoryview(sink.getvalue())


@dataclass(frozen=True, eq=False, slots=True)
class _Form:
    """What the files of one schema have in common.

    Arrow would make its copy of the schema, which brings units and sources to who reads the file,
    for each file anew: a tenth of the time of all.

    Attributes
    ----------
    schema : pyarrow.Schema
        The schema.
    bare : pyarrow.Schema
        The same without metadata.
    metadata : dict of bytes to bytes
        Metadata of the files, with the schema where Arrow looks for it.
    dictionaries : list of str
        Parquet's paths of all dictionaries.
    """

    schema: pa.Schema
    bare: pa.Schema
    metadata: dict[bytes, bytes]
    dictionaries: list[str]

    @classmethod
    def of(cls, schema: pa.Schema) -> Self:
        stored = base64.b64encode(schema.serialize())
        return cls(
            schema,
            pa.schema([field.remove_metadata() for field in schema]),
            {**(schema.metadata or {}), b"ARROW:schema": stored},
            [path for field in schema for path in _dictionaries(field)],
        )


_forms: deque[_Form] = deque(maxlen=4)
"""Those of the last schemas: a worker has one of parts and one of ledgers."""


def _form(schema: pa.Schema) -> _Form:
    for form in list(_forms):
        if form.schema.equals(schema, check_metadata=True):
            return form
    form = _Form.of(schema)
    _forms.append(form)
    return form


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
