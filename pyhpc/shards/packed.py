"""Packed records: a folder of shard files and the ``shards.json`` that makes them a whole.

A shard file is an Arrow file (IPC, compressed) with a row per record. Its record batches are those
in which a shard is run, so that a worker holds one batch in memory and the batches are the same
everywhere. To decode Parquet would take a worker twice as long, and save no room.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self, overload

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, ipc

from pyhpc.errors import PyhpcError
from pyhpc.record_columns import RecordColumns
from pyhpc.records import Outcome, Reason
from pyhpc.shards.files import digest, to_json
from pyhpc.shards.parquet import REASON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FORMAT = 3
"""Version of the layout of packed records."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.binary(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("stop", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("refused", REASON),
    ]
)
"""Schema of a shard file."""

IDENTITY = ("id", "source", "start", "stop", "sha256")
"""Columns of a shard file that say which record it is, which the ledger repeats."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard file.

    Attributes
    ----------
    name : str
        Name of the file, with the start of its hash.
    sha256 : str
        Hash of the file.
    records : int
        Number of records.
    text_bytes : int
        Bytes of text of all its records.
    cost : float
        Estimated time on one core, in seconds.
    """

    name: str
    sha256: str
    records: int
    text_bytes: int
    cost: float


class ShardTable(Sequence[Shard]):
    """Shards, as columns: a million of them take little memory and are read in a moment.

    Parameters
    ----------
    columns : pyarrow.Table
        The fields of :class:`Shard`.
    """

    def __init__(self, columns: pa.Table) -> None:
        self._columns = columns.combine_chunks()
        self._identity: dict[str, Any] | None = None

    @classmethod
    def of(cls, shards: Iterable[Shard]) -> Self:
        """Put shards together."""
        return cls(pa.Table.from_pylist([asdict(shard) for shard in shards], schema=_SHARD_COLUMNS))

    @classmethod
    def parse(cls, lines: Sequence[str]) -> Self:
        """Read what :meth:`lines` gave; anything else is a ``ValueError``."""
        if not lines:
            return cls(_SHARD_COLUMNS.empty_table())
        data = "\n".join(lines).encode()
        table = cls(
            csv.read_csv(
                pa.BufferReader(data),
                csv.ReadOptions(column_names=_SHARD_COLUMNS.names, use_threads=False),
                csv.ParseOptions(delimiter=" ", quote_char=False),
                csv.ConvertOptions(column_types=_SHARD_COLUMNS, strings_can_be_null=False),
            )
        )
        table._identity = _identify(len(lines), data)
        return table

    def lines(self) -> list[str]:
        """Write each shard as a line of text."""
        return [
            f"{shard.name} {shard.sha256} {shard.records} {shard.text_bytes} {shard.cost!r}"
            for shard in self
        ]

    @property
    def identity(self) -> dict[str, Any]:
        """Their number and hash, which tell them from all others."""
        if self._identity is None:
            lines = self.lines()
            self._identity = _identify(len(lines), "\n".join(lines).encode())
        return self._identity

    @property
    def records(self) -> int:
        """Number of records of all shards."""
        total: int | None = pc.sum(self._columns["records"]).as_py()
        return total or 0

    @property
    def cost(self) -> float:
        """Estimated time of all shards on one core, in seconds."""
        total: float | None = pc.sum(self._columns["cost"]).as_py()
        return total or 0.0

    def __len__(self) -> int:
        number: int = self._columns.num_rows
        return number

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Shard | Self:
        """Give a shard, or some."""
        if isinstance(index, slice):
            return type(self)(self._columns.take(list(range(len(self))[index])))
        row = range(len(self))[index]
        return Shard(*(column[row].as_py() for column in self._columns.columns))

    def __iter__(self) -> Iterator[Shard]:
        for batch in self._columns.to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                yield Shard(**row)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShardTable) and bool(self._columns.equals(other._columns))

    def __hash__(self) -> int:
        return hash(self.identity["sha256"])


def _identify(count: int, lines: bytes) -> dict[str, Any]:
    return {"count": count, "sha256": digest(lines)}


_SHARD_COLUMNS = pa.schema(
    [
        ("name", pa.string()),
        ("sha256", pa.string()),
        ("records", pa.int64()),
        ("text_bytes", pa.int64()),
        ("cost", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Packing:
    """A folder of packed records.

    Attributes
    ----------
    folder : Path
        The folder.
    inputs : dict
        What was packed and how it was read and cut.
    shards : ShardTable
        The shards, in the order of the records.
    """

    folder: Path
    inputs: dict[str, Any]
    shards: ShardTable

    @property
    def records(self) -> int:
        """Number of records."""
        return self.shards.records

    def encode(self) -> bytes:
        """Content of ``shards.json``."""
        body = {
            "format": FORMAT,
            "inputs": self.inputs,
            "records": self.records,
            "shards": self.shards.identity,
        }
        return to_json(body | {"sha256": digest(to_json(body)), "table": self.shards.lines()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``shards.json``.

        Raises
        ------
        PyhpcError
            If the folder was not packed to the end, or the file is damaged or of another format.
        """
        path = index_path(folder)
        try:
            body = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise PyhpcError(
                f"{folder} holds no complete packing: there is no {path.name}",
                "Pack with: pyhpc shard SOURCES... --out DIR",
            ) from None
        except ValueError:
            body = {}
        remedy = "Remove it and pack again: equal sources give equal shards."
        if body.get("format", FORMAT) != FORMAT:
            raise PyhpcError(f"{path} has format {body['format']}, expected {FORMAT}", remedy)
        try:
            sha256, lines = body.pop("sha256"), body.pop("table")
            shards = ShardTable.parse(lines)
            whole = sha256 == digest(to_json(body)) and body["shards"] == shards.identity
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise PyhpcError(f"{path} is damaged: it does not match its own hash", remedy)
        return cls(folder, body["inputs"], shards)


def index_path(folder: Path) -> Path:
    """Give the file whose existence says that the folder was packed to the end."""
    return folder / "shards.json"


def open_shard(folder: Path, shard: Shard) -> ipc.RecordBatchFileReader:
    """Read a shard file into memory, checked against its hash.

    Raises
    ------
    PyhpcError
        If the file is missing, truncated or altered.
    """
    path = folder / shard.name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PyhpcError(f"shard file {path} is missing", _remedy(folder)) from None
    if digest(data) != shard.sha256:
        raise PyhpcError(
            f"shard file {path} was truncated or altered: its SHA-256 is not the planned one",
            _remedy(folder),
        )
    return ipc.open_file(pa.BufferReader(data), options=ipc.IpcReadOptions(use_threads=False))


def _remedy(folder: Path) -> str:
    return (
        f"Restore it, or remove {index_path(folder)} and give the same command again from the "
        "sources: equal sources give equal shards, and what is committed is kept."
    )


@dataclass(frozen=True, eq=False, slots=True)
class PackedBatch:
    """A record batch of a shard.

    Attributes
    ----------
    records : RecordColumns
        The records.
    identity : pyarrow.RecordBatch
        The columns :data:`IDENTITY`, as they were packed.
    """

    records: RecordColumns
    identity: pa.RecordBatch


def read_batches(file: ipc.RecordBatchFileReader) -> Iterator[PackedBatch]:
    """Read the records of a shard, batch after batch."""
    for k in range(file.num_record_batches):
        batch = file.get_batch(k)
        yield PackedBatch(RecordColumns(batch, _refusals(batch["refused"])), batch.select(IDENTITY))


def _refusals(column: pa.Array) -> dict[int, Reason]:
    if column.null_count == len(column):
        return {}
    return {
        row: Reason(**value | {"outcome": Outcome(value["outcome"])})
        for row, value in enumerate(column.to_pylist())
        if value is not None
    }
