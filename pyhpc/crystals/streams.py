"""Reading compressed data within bounds."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from pathlib import Path

    from pyhpc.crystals.limits import Limits

READ_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,  # a compression method that zipfile does not know
    RuntimeError,  # an encrypted zip member
)
"""What the file system and broken or foreign compressed data raise."""


class ArchiveRatioError(Exception):
    """Compressed data unpacks to more than it may."""


class Budget:
    """How many bytes a compressed file may still unpack to.

    Parameters
    ----------
    compressed : int
        Size of the file.
    limits : Limits
        Ratio, and what is always allowed.
    """

    def __init__(self, compressed: int, limits: Limits) -> None:
        self._most = max(int(compressed * limits.max_ratio), limits.ratio_floor)
        self._spent = 0
        self._message = (
            f"unpacks to more than {self._most} bytes from {compressed}, a ratio above "
            f"{limits.max_ratio:g}"
        )

    def spend(self, n_bytes: int) -> None:
        """Count bytes; raise ArchiveRatioError once they are too many."""
        self._spent += n_bytes
        if self._spent > self._most:
            raise ArchiveRatioError(self._message)


class _BudgetedStream(io.RawIOBase):
    """A stream whose bytes are counted as they are read."""

    def __init__(self, stream: BinaryIO, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._budget.spend(len(data))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def budgeted(stream: BinaryIO, budget: Budget) -> BinaryIO:
    """Count what is read from a decompressed stream."""
    return cast("BinaryIO", io.BufferedReader(_BudgetedStream(stream, budget), 1 << 16))


def open_file(path: Path, limits: Limits, *, compressed: bool) -> BinaryIO:
    """Open a file to be read once, forward, decompressed within the ratio."""
    if not compressed:
        return path.open("rb")
    return budgeted(cast("BinaryIO", gzip.open(path, "rb")), Budget(path.stat().st_size, limits))
