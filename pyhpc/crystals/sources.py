"""Everything that crystals come in, as one stream of records."""

from __future__ import annotations

import stat
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pyhpc.crystals.archives import iter_tar, iter_zip
from pyhpc.crystals.blocks import count_headers, structure_blocks
from pyhpc.crystals.formats import (
    ARCHIVES,
    KNOWN_ENDINGS,
    STRUCTURES,
    TABLES,
    is_gzip,
    kind_of,
    stem,
)
from pyhpc.crystals.frames import iter_frames
from pyhpc.crystals.limits import DEFAULT_LIMITS
from pyhpc.crystals.refusals import printable, refuse, refuse_error
from pyhpc.crystals.streams import READ_ERRORS, ArchiveRatioError, open_file
from pyhpc.crystals.structure_json import is_structure_json
from pyhpc.crystals.tables import (
    ColumnError,
    iter_csv,
    iter_json_texts,
    iter_parquet,
    pick_columns,
    read_csv_header,
    read_json_columns,
)
from pyhpc.errors import PyhpcError
from pyhpc.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyhpc.crystals.limits import Limits
    from pyhpc.crystals.tables import Row


class SourceError(PyhpcError, ValueError):
    """A source does not exist, or is nothing that crystals can be read from."""


class _File(NamedTuple):
    """A file to read, and the name that its records get."""

    path: Path
    name: str
    kind: str


def iter_records(
    sources: str | Path | Sequence[str | Path],
    limits: Limits = DEFAULT_LIMITS,
    *,
    text_column: str | None = None,
    id_column: str | None = None,
) -> Iterator[Record]:
    """Stream the records of any number of sources; memory does not grow with their number.

    Parameters
    ----------
    sources : path, or sequence of paths
        Each one of

        - a structure file: ``.cif``, POSCAR (``POSCAR*``, ``CONTCAR*``, ``.vasp``, ``.poscar``),
          extended XYZ (``.xyz``, ``.extxyz``; every frame is a record), also compressed (``.gz``);
        - an archive of such files: ``.tar``, ``.tar.gz``, ``.tgz``, ``.zip``;
        - a table with a column of CIF text or of pymatgen's JSON: ``.csv``, ``.parquet``, ``.json``
          (a list of rows, or pandas' "split", as matminer and matbench publish their sets), CSV
          and JSON also compressed;
        - a folder, read recursively in the order of its sorted names: structure files and
          archives are taken, tables and all else are not (name a table to read it);
        - a glob, whose matches are read in sorted order.
    limits : Limits
        Bounds on what is read.
    text_column, id_column : str, optional
        Columns of tables, by default found by their usual names (``cif``, ``structure``, ...;
        ``id``, ``material_id``, ...; ``index`` is the index of a JSON table). Without an id column,
        rows are numbered.

    Returns
    -------
    iterator of Record
        Ids are paths without their ending: the name of a file; relative to the folder, to the
        fixed part of the glob, or to the archive, for what is inside; archives in a folder count
        as folders. A CIF with several structures gives one record for each, id ``file#block``; one
        without any gives one record, which reading will quarantine. What could not be read is a
        record too, without text and with ``refused`` set.

    Raises
    ------
    SourceError
        At once, if a source does not exist, matches nothing, or is of no known kind; if a table
        has no column of structures.
    """
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    files = [_files(source) for source in listed]
    for source in listed:
        _check_table(Path(source), limits, text_column, id_column)

    def of_file(file: _File) -> Iterator[Record]:
        if file.kind in TABLES:
            return _of_table(file, limits, text_column, id_column)
        return _of_archive(file, limits) if file.kind in ARCHIVES else _of_path(file, limits)

    return chain.from_iterable(map(of_file, chain.from_iterable(files)))


def _files(source: str | Path) -> Iterator[_File]:
    """Files of a source; says at once what is wrong with it."""
    path = Path(source)
    if path.is_dir():
        return _in_folder(path, "")
    if path.exists():
        kind = kind_of(path.name)
        if kind is None:
            remedy = f"The known endings are {KNOWN_ENDINGS}."
            raise SourceError(f"{path} is of no known kind", remedy)
        name = "" if kind in ARCHIVES else stem(path.name)
        return iter([_File(path, name, kind)])
    if not _is_pattern(str(source)):
        remedy = f"Check the path; it is seen from {Path.cwd()}."
        raise SourceError(f"{path} does not exist", remedy)
    fixed = next(k for k, part in enumerate(path.parts) if _is_pattern(part))
    root = Path(*path.parts[:fixed])
    matches = sorted(root.glob(str(Path(*path.parts[fixed:]))))
    if not matches:
        remedy = "Check the folder, and quote the pattern."
        raise SourceError(f"nothing matches {str(source)!r}", remedy)
    return _of_matches(matches, root)


def _is_pattern(text: str) -> bool:
    return any(wildcard in text for wildcard in "*?[")


def _of_matches(matches: list[Path], root: Path) -> Iterator[_File]:
    for path in matches:
        kind = kind_of(path.name)
        # Files of a folder match "**" by themselves.
        if kind is not None and not path.is_dir():
            yield _File(path, stem(path.relative_to(root).as_posix()), kind)


def _in_folder(folder: Path, prefix: str) -> Iterator[_File]:
    """Structure files and archives below a folder, depth first, in sorted order."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        # As a file it is refused, and so counted.
        yield _File(folder, prefix.rstrip("/"), "cif")
        return
    for name in names:
        path = folder / name
        # A link to a folder could lead round in a circle.
        if path.is_dir() and not path.is_symlink():
            yield from _in_folder(path, f"{prefix}{name}/")
            continue
        kind = kind_of(name)
        if kind in STRUCTURES or kind in ARCHIVES:
            yield _File(path, prefix + stem(name), kind)


def _of_path(file: _File, limits: Limits) -> Iterator[Record]:
    """Read a structure file on disk."""
    name, source = printable(file.name), printable(str(file.path))
    try:
        compressed = is_gzip(file.path.name)
        status = file.path.stat()
        if not stat.S_ISREG(status.st_mode):
            # A named pipe would keep us waiting for ever.
            yield refuse(name, source, "unreadable", "not a regular file", kind=file.kind)
            return
        size = None if compressed else status.st_size
        with open_file(file.path, limits, compressed=compressed) as stream:
            yield from _of_stream(stream, size, file.kind, name, source, limits)
    except ArchiveRatioError as error:
        yield refuse(name, source, "archive_ratio", str(error), kind=file.kind)
    except READ_ERRORS as error:
        yield refuse_error(name, source, error, kind=file.kind)


def _of_archive(file: _File, limits: Limits) -> Iterator[Record]:
    source = printable(str(file.path))
    name = printable(file.name or stem(file.path.name))
    prefix = f"{name}/" if file.name else ""
    try:
        members = (
            iter_zip(file.path, limits)
            if file.kind == "zip"
            else iter_tar(file.path, limits, compressed=is_gzip(file.path.name))
        )
        for member in members:
            kind = kind_of(member.path)
            record = prefix + printable(stem(member.path))
            origin = f"{source}!{printable(member.path)}"
            if kind in ARCHIVES:
                message = "an archive inside an archive is not opened; unpack it first"
                yield refuse(record, origin, "nested_archive", message)
            elif kind in STRUCTURES and member.stream is None:
                yield refuse(record, origin, "unsafe_path", member.unsafe, kind=kind)
            elif kind in STRUCTURES and member.stream is not None:
                if is_gzip(member.path):
                    message = "a compressed file inside an archive is not opened; unpack it first"
                    yield refuse(record, origin, "nested_archive", message, kind=kind)
                    continue
                yield from _of_stream(member.stream, member.size, kind, record, origin, limits)
    except ArchiveRatioError as error:
        yield refuse(name, source, "archive_ratio", f"{error}; the rest was not read")
    except READ_ERRORS as error:
        yield refuse_error(name, source, error)


def _of_stream(
    stream: BinaryIO, size: int | None, kind: str, name: str, source: str, limits: Limits
) -> Iterator[Record]:
    """Read one structure file, wherever it is."""
    if kind == "extxyz":
        yield from iter_frames(stream, name, source, limits)
        return
    most = limits.max_text_bytes
    # One byte more than allowed tells that there is more, whatever size was announced.
    text = (
        b""
        if size is not None and size > most
        else stream.read(most + 1 if size is None else size + 1)
    )
    found = max(len(text), size or 0)
    if found > most:
        message = f"{found} bytes or more, the limit is {most}"
        yield refuse(name, source, "text_too_large", message, kind=kind)
    elif kind == "cif":
        yield from _of_cif(text, name, source, limits)
    else:
        yield Record(name, text, kind, source, 0, len(text))


def _of_cif(text: bytes, name: str, source: str, limits: Limits) -> Iterator[Record]:
    """One record for each structure of a CIF."""
    n_headers = count_headers(text, limits.max_blocks)
    if n_headers > limits.max_blocks:
        message = f"more than {limits.max_blocks} blocks"
        yield refuse(name, source, "too_many_blocks", message)
        return
    blocks = structure_blocks(text) if n_headers > 1 else []
    if not blocks:
        yield Record(name, text, "cif", source, 0, len(text))
        return
    seen: dict[str, int] = {}
    for block, start, stop in blocks:
        record = name if len(blocks) == 1 else f"{name}#{printable(block)}"
        # Headers should differ, but often do not.
        seen[record] = seen.get(record, 0) + 1
        if seen[record] > 1:
            record = f"{record}~{seen[record]}"
        yield Record(record, text[start:stop], "cif", source, start, stop)


def _check_table(
    path: Path, limits: Limits, text_column: str | None, id_column: str | None
) -> None:
    """Refuse a table that was named and has no column of structures."""
    kind = kind_of(path.name)
    if kind not in TABLES or not path.is_file():
        return
    try:
        if kind == "parquet":
            import pyarrow.parquet as pq

            names = pq.read_schema(path).names
        else:
            with open_file(path, limits, compressed=is_gzip(path.name)) as stream:
                names = read_json_columns(stream) if kind == "json" else read_csv_header(stream)
        pick_columns(names, text_column, id_column)
    except ColumnError as error:
        remedy = "Name the columns with text_column and id_column."
        raise SourceError(f"{path}: {error}", remedy) from error
    except (*READ_ERRORS, ValueError, ArchiveRatioError) as error:
        remedy = "Write it again, or name the structures in another way."
        raise SourceError(f"{path} can't be read as a table: {error}", remedy) from error


def _of_table(
    file: _File, limits: Limits, text_column: str | None, id_column: str | None
) -> Iterator[Record]:
    name, source = printable(file.name), printable(str(file.path))
    try:
        for number, row in enumerate(_rows(file, limits, text_column, id_column)):
            record, origin = printable(row.name), f"{source}!{number}"
            if row.text is not None and is_structure_json(row.text):
                yield Record(record, row.text, "pymatgen", origin, 0, len(row.text))
            elif row.text is not None:
                yield from _of_cif(row.text, record, origin, limits)
            elif row.size:
                message = f"{row.size} bytes or more, the limit is {limits.max_text_bytes}"
                yield refuse(record, origin, "text_too_large", message)
            else:
                yield refuse(record, origin, "empty_text", f"row {number} has no structure")
    except ArchiveRatioError as error:
        yield refuse(name, source, "archive_ratio", f"{error}; the rest was not read")
    except (*READ_ERRORS, ValueError) as error:
        yield refuse_error(name, source, error)


def _rows(
    file: _File, limits: Limits, text_column: str | None, id_column: str | None
) -> Iterator[Row]:
    if file.kind == "parquet":
        yield from iter_parquet(file.path, text_column, id_column, limits)
    else:
        with open_file(file.path, limits, compressed=is_gzip(file.path.name)) as stream:
            rows = iter_json_texts if file.kind == "json" else iter_csv
            yield from rows(stream, text_column, id_column, limits)
