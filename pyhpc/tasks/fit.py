"""Fits of models as a task that runs over shards: each record asks for one."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

import pyhpc
from pyhpc import models
from pyhpc.errors import PyhpcError
from pyhpc.records import Outcome, Reason
from pyhpc.shards.task import TaskResult
from pyhpc.studies import fitting
from pyhpc.studies import table as study_table
from pyhpc.studies.fitting import fit_one, library_versions
from pyhpc.studies.table import load_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyhpc.records import Record

_VALUES = pa.list_(pa.float64())
_NAMED = pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("prediction", _VALUES, nullable=False),
        pa.field("explained", pa.list_(pa.struct([("name", pa.string()), ("values", _VALUES)]))),
        pa.field("summary", pa.string(), nullable=False),
        pa.field("contributions", _NAMED, nullable=False),
        pa.field("importance", _NAMED, nullable=False),
        pa.field("model", pa.binary(), nullable=False),
    ]
)
"""One row per fit: what it predicts for the rows that it has not seen, and how."""


@dataclass(frozen=True)
class FitTask:
    """Fit a model to some rows of a table, and predict others.

    The text of a record is JSON: what :func:`pyhpc.studies.fits.plan_fits` writes. Its source is
    the path of the table, which must have the hash that the text states.
    """

    @property
    def name(self) -> str:
        """Key of the task."""
        return "fit"

    @property
    def parameters(self) -> dict[str, Any]:
        """None: all is in the records."""
        return {}

    @property
    def versions(self) -> dict[str, str]:
        """Versions of pyhpc and of the libraries, and the hash of the code that fits."""
        return code_versions()

    @property
    def schema(self) -> pa.Schema:
        """Schema of the table of fits."""
        return SCHEMA

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Make the task; it has no parameters."""
        if parameters:
            raise PyhpcError(
                f"unknown parameter {', '.join(parameters)} of the task fit", "It has none."
            )
        return cls()

    def run(self, records: Sequence[Record], *, threads: int = 1) -> TaskResult:
        """Fit one model per record.

        ``threads`` is not used: the number is part of what a record asks for, since results may
        depend on it.
        """
        del threads
        rows, positions, reasons = [], [], {}
        seconds: dict[str, float] = {}
        for k, record in enumerate(records):
            started = time.perf_counter()
            order = json.loads(record.text)
            try:
                table = _table(Path(record.source), order["table"])
                rows.append({"id": record.id} | fit_one(order, table))
                positions.append(k)
            except PyhpcError as error:
                reasons[k] = [Reason("fit_failed", "fit", Outcome.QUARANTINED, str(error))]
            stage = f"fit {order['model']['kind']}"
            seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started
        return TaskResult(pa.Table.from_pylist(rows, schema=SCHEMA), positions, reasons, seconds)


@lru_cache(maxsize=1)
def code_versions() -> dict[str, str]:
    """All that a fit depends on beside what it is told."""
    sources = sorted(Path(models.__file__).parent.glob("*.py"))
    sources += [Path(fitting.__file__), Path(study_table.__file__)]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return {"pyhpc": pyhpc.__version__, "code of fits": code} | library_versions()


@lru_cache(maxsize=2)
def _table(path: Path, sha256: str) -> pa.Table:
    return load_table(path, sha256)
