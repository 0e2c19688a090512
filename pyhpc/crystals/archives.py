"""Members of tar and zip archives, streamed; nothing is ever written to disk."""

from __future__ import annotations

import posixpath
import re
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from pyhpc.crystals.streams import Budget, budgeted, open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyhpc.crystals.limits import Limits

# A long name or an extended header is some hundred bytes; tarfile would read any size into memory.
_MAX_HEADER = 1 << 20
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive, to be read before the next one is asked for.

    Attributes
    ----------
    path : str
        Path within the archive, normalized.
    size : int
        Bytes that the archive announces.
    stream : BinaryIO, optional
        None if the member must not be read.
    unsafe : str
        Why it must not, else empty.
    """

    path: str
    size: int
    stream: BinaryIO | None = None
    unsafe: str = ""


class _BoundedTarInfo(tarfile.TarInfo):
    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return cast("tarfile.TarInfo", super()._proc_member(tar))  # type: ignore[misc]


def iter_tar(path: Path, limits: Limits, *, compressed: bool) -> Iterator[Member]:
    """Yield the files and links of a tar archive, in its order."""
    with (
        open_file(path, limits, compressed=compressed) as stream,
        tarfile.open(
            fileobj=stream, mode="r|", bufsize=1 << 16, tarinfo=_BoundedTarInfo
        ) as archive,
    ):
        while (info := archive.next()) is not None:
            # The list that tarfile keeps would grow with the number of members.
            archive.members.clear()  # type: ignore[attr-defined]
            if info.isdir():
                continue
            name, unsafe = _checked(info.name)
            if not unsafe and not info.isreg():
                unsafe = f"a link to {info.linkname!r}" if info.linkname else "not a regular file"
            stream_of = None if unsafe else archive.extractfile(info)
            yield Member(name, info.size, cast("BinaryIO | None", stream_of), unsafe)


def iter_zip(path: Path, limits: Limits) -> Iterator[Member]:
    """Yield the files of a zip archive, in the order of its directory."""
    budget = Budget(path.stat().st_size, limits)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            name, unsafe = _checked(info.filename)
            if unsafe:
                yield Member(name, info.file_size, unsafe=unsafe)
                continue
            with archive.open(info) as stream:
                yield Member(name, info.file_size, budgeted(cast("BinaryIO", stream), budget))


def _checked(name: str) -> tuple[str, str]:
    """Normalize a member's path; say why it is unsafe if it leads out of the archive."""
    plain = name.replace("\\", "/")
    normalized = posixpath.normpath(plain)
    if plain.startswith("/") or re.match("[A-Za-z]:", plain):
        return normalized, f"absolute path {name!r}"
    if ".." in plain.split("/"):
        return normalized, f"path {name!r} leads out of its folder"
    return normalized, ""
