"""Structures as text from a column of a CSV, Parquet or JSON table, streamed."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pyhpc.crystals.json_tables import INDEX, iter_json
from pyhpc.crystals.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pyhpc.crystals.limits import Limits

_TEXT_COLUMNS = (
    "cif",
    "cif_text",
    "cif_string",
    "cif_str",
    "cif_content",
    "text",
    "structure_cif",
    "structure",
)
_ID_COLUMNS = (
    "id",
    "cif_id",
    "cif id",
    "material_id",
    "mp_id",
    "mpid",
    "record_id",
    "entry_id",
    "name",
    INDEX,
)
_ROWS_AT_ONCE = 64


class Row(NamedTuple):
    """A row of a table.

    Attributes
    ----------
    name : str
        From the id column, else the number of the row.
    text : bytes or None
        None if the cell is empty or too large.
    size : int
        Bytes of the cell, as far as they were counted.
    """

    name: str
    text: bytes | None
    size: int


class ColumnError(ValueError):
    """A table does not have the columns that are needed."""


def pick_columns(
    names: Sequence[str], text_column: str | None, id_column: str | None
) -> tuple[int, int | None]:
    """Positions of the text and id columns: those that were asked for, else by their usual names.

    Raises
    ------
    ColumnError
        If a column that was asked for, or any text column, is missing.
    """
    for wanted in (text_column, id_column):
        if wanted is not None and wanted not in names:
            raise ColumnError(f"no column {wanted!r}; the columns are {', '.join(names)}")
    lower = [name.lower() for name in names]

    def guess(usual: Sequence[str]) -> int | None:
        return next((lower.index(name) for name in usual if name in lower), None)

    text = guess(_TEXT_COLUMNS) if text_column is None else list(names).index(text_column)
    if text is None:
        raise ColumnError(
            f"no column with a usual name for structures; the columns are {', '.join(names)}. "
            "Name it with text_column"
        )
    return text, guess(_ID_COLUMNS) if id_column is None else list(names).index(id_column)


def iter_parquet(
    path: Path, text_column: str | None, id_column: str | None, limits: Limits
) -> Iterator[Row]:
    """Yield the rows of a Parquet table."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as table:
        names = table.schema_arrow.names
        text, identifier = pick_columns(names, text_column, id_column)
        wanted = [names[text]] + ([] if identifier is None else [names[identifier]])
        number = 0
        for batch in table.iter_batches(_ROWS_AT_ONCE, columns=wanted, use_threads=False):
            cells = batch.column(wanted[0])
            ids = None if identifier is None else batch.column(wanted[1])
            for k in range(len(batch)):
                value = None if ids is None else ids[k].as_py()
                yield _row(number, value, cells[k].as_py(), limits)
                number += 1


def cell_text(cell: object) -> bytes:
    """Text of a structure in a cell: CIF, or JSON; empty where the cell holds neither."""
    if isinstance(cell, dict):
        return json.dumps(cell, separators=(",", ":")).encode()
    if isinstance(cell, str):
        return cell.encode("utf-8", "surrogateescape")
    return cell if isinstance(cell, bytes) else b""


def _row(number: int, name: object, cell: object, limits: Limits) -> Row:
    text = cell_text(cell)
    keep = 0 < len(text) <= limits.max_text_bytes
    return Row(str(number if name in (None, "") else name), text if keep else None, len(text))


def read_json_columns(stream: BinaryIO) -> list[str]:
    """Names of the columns of a JSON table, from its first row."""
    return list(next(iter_json(stream, DEFAULT_LIMITS), {}))


def iter_json_texts(
    stream: BinaryIO, text_column: str | None, id_column: str | None, limits: Limits
) -> Iterator[Row]:
    """Yield the rows of a JSON table."""
    text, identifier = "", None
    for number, cells in enumerate(iter_json(stream, limits)):
        if number == 0:
            names = list(cells)
            at, id_at = pick_columns(names, text_column, id_column)
            text, identifier = names[at], None if id_at is None else names[id_at]
        name = None if identifier is None else cells.get(identifier)
        yield _row(number, name, cells.get(text), limits)


def read_csv_header(stream: BinaryIO) -> list[str]:
    """Names of the columns of a CSV table."""
    return next(csv.reader(BoundedLines(stream, DEFAULT_LIMITS)), [])


def iter_csv(
    stream: BinaryIO, text_column: str | None, id_column: str | None, limits: Limits
) -> Iterator[Row]:
    """Yield the rows of a CSV table with a header line."""
    # Lines bound the fields below; csv's own limit, global and 128 kB, must not interfere.
    csv.field_size_limit(sys.maxsize)
    lines = BoundedLines(stream, limits)
    reader = csv.reader(lines)
    text, identifier = pick_columns(next(reader, []), text_column, id_column)
    lines.start_row()
    number = 0
    for cells in reader:
        if not cells and not lines.is_cut:
            lines.start_row()  # A blank line.
            continue
        name = cells[identifier] if identifier is not None and identifier < len(cells) else None
        cell = cells[text] if text < len(cells) else None
        if lines.is_cut:
            yield Row(str(name or number), None, lines.row_size)
        else:
            yield _row(number, name, cell, limits)
        lines.start_row()
        number += 1


class BoundedLines:
    """Lines of a CSV file for ``csv.reader``, none of whose rows is ever in memory as a whole.

    Once a row is too large, only whether the number of its quotes is odd is passed on, so that the
    reader still finds its end.

    Parameters
    ----------
    stream : binary file
        UTF-8.
    limits : Limits
        A row may have twice ``max_text_bytes``.
    errors : str
        What becomes of other bytes; by default they come back when a cell is encoded again.
    """

    def __init__(
        self, stream: BinaryIO, limits: Limits, *, errors: str = "surrogateescape"
    ) -> None:
        # A row holds more than its CIF; twice the limit leaves room for other columns.
        self._most = 2 * limits.max_text_bytes
        self._stream = stream
        self._errors = errors
        self._mark = b"\xef\xbb\xbf"
        self.start_row()

    def start_row(self) -> None:
        """Begin to count anew."""
        self.row_size = 0

    @property
    def is_cut(self) -> bool:
        """Whether the row was too large."""
        return self.row_size > self._most

    def __iter__(self) -> BoundedLines:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._most + 1)
        if not line:
            raise StopIteration
        self.row_size += len(line)
        if not self.is_cut:
            text = line.removeprefix(self._mark)
            self._mark = b""
            return text.decode("utf-8", self._errors)
        quotes = line.count(b'"')
        while line and not line.endswith(b"\n"):
            line = self._stream.readline(1 << 16)
            self.row_size += len(line)
            quotes += line.count(b'"')
        return '"' * (quotes % 2)
