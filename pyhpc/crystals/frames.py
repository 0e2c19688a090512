"""Frames of an (extended) XYZ file, one record each, streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pyhpc.crystals.refusals import refuse
from pyhpc.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyhpc.crystals.limits import Limits


def iter_frames(stream: BinaryIO, name: str, source: str, limits: Limits) -> Iterator[Record]:
    """Yield the frames of a file: id = file, or file#0, file#1, ... if there are several.

    A frame that is too large is refused and read over. Where a frame does not start with its
    number of atoms, the rest of the file is one refused record.
    """
    first: Record | None = None
    for k, frame in enumerate(_frames(stream, name, source, limits)):
        if k == 0:
            first = frame
            continue
        if first is not None:
            yield _numbered(first, 0)
            first = None
        yield _numbered(frame, k)
    if first is not None:
        yield first


def _numbered(frame: Record, k: int) -> Record:
    return Record(
        f"{frame.id}#{k}",
        frame.text,
        frame.format,
        frame.source,
        frame.start,
        frame.stop,
        frame.refused,
    )


def _frames(stream: BinaryIO, name: str, source: str, limits: Limits) -> Iterator[Record]:
    most = limits.max_text_bytes
    start = 0
    while header := stream.readline(most):
        if not header.strip():
            start += len(header)
            continue
        # A bare decimal number; int() alone would also take "1_000" and "+5".
        if not (header.strip().isdigit() and len(header) < 20):
            message = f"number of atoms expected, found {header[:40]!r}; the rest was not read"
            yield refuse(name, source, "syntax_error", message, kind="extxyz", start=start)
            return
        n_atoms = int(header)
        lines = [header]
        size = len(header)
        for _ in range(n_atoms + 1):
            line = stream.readline(most)
            size += len(line)
            if size > most:
                lines.clear()
                while line and not line.endswith(b"\n"):
                    line = stream.readline(most)
                    size += len(line)
            else:
                lines.append(line)
            if not line:
                break
        if lines:
            text = b"".join(lines)
            yield Record(name, text, "extxyz", source, start, start + size)
        else:
            message = f"a frame of {size} bytes, more than {most}"
            yield refuse(name, source, "text_too_large", message, kind="extxyz", start=start)
        start += size
