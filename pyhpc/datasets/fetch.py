"""Get a data set from its publisher or from a copy, and check it."""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.request
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pyhpc.errors import PyhpcError
from pyhpc.shards.files import make_folder, new_attempt, replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyhpc.datasets.published import Dataset, PublishedFile

MAX_BYTES = 64 * 2**20
"""Most bytes of a file, and of the members of an archive: a data set is known, and smaller."""

TIMEOUT = 30.0
"""Seconds without an answer after which an address is given up."""


def fetch(
    dataset: Dataset,
    folder: Path,
    *,
    copy: Path | None = None,
    on_file: Callable[[str, str], None] = lambda name, source: None,
) -> None:
    """Put the files of a data set into a folder; those that are there and whole are kept.

    Parameters
    ----------
    dataset : Dataset
        What to get.
    folder : Path
        Where to put it.
    copy : Path, optional
        Folder of a copy, in place of the publisher's address.
    on_file : callable
        Called with the name of each file and where it came from.

    Raises
    ------
    PyhpcError
        If a file can't be had, or is another than the published one.
    """
    make_folder(folder)
    for file in dataset.files:
        target = folder / file.name
        if target.exists() and _hash(file, target.read_bytes()) == file.sha256:
            on_file(file.name, "already there")
            continue
        data, source = _from_copy(file, copy) if copy else _from_publisher(dataset, file)
        replace(target, data, new_attempt())
        on_file(file.name, source)


def content_hash(archive: bytes) -> str:
    """Hash of the files in a tar archive: their names without folders, sorted, and their bytes."""
    hasher = hashlib.sha256()
    members: dict[str, bytes] = {}
    total = 0
    # From memory, and only read: nothing in an archive decides where anything is written.
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            # macOS packs a resource fork beside each file.
            if not member.isfile() or name.startswith("."):
                continue
            total += member.size
            if total > MAX_BYTES:
                raise tarfile.TarError(f"it holds more than {MAX_BYTES} bytes")
            handle = tar.extractfile(member)
            members[name] = handle.read() if handle else b""
    for name in sorted(members):
        hasher.update(name.encode() + b"\0" + hashlib.sha256(members[name]).digest())
    return hasher.hexdigest()


def file_hash(file: PublishedFile, path: Path) -> str:
    """Hash of a copy of a published file, to compare with ``file.sha256``."""
    return _hash(file, path.read_bytes())


def _hash(file: PublishedFile, data: bytes) -> str:
    """Hash by which a file is known, empty if it is no archive where one is expected."""
    if not file.name.endswith(".tar.gz"):
        return hashlib.sha256(data).hexdigest()
    try:
        return content_hash(data)
    except (tarfile.TarError, EOFError, OSError):
        return ""


def _from_copy(file: PublishedFile, copy: Path) -> tuple[bytes, str]:
    for name in dict.fromkeys((file.name, file.remote_name)):
        path = copy / name
        if path.is_file():
            data = path.read_bytes()
            if _hash(file, data) == file.sha256:
                return data, str(path)
            raise PyhpcError(
                f"{path} is not the published file: its hash is another",
                "Get a fresh copy from the publisher.",
            )
    raise PyhpcError(
        f"there is no {file.name} in {copy}", "Name the folder of a whole copy with --from."
    )


def _from_publisher(dataset: Dataset, file: PublishedFile) -> tuple[bytes, str]:
    if not dataset.addresses:
        raise PyhpcError(
            f"nobody publishes {dataset.name} as one set: {dataset.parts}",
            "Pass the folder of a copy with --from.",
        )
    found = []
    for address in dataset.addresses:
        url = address + file.remote_name
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 (ours)
                data = answer.read(MAX_BYTES + 1)
        except OSError as error:
            found.append(f"{url}: {getattr(error, 'reason', error)}")
            continue
        if _hash(file, data) == file.sha256:
            return data, url
        found.append(f"{url}: another file than the one with the known hash")
    raise PyhpcError(
        f"{file.name} of {dataset.name} could not be had ({'; '.join(found)})",
        "Check the network, or pass a copy with --from FOLDER.",
    )
