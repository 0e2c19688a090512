"""Shard files, read before a worker comes to them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, Self

from pyhpc.shards.packed import open_shard, read_batches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from pyhpc.shards.packed import PackedBatch, ShardTable

MOST = 2
"""Files that are held at most: the next of what a worker is at, and the first of what waits."""


LEAST_BYTES = 2**16
"""Text of a shard that is worth another thread: to change between two takes a millisecond."""


class Opened(NamedTuple):
    """A shard file in memory.

    Attributes
    ----------
    batches : iterator of PackedBatch
        Its records.
    seconds : float
        Core time that was spent on it beside what else was done.
    """

    batches: Iterator[PackedBatch]
    seconds: float


class ReadAhead:
    """Shard files that are read while other shards are treated.

    A file that is not in the page cache keeps a worker waiting for as long as it treats some ten
    records, and on a shared file system for longer. The first batch is read to its records, since
    that needs the interpreter, which is free while kernels run, and not between two shards.

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
            return Opened(self._open(index), 0.0)
        started = time.perf_counter()
        opened = expected.result()
        # What is spent while it is waited for is no more than the wait.
        waited = time.perf_counter() - started
        return opened._replace(seconds=max(opened.seconds - waited, 0.0))

    def _open(self, index: int) -> Iterator[PackedBatch]:
        return read_batches(open_shard(self._folder, self._shards[index]))

    def _open_ahead(self, index: int) -> Opened:
        started = time.thread_time()
        batches = self._open(index)
        first = list(islice(batches, 1))
        return Opened(chain(first, batches), time.thread_time() - started)
