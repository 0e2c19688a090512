"""Packed records: a folder of shard files and the ``shards.json`` that makes them a whole.

A shard file is Parquet with a row per record. Its row groups are the record batches in which a
shard is run, so that a worker holds one batch in memory and the batches are the same everywhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pyhpc.errors import PyhpcError
from pyhpc.records import Outcome, Reason, Record
from pyhpc.shards.files import digest, to_json
from pyhpc.shards.parquet import REASON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 1
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


@dataclass(frozen=True)
class Packing:
    """A folder of packed records.

    Attributes
    ----------
    folder : Path
        The folder.
    inputs : dict
        What was packed and how it was read and cut.
    shards : tuple of Shard
        The shards, in the order of the records.
    """

    folder: Path
    inputs: dict[str, Any]
    shards: tuple[Shard, ...]

    @property
    def records(self) -> int:
        """Number of records."""
        return sum(shard.records for shard in self.shards)

    def encode(self) -> bytes:
        """Content of ``shards.json``."""
        body = {
            "format": FORMAT,
            "inputs": self.inputs,
            "records": self.records,
            "shards": [asdict(shard) for shard in self.shards],
        }
        return to_json(body | {"sha256": digest(to_json(body))})

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
        if body.pop("sha256", None) != digest(to_json(body)):
            raise PyhpcError(f"{path} is damaged: it does not match its own hash", remedy)
        return cls(folder, body["inputs"], tuple(Shard(**shard) for shard in body["shards"]))


def index_path(folder: Path) -> Path:
    """Give the file whose existence says that the folder was packed to the end."""
    return folder / "shards.json"


def open_shard(folder: Path, shard: Shard) -> pq.ParquetFile:
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
    return pq.ParquetFile(pa.BufferReader(data))


def _remedy(folder: Path) -> str:
    return (
        f"Restore it, or remove {index_path(folder)} and give the same command again from the "
        "sources: equal sources give equal shards, and what is committed is kept."
    )


def read_batches(file: pq.ParquetFile) -> Iterator[list[Record]]:
    """Read the records of a shard, batch after batch."""
    for group in range(file.num_row_groups):
        yield [_record(row) for row in file.read_row_group(group, use_threads=False).to_pylist()]


def _record(row: dict[str, Any]) -> Record:
    refused = row["refused"]
    return Record(
        id=row["id"],
        text=row["text"],
        format=row["format"],
        source=row["source"],
        start=row["start"],
        stop=row["stop"],
        refused=refused and Reason(**refused | {"outcome": Outcome(refused["outcome"])}),
    )
