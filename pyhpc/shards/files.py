"""Files that are there in full or not at all, on local disks, NFS and Lustre.

Nothing here locks, lists a folder or reads a clock. What is written is named after the attempt
that writes it, beside its target (hard links and renames across folders are not to be had
everywhere), and takes its final name only once it is on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from io import FileIO
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

_STORAGE_ERRORS = {
    errno.ENOSPC: "Make room and call again: what is committed is kept.",
    errno.EDQUOT: "Make room in the quota and call again: what is committed is kept.",
    errno.EFBIG: "Raise the limit on file sizes (ulimit -f) and call again.",
    errno.EROFS: "Choose another --out, or make the file system writable.",
    errno.EACCES: "Choose another --out, or get the permission to write there.",
    errno.EPERM: "Choose an --out on a file system with hard links, where you may write.",
    errno.ENOTDIR: "Choose another --out: this one leads through a file.",
}


def new_attempt() -> str:
    """Name of an attempt that no other process has."""
    return secrets.token_hex(8)


def digest(data: bytes | memoryview) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(value: Any) -> bytes:
    """JSON with one spelling: equal values give equal bytes."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)
    return text.encode() + b"\n"


def differences(old: Any, new: Any, name: str = "") -> str:
    """Say where two JSON values differ, in one line."""
    if isinstance(old, dict) and isinstance(new, dict):
        return "; ".join(
            differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        )
    was, now = (json.dumps(value)[:200] for value in (old, new))
    return f"{name} was {was}, is {now}"


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Say what to do where the disk is full, the quota spent or the folder read-only."""
    try:
        yield
    except OSError as error:
        remedy = _STORAGE_ERRORS.get(error.errno or 0)
        if remedy is None:
            raise
        raise PyhpcError(f"cannot write {path}: {os.strerror(error.errno or 0)}", remedy) from error


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, that outlives a power cut."""
    with storage_errors(path):
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            sync_folder(path.parent)


class NewFile(NamedTuple):
    """A file that is to get its name once it is on the disk.

    Attributes
    ----------
    target : Path
        Its name.
    data : bytes-like
        Its content.
    temporary : Path
        Its name until then.
    """

    target: Path
    data: bytes | memoryview
    temporary: Path

    @classmethod
    def of(cls, target: Path, data: bytes | memoryview, attempt: str) -> Self:
        """Name it after the attempt that makes it, hidden from those who read ``*.parquet``."""
        return cls(target, data, target.with_name(f".{target.name}.{attempt}.tmp"))


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of a file's content; it is not on the disk yet."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


@contextlib.contextmanager
def staged(files: Sequence[NewFile]) -> Iterator[None]:
    """Write files under their temporary names, onto the disk, and read them back.

    Within, :func:`publish` and :func:`publish_first` give them their names; those that get none are
    taken away. All are written before the first is put on the disk, and then several side by side:
    a journal takes many at the price of one.

    Raises
    ------
    PyhpcError
        If the disk gives back something else than what was written.
    """
    try:
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(_open_new(file)) for file in files]
            _side_by_side(_write, files, opened)
            _side_by_side(_sync, files, opened)
        yield
    finally:
        for file in files:
            file.temporary.unlink(missing_ok=True)


def _open_new(file: NewFile) -> FileIO:
    with storage_errors(file.temporary):
        return FileIO(file.temporary, "x+")


def _write(file: NewFile, opened: FileIO) -> None:
    with storage_errors(file.temporary):
        write(opened, file.data)


def _sync(file: NewFile, opened: FileIO) -> None:
    with storage_errors(file.temporary):
        os.fsync(opened.fileno())
        opened.seek(0)
        if not _holds(opened, file.data):
            raise PyhpcError(
                f"{file.temporary} does not read back as it was written",
                "Check the file system, then call again.",
            )
    if len(file.data) >= STREAMED_BYTES:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


STREAMED_BYTES = 2**16
"""Files so large leave the page cache once they are on the disk. They are not read again soon, and
the pages serve for those that follow: pages that the machine has to find (to a virtual one its host
gives them one by one) make writing four times as long, and count as memory of a job."""

_PIECE = 2**16
"""Bytes that are read back at once: few enough for the caches, and for memory that is at hand."""


def _holds(file: FileIO, data: bytes | memoryview) -> bool:
    """Say whether a file holds this, from where it is read next to its end."""
    rest = memoryview(data)
    while piece := file.read(_PIECE):
        if piece != bytes(rest[: len(piece)]):
            return False
        rest = rest[len(piece) :]
    return not rest


def publish(files: Sequence[NewFile]) -> None:
    """Give staged files their names, in place of those that have them."""
    for file in files:
        with storage_errors(file.target):
            file.temporary.replace(file.target)
    _sync_folders(files)


def publish_first(files: Sequence[NewFile]) -> list[bool]:
    """Give staged files their names unless others have them: the first of several wins.

    Returns
    -------
    list of bool
        Whether each has its name.
    """
    won = [_link(file) for file in files]
    _sync_folders(files)
    return won


def _link(file: NewFile) -> bool:
    with storage_errors(file.target):
        try:
            os.link(file.temporary, file.target)
        except FileExistsError:
            # NFS may repeat a request whose answer was lost, and then refuse the repetition.
            return file.temporary.samefile(file.target)
    return True


def _sync_folders(files: Sequence[NewFile]) -> None:
    _side_by_side(sync_folder, {file.target.parent for file in files})


def replace(target: Path, data: bytes | memoryview, attempt: str) -> None:
    """Write a file, in place of one that is there."""
    file = NewFile.of(target, data, attempt)
    with staged([file]):
        publish([file])


def create(target: Path, data: bytes, attempt: str) -> bool:
    """Write a file unless it exists.

    Returns
    -------
    bool
        Whether this call made the file.
    """
    file = NewFile.of(target, data, attempt)
    with staged([file]):
        return publish_first([file])[0]


THREADS = 4
"""Files that are put on the disk side by side."""


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS - 1, thread_name_prefix="pyhpc-files")


class _Helped(threading.local):
    """Core time that other threads have spent for this one, in seconds."""

    seconds = 0.0


_helped = _Helped()


def core_time() -> float:
    """Core time of this thread, with that of others that put files on the disk for it, in seconds.

    Only differences mean something.
    """
    return time.thread_time() + _helped.seconds


def _side_by_side(call: Callable[..., None], *arguments: Iterable[Any]) -> None:
    """Call for each, several at once; an error is raised when all threads have ended."""
    calls = list(zip(*arguments, strict=True))

    def work(thread: int) -> float:
        started = time.thread_time()
        for each in calls[thread::THREADS]:
            call(*each)
        return time.thread_time() - started

    futures = [_threads().submit(work, thread) for thread in range(1, min(THREADS, len(calls)))]
    try:
        work(0)
    finally:
        wait(futures)
    _helped.seconds += sum(future.result() for future in futures)
