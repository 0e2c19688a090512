"""Arrow arrays from NumPy's and from strings, without pandas.

``pyarrow.array`` and ``to_numpy`` look whether they deal with an object of pandas, and import it
for that wherever it is installed, which costs every worker a quarter of a second. What workers
convert goes through here, or through ``to_pylist``, which does not look.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def numbers(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """Array of numbers, which shares their memory.

    Parameters
    ----------
    values : array, shape (n,)
        Integers or floating-point numbers of a type that Arrow has. NaN stays NaN.
    missing : array, shape (n,), bool, optional
        Where there is null.
    """
    validity = None
    if missing is not None and missing.any():
        validity = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [validity, buffer])


def strings(values: Sequence[str]) -> pa.Array:
    """Array of strings."""
    encoded = [value.encode() for value in values]
    offsets = np.fromiter(accumulate(map(len, encoded), initial=0), np.int32, len(encoded) + 1)
    return pa.StringArray.from_buffers(
        len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))
    )


def values(column: pa.Array) -> NDArray[Any]:
    """Values of an array of numbers, which share its memory; anything where there is null."""
    dtype = np.dtype(column.type.to_pandas_dtype())
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)


def missing(column: pa.Array) -> NDArray[np.bool_]:
    """Where an array has null."""
    validity = column.buffers()[0]
    if validity is None:
        return np.zeros(len(column), np.bool_)
    end = column.offset + len(column)
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), count=end, bitorder="little")
    absent: NDArray[np.bool_] = bits[column.offset :] == 0
    return absent
