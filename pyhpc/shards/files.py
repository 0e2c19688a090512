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
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TYPE_CHECKING, Any

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


def temporary(target: Path, attempt: str) -> Path:
    """Name under which an attempt writes a file, hidden from those who read ``*.parquet``."""
    return target.with_name(f".{target.name}.{attempt}.tmp")


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes | memoryview) -> None:
    """Write a file that must not exist, onto the disk."""
    with storage_errors(path), path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def staged(files: Mapping[Path, bytes | memoryview], attempt: str) -> Iterator[None]:
    """Write files under the name of an attempt, onto the disk, and read them back.

    Within, :func:`publish` and :func:`publish_first` give them their names; those that get none are
    taken away. Files are put on the disk side by side: a journal takes several at the price of one.

    Raises
    ------
    PyhpcError
        If the disk gives back something else than what was written.
    """
    temps = [temporary(target, attempt) for target in files]
    try:
        _side_by_side(write_new, temps, files.values())
        for temp, data in zip(temps, files.values(), strict=True):
            if file_digest(temp) != digest(data):
                raise PyhpcError(
                    f"{temp} does not read back as it was written",
                    "Check the file system, then call again.",
                )
        yield
    finally:
        for temp in temps:
            temp.unlink(missing_ok=True)


def publish(targets: Sequence[Path], attempt: str) -> None:
    """Give staged files their final names, in place of those that have them."""
    for target in targets:
        with storage_errors(target):
            temporary(target, attempt).replace(target)
    _side_by_side(sync_folder, {target.parent for target in targets})


def publish_first(target: Path, attempt: str) -> bool:
    """Give a staged file its final name unless another has it: the first of several wins.

    Returns
    -------
    bool
        Whether this attempt's file has it.
    """
    temp = temporary(target, attempt)
    with storage_errors(target):
        try:
            os.link(temp, target)
        except FileExistsError:
            # NFS may repeat a request whose answer was lost, and then refuse the repetition.
            return temp.samefile(target)
        sync_folder(target.parent)
    return True


def replace(target: Path, data: bytes | memoryview, attempt: str) -> None:
    """Write a file, in place of one that is there."""
    with staged({target: data}, attempt):
        publish([target], attempt)


def create(target: Path, data: bytes, attempt: str) -> bool:
    """Write a file unless it exists.

    Returns
    -------
    bool
        Whether this call made the file.
    """
    with staged({target: data}, attempt):
        return publish_first(target, attempt)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="pyhpc-files")


def _side_by_side(call: Callable[..., None], *arguments: Iterable[Any]) -> None:
    """Call for each, all at once; an error is raised when all have ended."""
    here, *others = zip(*arguments, strict=True)
    futures = [_threads().submit(call, *each) for each in others]
    try:
        call(*here)
    finally:
        wait(futures)
    for future in futures:
        future.result()
