"""Rows of a JSON table as pandas and matminer write it, streamed."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyhpc.crystals.limits import Limits

INDEX = "index"
"""Name of the column that a table's index becomes, unless one of its columns has it."""

_CHUNK = 1 << 18
_SPACE = " \t\r\n"
_REMEDY = 'pandas writes such a table with to_json(orient="split") or orient="records"'


class JsonTableError(ValueError):
    """A file is no JSON, or no table."""


def iter_json(stream: BinaryIO, limits: Limits) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, one in memory at a time.

    Parameters
    ----------
    stream : binary file
        Either a list of objects, each of them a row; or one object with the lists ``columns`` and
        ``data`` (``orient="split"`` of pandas, which is how matminer publishes its sets), and
        with ``index``, if it has one. ``data`` must be the last of the three, as all that write
        such files put it.
    limits : Limits
        A row, a name or an element of the index may have twice ``max_text_bytes`` characters.

    Raises
    ------
    JsonTableError
        If it is something else, or ends too early. Rows before the fault have been given.
    """
    text = _Text(stream, 2 * limits.max_text_bytes)
    if text.take("["):
        for k, row in enumerate(text.elements()):
            if not isinstance(row, dict):
                raise JsonTableError(f"row {k} is no object with a cell per column; {_REMEDY}")
            yield row
    elif text.take("{"):
        yield from _split_rows(text)
    else:
        raise JsonTableError(f"it begins with neither [ nor {{; {_REMEDY}")


def _split_rows(text: _Text) -> Iterator[dict[str, Any]]:
    columns: list[Any] | None = None
    index: list[Any] = []
    for key in text.object_keys():
        if key == "data":
            if columns is None:
                raise JsonTableError("its columns are not named before its data; " + _REMEDY)
            yield from _rows(text, columns, index)
            return
        if key == "columns":
            columns = list(text.list_of("columns"))
        elif key == INDEX:
            index = list(text.list_of(INDEX))
        else:
            raise JsonTableError(f"it has the key {key[:40]!r}, which no table has; {_REMEDY}")
    raise JsonTableError(f"it has no data; {_REMEDY}")


def _rows(text: _Text, columns: list[Any], index: list[Any]) -> Iterator[dict[str, Any]]:
    names = [str(name) for name in columns]
    number = -1
    for number, cells in enumerate(text.list_of("data")):
        if not isinstance(cells, list) or len(cells) != len(names):
            raise JsonTableError(f"row {number} of its data has not one cell per column")
        row = dict(zip(names, cells, strict=True))
        if number < len(index):
            row.setdefault(INDEX, index[number])
        yield row
    if index and len(index) != number + 1:
        raise JsonTableError(f"it has {number + 1} rows, but an index of {len(index)}")


class _Text:
    """JSON that is read element by element, and in memory only as far as the next one goes.

    Parameters
    ----------
    stream : binary file
        UTF-8.
    most : int
        Characters of one element.
    """

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._most = most
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._at = 0
        self._ended = False

    def take(self, mark: str) -> bool:
        """Go over a character of punctuation, if it comes next."""
        if self._peek() != mark:
            return False
        self._at += 1
        return True

    def elements(self) -> Iterator[Any]:
        """Values up to the end of a list whose bracket was taken."""
        if self.take("]"):
            return
        while True:
            yield self._value()
            if self.take("]"):
                return
            self._expect(",")

    def list_of(self, key: str) -> Iterator[Any]:
        """Elements of a list that is the value of a key."""
        if not self.take("["):
            raise JsonTableError(f"its {key} is no list; {_REMEDY}")
        return self.elements()

    def object_keys(self) -> Iterator[str]:
        """Keys of an object whose brace was taken; who gets one must read its value."""
        if self.take("}"):
            return
        while True:
            key = self._value()
            if not isinstance(key, str):
                raise JsonTableError("a key is no text")
            self._expect(":")
            yield key
            if self.take("}"):
                return
            self._expect(",")

    def _peek(self) -> str:
        """Character that comes next, after any space."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _SPACE:
                    return self._buffer[self._at]
                self._at += 1
            if not self._read(_CHUNK):
                raise JsonTableError("it ends too early")

    def _expect(self, mark: str) -> None:
        if not self.take(mark):
            raise JsonTableError(f"{mark!r} expected, found {self._peek()!r}")

    def _value(self) -> Any:
        self._peek()
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if self._ended or not self._read(size):
                    raise JsonTableError(f"it is no JSON, or ends too early: {error.msg}") from None
            except (ValueError, RecursionError) as error:
                raise JsonTableError(f"an element is too long or too deep: {error}") from None
            else:
                # What ends with the buffer may be the first digits of a number.
                if end < len(self._buffer) or not self._read(size):
                    self._at = end
                    return value
            if len(self._buffer) - self._at > self._most:
                raise JsonTableError(f"an element has more than {self._most} characters")
            # Each try reads all of the element again: twice as much each time makes few of them.
            size = max(size, len(self._buffer) - self._at)

    def _read(self, size: int) -> bool:
        """Read on; says whether there was more."""
        if self._ended:
            return False
        data = self._stream.read(size)
        self._ended = not data
        self._buffer = self._buffer[self._at :] + self._decode(data, self._ended)
        self._at = 0
        return not self._ended
