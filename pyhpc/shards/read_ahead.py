"""Shard files, read before a worker comes to them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, Self

from pyhpc.shards.packed import open_shard

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from pyarrow import ipc

    from pyhpc.shards.packed import ShardTable

MOST = 2
"""Files that are held at most: the next of what a worker is at, and the first of what waits."""


LEAST_BYTES = 2**16
"""Text of a shard that is worth another thread: to change between two takes a millisecond."""


class Opened(NamedTuple):
    """A shard file in memory.

    Attributes
    ----------
    file : pyarrow.ipc.RecordBatchFileReader
        The file.
    seconds : float
        Core time that was spent on it beside what else was done.
    """

    file: ipc.RecordBatchFileReader
    seconds: float


class ReadAhead:
    """Shard files that are read while other shards are treated.

    A file that is not in the page cache keeps a worker waiting for as long as it treats some ten
    records, and on a shared file system for longer.

    Parameters
    ----------
    folder : Path
        Folder of the shard files.
    shards : ShardTable
        The shards.
    """

    def __init__(self, folder: Path, shards: ShardTable) -> None:
        self._folder = folder
        self._shards = shards
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pyhpc-reads")
        self._expected: dict[int, Future[Opened]] = {}
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def expect(self, index: int) -> None:
        """Begin to read a large file; what is never opened is let go after some others."""
        if self._shards[index].text_bytes < LEAST_BYTES:
            return
        with self._lock:
            if index not in self._expected:
                self._expected[index] = self._pool.submit(self._open_ahead, index)
            if len(self._expected) > MOST:
                self._expected.pop(next(iter(self._expected))).cancel()

    def open(self, index: int) -> Opened:
        """Give a file, and let go of it.

        Raises
        ------
        PyhpcError
            If the file is missing, truncated or altered.
        """
        with self._lock:
            expected = self._expected.pop(index, None)
        if expected is None or expected.cancel():
            return Opened(open_shard(self._folder, self._shards[index]), 0.0)
        return expected.result()

    def _open_ahead(self, index: int) -> Opened:
        started = time.thread_time()
        file = open_shard(self._folder, self._shards[index])
        return Opened(file, time.thread_time() - started)
