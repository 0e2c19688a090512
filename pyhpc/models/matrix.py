"""Columns of tables as matrices of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def matrix(table: pa.Table, columns: Sequence[str]) -> NDArray[np.float32]:
    """Features of each row.

    Parameters
    ----------
    table : pyarrow.Table
        With columns of numbers or booleans.
    columns : sequence of str
        Which, in this order.

    Returns
    -------
    array, shape (n_rows, n_columns), float32
        NaN where a value is missing.

    Raises
    ------
    PyhpcError
        If a column is not there, or holds no numbers.
    """
    result = np.empty((table.num_rows, len(columns)), dtype=np.float32)
    for k, name in enumerate(columns):
        result[:, k] = numbers(table, name)
    return result


def numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    """One column as numbers, shape (n_rows,), NaN where a value is missing.

    Raises
    ------
    PyhpcError
        If the column is not there, or holds no numbers.
    """
    column = column_of(table, name)
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise PyhpcError(
            f"column {name!r} holds {kind}, not numbers",
            "Encode it first (pyhpc.models.ordinal), or leave it out of the features.",
        )
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)


def column_of(table: pa.Table, name: str) -> pa.ChunkedArray:
    """One column, or a clear error.

    Raises
    ------
    PyhpcError
        If the column is not there.
    """
    # Not by Table.column_names, which makes a list of all names: a matrix of many columns would
    # take most of the time of a fit.
    index = table.schema.get_field_index(name)
    if index < 0:
        known = ", ".join(table.column_names[:8])
        raise PyhpcError(
            f"the table has no column {name!r}", f"Its {table.num_columns} begin with: {known}."
        )
    return table.column(index)


def ordinal(table: pa.Table, name: str, categories: Sequence[str]) -> pa.Table:
    """Replace a column of text by the position of its values in a list.

    Parameters
    ----------
    table : pyarrow.Table
        With the column, of text or of a dictionary of text.
    name : str
        Column.
    categories : sequence of str
        Every value that may occur, in order.

    Returns
    -------
    pyarrow.Table
        The column is int32 (0 for the first category), null where it was null.

    Raises
    ------
    PyhpcError
        If a value is not among the categories.
    """
    position = {category: k for k, category in enumerate(categories)}
    values = column_of(table, name).cast(pa.string()).to_pylist()
    unknown = sorted({value for value in values if value is not None and value not in position})
    if unknown:
        valid = ", ".join(categories)
        raise PyhpcError(f"column {name!r} holds {unknown[0]!r}", f"Expected one of: {valid}.")
    codes = [None if value is None else position[value] for value in values]
    index = table.column_names.index(name)
    return table.set_column(index, name, pa.array(codes, pa.int32()))
