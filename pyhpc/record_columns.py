"""Records of a shard as columns, so that their texts reach the kernels as they were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from typing import TYPE_CHECKING, Self, overload

import numpy as np

from pyhpc.records import Reason, Record

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Texts:
    """Texts, one after another in memory.

    Attributes
    ----------
    data : array, shape (n_bytes,), uint8
        All of them.
    offsets : array, shape (n_texts + 1,), int64
        Where each begins and the last ends.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def join(cls, texts: Sequence[bytes]) -> Self:
        """Put texts after one another."""
        ends = accumulate(map(len, texts), initial=0)
        offsets = np.fromiter(ends, np.int64, len(texts) + 1)
        return cls(np.frombuffer(b"".join(texts), np.uint8), offsets)

    @classmethod
    def of(cls, column: pa.Array) -> Self:
        """Take those of a binary column, whose memory they share."""
        _, offsets, data = column.buffers()
        places = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset)
        return cls(np.frombuffer(data or b"", np.uint8), places.astype(np.int64))

    def __getitem__(self, index: int) -> bytes:
        start, stop = self.offsets[index : index + 2]
        return self.data[start:stop].tobytes()


class RecordColumns(Sequence[Record]):
    """Records as columns. A record is made when it is asked for.

    Parameters
    ----------
    columns : pyarrow.RecordBatch
        Columns named as the fields of :class:`~pyhpc.records.Record`, but for ``refused``.
    refused : mapping of int to Reason
        Why the source could not give the text, of those of which it could not.
    """

    def __init__(self, columns: pa.RecordBatch, refused: Mapping[int, Reason]) -> None:
        self._columns = columns.select(_FIELDS)
        self.refused = refused

    @property
    def ids(self) -> list[str]:
        """Names of the records."""
        names: list[str] = self._columns["id"].to_pylist()
        return names

    @cached_property
    def cifs(self) -> Texts | None:
        """The texts, if all of them are CIFs."""
        if self.refused or set(self._columns["format"].unique().to_pylist()) - {"cif"}:
            return None
        return Texts.of(self._columns["text"])

    def __len__(self) -> int:
        count: int = self._columns.num_rows
        return count

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        """Make a record, or some."""
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        row = range(len(self))[index]
        values = (column[row].as_py() for column in self._columns)
        return Record._make([*values, self.refused.get(row)])

    def __iter__(self) -> Iterator[Record]:
        columns = (column.to_pylist() for column in self._columns)
        refused = map(self.refused.get, range(len(self)))
        # What Record._make does, without a call of Python for each.
        return map(partial(tuple.__new__, Record), zip(*columns, refused, strict=True))


_FIELDS = ["id", "text", "format", "source", "start", "stop"]


def refusals(records: Sequence[Record]) -> Mapping[int, Reason]:
    """Say which records were refused by their source, and why."""
    if isinstance(records, RecordColumns):
        return records.refused
    return {k: one.refused for k, one in enumerate(records) if one.refused is not None}
