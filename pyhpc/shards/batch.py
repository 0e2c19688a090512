"""Run a task over one batch of records, so that every record ends with a row or a reason."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from pyhpc.arrow import missing, values
from pyhpc.reasons import Reasons
from pyhpc.record_columns import refusals
from pyhpc.records import OUTCOMES, Outcome, Reason

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
    reasons : Reasons
        Reasons of the records.
    outcomes : array, shape (n_records,), uint8
        How each record ended, which is the worst of its reasons, as an index of
        :data:`~pyhpc.records.OUTCOMES`.
    seconds : dict of str to float
        Time by stage.
    """

    table: pa.Table
    reasons: Reasons
    outcomes: NDArray[np.uint8]
    seconds: dict[str, float]

    @classmethod
    def of(cls, table: pa.Table, reasons: Reasons, records: int, seconds: dict[str, float]) -> Self:
        """Make the result of so many records."""
        return cls(table, reasons, reasons.outcomes(records), seconds)

    @classmethod
    def join(cls, results: Sequence[BatchResult]) -> BatchResult:
        """Put batches, of which there is at least one, after one another."""
        if len(results) == 1:
            return results[0]
        seconds: dict[str, float] = {}
        for result in results:
            for stage, spent in result.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + spent
        ends = accumulate(len(result.outcomes) for result in results)
        moved = [
            result.reasons.at(np.arange(end - len(result.outcomes), end))
            for result, end in zip(results, ends, strict=True)
        ]
        return cls(
            pa.concat_tables([result.table for result in results]).combine_chunks(),
            Reasons.join(moved),
            np.concatenate([result.outcomes for result in results]),
            seconds,
        )

    @classmethod
    def quarantined(cls, schema: pa.Schema, reason: Reason) -> BatchResult:
        """Make the result of one record that has no row."""
        return cls.of(schema.empty_table(), Reasons.of({0: [reason]}), 1, {})

    @property
    def with_row(self) -> NDArray[np.int64]:
        """Records that are not quarantined, ascending."""
        return np.flatnonzero(self.outcomes != _QUARANTINED)

    def count(self) -> dict[str, int]:
        """Count the records by outcome; only outcomes that some have."""
        counts = np.bincount(self.outcomes, minlength=len(OUTCOMES)).tolist()
        return {str(outcome): n for outcome, n in zip(OUTCOMES, counts, strict=True) if n}


_QUARANTINED = OUTCOMES.index(Outcome.QUARANTINED)


def run_batch(task: Task, records: Sequence[Record], *, threads: int) -> BatchResult:
    """Run a task over some records.

    Records whose source could not give them are quarantined for that. A record for which the task
    raises is found by halving and quarantined as ``internal_error``: it is a bug of the task, but
    the others shall not pay for it. Missing memory and failing disks are not the records' fault,
    and are raised.
    """
    refused = {k: [reason] for k, reason in refusals(records).items()}
    if not refused:
        return _halve(task, records, threads)
    given = [k for k in range(len(records)) if k not in refused]
    result = _halve(task, [records[k] for k in given], threads)
    reasons = Reasons.join([result.reasons.at(np.array(given, np.int64)), Reasons.of(refused)])
    return BatchResult.of(result.table, reasons, len(records), result.seconds)


def _halve(task: Task, records: Sequence[Record], threads: int) -> BatchResult:
    if not records:
        return BatchResult.of(task.schema.empty_table(), Reasons.of({}), 0, {})
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
    return _checked(task, len(records), replace(result, seconds=stages))


def _internal_error(error: BaseException) -> Reason:
    # Addresses differ from run to run, and the ledger must not.
    message = re.sub(r"0x[0-9a-fA-F]{6,}", "0x...", str(error))
    return Reason(
        "internal_error",
        "worker",
        Outcome.QUARANTINED,
        f"{type(error).__name__}: {message} (this is a bug, please report it)",
    )


def _checked(task: Task, records: int, result: TaskResult) -> BatchResult:
    """Hold a task to its contract: a row or a reason for each record."""
    schema = task.schema
    if not result.table.schema.equals(schema, check_metadata=False):
        raise TypeError(f"task {task.name} returned a table whose schema is not its own")
    table = result.table.replace_schema_metadata(schema.metadata)
    reasons = Reasons.of(result.reasons)
    said_of = reasons.records
    if len(said_of) and not 0 <= said_of[0] <= said_of[-1] < records:
        raise TypeError(f"task {task.name} gave reasons of others than its {records} records")
    made = BatchResult.of(table, reasons, records, dict(result.seconds))
    with_row = made.with_row
    if table.num_rows != len(with_row) or not np.array_equal(result.positions, with_row):
        raise TypeError(
            f"task {task.name} returned rows for {list(result.positions)[:20]} ..., but "
            f"{with_row[:20].tolist()} ... are not quarantined"
        )
    return made


def explain_gaps(result: BatchResult) -> BatchResult:
    """Give a reason to each record that lacks a value and has none."""
    has_reason = np.zeros(len(result.outcomes), np.bool_)
    has_reason[result.reasons.records] = True
    with_row = result.with_row
    unexplained: list[int] = np.flatnonzero(~has_reason[with_row]).tolist()
    found = {}
    for row, columns in gaps(result.table, unexplained).items():
        named = ", ".join(columns[:5]) + (" ..." if len(columns) > 5 else "")
        message = f"no value for {named}, and no stage said why (this is a bug)"
        found[int(with_row[row])] = [
            Reason("unexplained_missing", "worker", Outcome.DEGRADED, message)
        ]
    if not found:
        return result
    reasons = Reasons.join([result.reasons, Reasons.of(found)])
    return BatchResult.of(result.table, reasons, len(result.outcomes), result.seconds)


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
