"""Rows of a table in a file, whatever its format, as dicts of cells."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Any

from pyhpc.crystals.formats import TABLES, is_gzip, kind_of
from pyhpc.crystals.json_tables import iter_json
from pyhpc.crystals.limits import DEFAULT_LIMITS
from pyhpc.crystals.streams import READ_ERRORS, ArchiveRatioError, open_file
from pyhpc.crystals.tables import BoundedLines
from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyhpc.crystals.limits import Limits

_ROWS_AT_ONCE = 64


def iter_rows(path: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, one after the other.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.json`` (see :func:`pyhpc.crystals.json_tables.iter_json`), either also as
        ``.gz``, or ``.parquet``.
    limits : Limits
        A row may have twice ``max_text_bytes``; compressed files are held to their ratio.

    Yields
    ------
    dict of str to object
        Cells by column: text in CSV, else whatever the file holds; None where a row is cut short.

    Raises
    ------
    PyhpcError
        If the file is no such table, or breaks off; the message names the last row that was read.
    """
    kind = kind_of(path.name)
    if kind not in TABLES:
        raise PyhpcError(
            f"{path} is no table", "Name a .csv, .csv.gz, .json, .json.gz or .parquet file."
        )
    number = 0
    try:
        for row in _rows(path, kind, limits):
            yield row
            number += 1
    except (*READ_ERRORS, ValueError, csv.Error, ArchiveRatioError) as error:
        where = f"after row {number - 1}" if number else "from its start"
        raise PyhpcError(
            f"{path} can't be read as {kind.upper()} {where}: {error}", "Correct the file."
        ) from None


def cell_text(cell: object, where: str) -> str:
    """Text of a cell, so that numbers come back as they were; empty where it holds nothing.

    Raises
    ------
    PyhpcError
        If the cell holds a list or an object; ``where`` names it in the message.
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, list | dict):
        raise PyhpcError(
            f"{where} holds a {type(cell).__name__}", "Expected a text or a number in this column."
        )
    return str(cell).strip()


def _rows(path: Path, kind: str, limits: Limits) -> Iterator[dict[str, Any]]:
    if kind == "parquet":
        yield from _parquet_rows(path)
        return
    with open_file(path, limits, compressed=is_gzip(path.name)) as stream:
        if kind == "json":
            yield from iter_json(stream, limits)
        else:
            yield from _csv_rows(BoundedLines(stream, limits, errors="strict"))


def _csv_rows(lines: BoundedLines) -> Iterator[dict[str, Any]]:
    # Lines bound the fields; csv's own limit, global and 128 kB, must not interfere.
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    lines.start_row()
    for cells in reader:
        if lines.is_cut:
            raise ValueError(f"a row has {lines.row_size} bytes")
        lines.start_row()
        if cells:  # A blank line is no row.
            yield dict.fromkeys(header) | dict(zip(header, cells, strict=False))


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(_ROWS_AT_ONCE, use_threads=False):
            yield from batch.to_pylist()
