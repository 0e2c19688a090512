"""Pack any number of records into few large files."""

from __future__ import annotations

import glob
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import ipc

from pyhpc.errors import PyhpcError
from pyhpc.shards.files import (
    create,
    differences,
    digest,
    file_digest,
    make_folder,
    new_attempt,
    replace,
    sync_folder,
)
from pyhpc.shards.packed import SCHEMA, Packing, Shard, ShardTable, index_path
from pyhpc.shards.parquet import printable, reason_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pyhpc.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSize:
    """Where shards and their record batches are cut: at whichever bound comes first.

    Attributes
    ----------
    records : int
        Records of a shard.
    seconds : float
        Estimated time of a shard on one core.
    text_bytes : int
        Bytes of text of a shard: what a worker reads at once, before compression.
    batch_records, batch_seconds, batch_bytes
        The same of a batch: what a worker treats at once.
    """

    records: int = 2000
    seconds: float = 120.0
    text_bytes: int = 64 * 2**20
    batch_records: int = 2000
    batch_seconds: float = 2.0
    batch_bytes: int = 8 * 2**20


def pack(
    records: Iterable[Record],
    folder: Path,
    *,
    inputs: dict[str, Any],
    cost: Callable[[Record], float],
    size: ShardSize | None = None,
    on_record: Callable[[], None] = lambda: None,
) -> Packing:
    """Pack records into shard files, one batch in memory at a time.

    Shards are balanced by estimated cost as far as the order of the records, which is kept, allows.
    The folder is complete once ``shards.json`` is there, which is written last. Equal records give
    equal bytes.

    Parameters
    ----------
    records : iterable of Record
        What to pack; read once.
    folder : Path
        Where to.
    inputs : dict
        What the records are and how they were read, JSON-able, from :func:`describe_sources`.
    cost : callable
        Estimated time of a record on one core, in seconds.
    size : ShardSize, optional
        Where to cut.
    on_record : callable, optional
        Called once per record.

    Raises
    ------
    PyhpcError
        If the folder holds a complete packing of other inputs, or cannot be written.
    """
    size = size or ShardSize()
    inputs = inputs | {"size": asdict(size)}
    if index_path(folder).exists():
        return _same(folder, inputs)
    make_folder(folder)
    attempt = new_attempt()
    shards: list[Shard] = []
    writer = _ShardWriter(folder, 0, attempt)
    try:
        for record in records:
            seconds = cost(record)
            if writer.is_full(size, seconds, len(record.text)):
                shards.append(writer.commit())
                if index_path(folder).exists():
                    return _same(folder, inputs)
                writer = _ShardWriter(folder, len(shards), attempt)
            writer.add(record, size, seconds)
            on_record()
        if not writer.is_empty:
            shards.append(writer.commit())
        packing = Packing(folder, inputs, ShardTable.of(shards))
        if not create(index_path(folder), packing.encode(), attempt):
            return _same(folder, inputs)
    except FileNotFoundError:
        # Another process packed the same folder to the end and swept this one's files.
        if index_path(folder).exists():
            return _same(folder, inputs)
        raise
    _sweep(packing)
    return packing


def describe_sources(sources: Sequence[str]) -> list[dict[str, Any]]:
    """Say what the sources are, without times, so that a later call can tell whether they changed.

    A file is known by its size and hash; a folder or a pattern by the names and sizes of its files,
    since reading a million small files twice would take as long as packing them.
    """
    return [_describe(source) for source in sources]


def _describe(source: str) -> dict[str, Any]:
    path = Path(source)
    if path.is_file():
        return {"path": source, "bytes": path.stat().st_size, "sha256": file_digest(path)}
    if path.is_dir():
        names = [
            os.path.join(folder, name)  # noqa: PTH118 (this loop sees millions of names)
            for folder, _, files in os.walk(path)
            for name in files
        ]
    else:
        names = glob.glob(source, recursive=True)  # noqa: PTH207 (absolute patterns)
    if not names:
        raise PyhpcError(f"{source} has no files", "Check the path.")
    listing = sorted((os.fsencode(name), Path(name).stat().st_size) for name in names)
    return {
        "path": source,
        "files": len(listing),
        "bytes": sum(size for _, size in listing),
        "sha256": digest(b"".join(b"%s\0%d\0" % item for item in listing)),
    }


def _same(folder: Path, inputs: dict[str, Any]) -> Packing:
    """Packing that is there, if it is of these inputs and whole."""
    packing = Packing.load(folder)
    if packing.inputs != inputs:
        raise PyhpcError(
            f"{folder} holds a packing of other inputs: {differences(packing.inputs, inputs)}",
            "Choose another --out, or remove that folder.",
        )
    for shard in packing.shards:
        if not (folder / shard.name).exists():
            raise PyhpcError(
                f"shard file {folder / shard.name} is missing",
                f"Remove {index_path(folder)} and call again to pack anew.",
            )
    return packing


def _sweep(packing: Packing) -> None:
    """Remove what packings that were broken off have left."""
    known = {shard.name for shard in packing.shards}
    for path in packing.folder.iterdir():
        is_ours = path.name.lstrip(".").startswith("shard")
        if is_ours and path.name not in known and path != index_path(packing.folder):
            path.unlink(missing_ok=True)
    sync_folder(packing.folder)


class _ShardWriter:
    """A shard file in the making, compressed in memory."""

    def __init__(self, folder: Path, index: int, attempt: str) -> None:
        self._folder = folder
        self._index = index
        self._attempt = attempt
        self._sink = pa.BufferOutputStream()
        # LZ4 takes twice the room of zstd, and a third of its time in every worker.
        options = ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        self._writer = ipc.new_file(self._sink, SCHEMA, options=options)
        self._batch: list[dict[str, Any]] = []
        self._batch_bytes = 0
        self._batch_cost = 0.0
        self._records = 0
        self._text_bytes = 0
        self._cost = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether it has no record."""
        return self._records == 0

    def is_full(self, size: ShardSize, seconds: float, n_bytes: int) -> bool:
        """Whether a further record belongs to the next shard."""
        return self._records > 0 and (
            self._records >= size.records
            or self._cost + seconds > size.seconds
            or self._text_bytes + n_bytes > size.text_bytes
        )

    def add(self, record: Record, size: ShardSize, seconds: float) -> None:
        """Put a record at the end."""
        full = (
            len(self._batch) >= size.batch_records
            or self._batch_cost + seconds > size.batch_seconds
            or self._batch_bytes + len(record.text) > size.batch_bytes
        )
        if self._batch and full:
            self._flush()
        self._batch.append(
            {
                "id": printable(record.id),
                "text": record.text,
                "format": record.format,
                "source": printable(record.source),
                "start": record.start,
                "stop": record.stop,
                "sha256": record.sha256,
                "refused": record.refused and reason_row(record.refused),
            }
        )
        self._batch_bytes += len(record.text)
        self._batch_cost += seconds
        self._records += 1
        self._text_bytes += len(record.text)
        self._cost += seconds

    def _flush(self) -> None:
        self._writer.write_batch(pa.RecordBatch.from_pylist(self._batch, schema=SCHEMA))
        self._batch = []
        self._batch_bytes = 0
        self._batch_cost = 0.0

    def commit(self) -> Shard:
        """Put the file on the disk, read it back and give it its name."""
        self._flush()
        self._writer.close()
        data = memoryview(self._sink.getvalue())
        sha256 = digest(data)
        target = self._folder / f"shard-{self._index:05d}-{sha256[:12]}.arrow"
        replace(target, data, self._attempt)
        return Shard(target.name, sha256, self._records, self._text_bytes, round(self._cost, 3))
