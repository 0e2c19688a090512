"""Run a task over one batch of records, so that every record ends with a row or a reason."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pyhpc.arrow import missing, values
from pyhpc.records import Outcome, Reason, worst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    outcomes : list of Outcome
        How each record ended, which is the worst of its reasons.
    seconds : dict of str to float
        Time by stage.
    """

    table: pa.Table
    reasons: list[list[Reason]]
    outcomes: list[Outcome]
    seconds: dict[str, float]

    @classmethod
    def join(cls, results: Sequence[BatchResult]) -> BatchResult:
        """Put batches, of which there is at least one, after one another."""
        if len(results) == 1:
            return results[0]
        seconds: dict[str, float] = {}
        for result in results:
            for stage, spent in result.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + spent
        return cls(
            pa.concat_tables([result.table for result in results]).combine_chunks(),
            [reasons for result in results for reasons in result.reasons],
            [outcome for result in results for outcome in result.outcomes],
            seconds,
        )

    @classmethod
    def quarantined(cls, schema: pa.Schema, reason: Reason) -> BatchResult:
        """Make the result of one record that has no row."""
        return cls(schema.empty_table(), [[reason]], [Outcome.QUARANTINED], {})


def run_batch(task: Task, records: Sequence[Record], *, threads: int) -> BatchResult:
    """Run a task over some records.

    Records whose source could not give them are quarantined for that. A record for which the task
    raises is found by halving and quarantined as ``internal_error``: it is a bug of the task, but
    the others shall not pay for it. Missing memory and failing disks are not the records' fault,
    and are raised.
    """
    given = [k for k, record in enumerate(records) if record.refused is None]
    if len(given) == len(records):
        return _halve(task, records, threads)
    result = _halve(task, [records[k] for k in given], threads)
    reasons: list[list[Reason]] = [[r.refused] if r.refused else [] for r in records]
    outcomes = [Outcome.QUARANTINED] * len(records)
    for k, found, outcome in zip(given, result.reasons, result.outcomes, strict=True):
        reasons[k], outcomes[k] = found, outcome
    return BatchResult(result.table, reasons, outcomes, result.seconds)


def _halve(task: Task, records: Sequence[Record], threads: int) -> BatchResult:
    if not records:
        return BatchResult(task.schema.empty_table(), [], [], {})
    try:
        started = time.perf_counter()
        result = task.run(records, threads=threads)
        spent = time.perf_counter() - started
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
        return BatchResult.join(halves)
    stages = result.seconds | {"task.other": spent - sum(result.seconds.values())}
    return _checked(task, records, replace(result, seconds=stages))


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
    """Hold a task to its contract: a row or a reason for each record."""
    reasons: list[list[Reason]] = [[] for _ in records]
    outcomes = [Outcome.OK] * len(records)
    ok = Outcome.OK
    for k, found in result.reasons.items():
        reasons[k] = found
        # Most reasons are plain facts, and a call for each record takes longer than this.
        for reason in found:
            if reason.outcome is not ok:
                outcomes[k] = worst(found)
                break
    schema = task.schema
    if not result.table.schema.equals(schema, check_metadata=False):
        raise TypeError(f"task {task.name} returned a table whose schema is not its own")
    with_row = _with_row(outcomes)
    if list(result.positions) != with_row or result.table.num_rows != len(with_row):
        raise TypeError(
            f"task {task.name} returned rows for {list(result.positions)[:20]} ..., but "
            f"{with_row[:20]} ... are not quarantined"
        )
    table = result.table.replace_schema_metadata(schema.metadata)
    return BatchResult(table, reasons, outcomes, dict(result.seconds))


def _with_row(outcomes: Sequence[Outcome]) -> list[int]:
    """Give the records that are not quarantined."""
    quarantined = Outcome.QUARANTINED
    return [k for k, outcome in enumerate(outcomes) if outcome is not quarantined]


def explain_gaps(result: BatchResult) -> None:
    """Give a reason to each record that lacks a value and has none."""
    with_row = _with_row(result.outcomes)
    unexplained = [row for row, k in enumerate(with_row) if not result.reasons[k]]
    for row, columns in gaps(result.table, unexplained).items():
        named = ", ".join(columns[:5]) + (" ..." if len(columns) > 5 else "")
        message = f"no value for {named}, and no stage said why (this is a bug)"
        reason = Reason("unexplained_missing", "worker", Outcome.DEGRADED, message)
        result.reasons[with_row[row]].append(reason)
        result.outcomes[with_row[row]] = Outcome.DEGRADED


def gaps(table: pa.Table, rows: Sequence[int]) -> dict[int, list[str]]:
    """Columns without a value (null or NaN) in some rows of a table, by row."""
    if not rows:
        return {}
    may_lack = _rows_that_may_have_gaps(table)
    looked_at = {
        row: [name for name in table.column_names if _is_missing(table[name][row].as_py())]
        for row in rows
        if may_lack[row]
    }
    return {row: columns for row, columns in looked_at.items() if columns}


def _rows_that_may_have_gaps(table: pa.Table) -> NDArray[np.bool_]:
    """Rows with null or NaN, and a few others, found without a look at each value by itself."""
    (batch,) = table.combine_chunks().to_batches()
    absent = np.zeros(table.num_rows, np.bool_)
    # NaN makes a sum NaN, as infinities of both signs do.
    sums = np.zeros(table.num_rows)
    with np.errstate(all="ignore"):
        for column in batch.columns:
            if pa.types.is_floating(column.type):
                sums += values(column)
            if column.null_count:
                absent |= missing(column)
    return absent | np.isnan(sums)


def _is_missing(value: object) -> bool:
    return value is None or value != value
