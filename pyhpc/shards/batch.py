"""Run a task over one batch of records, so that every record ends with a row or a reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pyhpc.records import Outcome, Reason, worst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyhpc.records import Record
    from pyhpc.shards.task import Task, TaskResult


@dataclass(frozen=True, eq=False)
class BatchResult:
    """What became of a batch.

    Attributes
    ----------
    table : pyarrow.Table
        Rows of the records that are not quarantined, in their order.
    reasons : list of list of Reason
        Reasons of each record.
    seconds : dict of str to float
        Time by stage.
    """

    table: pa.Table
    reasons: list[list[Reason]]
    seconds: dict[str, float]

    @classmethod
    def join(cls, schema: pa.Schema, results: Sequence[BatchResult]) -> BatchResult:
        """Put batches after one another."""
        seconds: dict[str, float] = {}
        for result in results:
            for stage, spent in result.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + spent
        return cls(
            pa.concat_tables([schema.empty_table(), *(result.table for result in results)]),
            [reasons for result in results for reasons in result.reasons],
            seconds,
        )

    @classmethod
    def quarantined(cls, schema: pa.Schema, reason: Reason) -> BatchResult:
        """Make the result of one record that has no row."""
        return cls(schema.empty_table(), [[reason]], {})


def run_batch(task: Task, records: Sequence[Record], *, threads: int) -> BatchResult:
    """Run a task over some records.

    Records whose source could not give them are quarantined for that. A record for which the task
    raises is found by halving and quarantined as ``internal_error``: it is a bug of the task, but
    the others shall not pay for it. Missing memory and failing disks are not the records' fault,
    and are raised.
    """
    given = [k for k, record in enumerate(records) if record.refused is None]
    result = _halve(task, [records[k] for k in given], threads)
    reasons: list[list[Reason]] = [[r.refused] if r.refused else [] for r in records]
    for k, found in zip(given, result.reasons, strict=True):
        reasons[k] = found
    return BatchResult(result.table, reasons, result.seconds)


def _halve(task: Task, records: Sequence[Record], threads: int) -> BatchResult:
    if not records:
        return BatchResult(task.schema.empty_table(), [], {})
    try:
        result = task.run(records, threads=threads)
    except (MemoryError, OSError):
        raise
    except BaseException as error:
        # A panic in Rust arrives as an exception that is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if len(records) == 1:
            return BatchResult.quarantined(task.schema, _internal_error(error))
        middle = len(records) // 2
        halves = [_halve(task, part, threads) for part in (records[:middle], records[middle:])]
        return BatchResult.join(task.schema, halves)
    return _checked(task, records, result)


def _internal_error(error: BaseException) -> Reason:
    # Addresses differ from run to run, and the ledger must not.
    message = re.sub(r"0x[0-9a-fA-F]{6,}", "0x...", str(error))
    return Reason(
        "internal_error",
        "worker",
        Outcome.QUARANTINED,
        f"{type(error).__name__}: {message} (this is a bug, please report it)",
    )


def _checked(task: Task, records: Sequence[Record], result: TaskResult) -> BatchResult:
    """Hold a task to its contract: a row or a reason for each record, a reason for each gap."""
    reasons = [list(result.reasons.get(k, ())) for k in range(len(records))]
    if not result.table.schema.equals(task.schema, check_metadata=False):
        raise TypeError(f"task {task.name} returned a table whose schema is not its own")
    with_row = [k for k, found in enumerate(reasons) if worst(found) != Outcome.QUARANTINED]
    if list(result.positions) != with_row or result.table.num_rows != len(with_row):
        raise TypeError(
            f"task {task.name} returned rows for {list(result.positions)[:20]} ..., but "
            f"{with_row[:20]} ... are not quarantined"
        )
    for row, columns in gaps(result.table).items():
        if not reasons[with_row[row]]:
            named = ", ".join(columns[:5]) + (" ..." if len(columns) > 5 else "")
            message = f"no value for {named}, and no stage said why (this is a bug)"
            reason = Reason("unexplained_missing", "worker", Outcome.DEGRADED, message)
            reasons[with_row[row]].append(reason)
    table = result.table.replace_schema_metadata(task.schema.metadata)
    return BatchResult(table, reasons, dict(result.seconds))


def gaps(table: pa.Table) -> dict[int, list[str]]:
    """Columns without a value (null or NaN), by row."""
    found: dict[int, list[str]] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        missing = pc.is_null(column, nan_is_null=True)
        if pc.any(missing).as_py():
            for row in pc.indices_nonzero(missing).to_pylist():
                found.setdefault(row, []).append(name)
    return found
