"""What a run has come to, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from pyhpc.cli.progress import duration
from pyhpc.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyhpc.executors import Status
    from pyhpc.shards.attempts import AttemptTotals


def outcome_table(counts: Mapping[str, Any]) -> Table:
    """Make the table of records by outcome and reason, from a manifest or a status."""
    total = sum(counts["outcomes"].values())
    table = Table(title="Records", title_justify="left")
    table.add_column("outcome")
    table.add_column("reason")
    table.add_column("records", justify="right")
    table.add_column("share", justify="right")
    for outcome in Outcome:
        count = counts["outcomes"].get(outcome, 0)
        table.add_row(str(outcome), "", f"{count:,}", _share(count, total), style="bold")
        codes = counts["reasons"].get(outcome, {})
        for code, number in sorted(codes.items(), key=lambda item: (-item[1], item[0])):
            table.add_row("", code, f"{number:,}", _share(number, total))
    table.add_section()
    table.add_row("all", "", f"{total:,}", "", style="bold")
    return table


def time_table(attempts: AttemptTotals) -> Table:
    """Make the table of where the time went, from all attempts that ended."""
    table = Table(title="Where the time went (core time)", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    rest = attempts.wall_seconds - sum(attempts.seconds.values())
    stages = attempts.seconds | {"other": max(rest, 0.0)}
    for stage, seconds in sorted(stages.items(), key=lambda item: -item[1]):
        table.add_row(stage, f"{seconds:,.2f}", _share(seconds, attempts.wall_seconds))
    return table


def speed_line(status: Status, seconds: float, cores: int, attempts: AttemptTotals) -> str:
    """Say how fast this run was."""
    records = status.records_done - status.records_before
    rate = records / seconds if seconds > 0 else 0.0
    line = (
        f"{records:,} records in {duration(seconds)}: {rate:,.1f} records/s, "
        f"{rate / cores:,.1f} records/s/core on {cores} cores; "
        f"{attempts.overhead:.1%} of the core time beside the task, "
        f"peak memory of a worker {attempts.peak_memory / 2**20:,.0f} MiB"
    )
    if status.records_before:
        line += f"; {status.records_before:,} records were done before"
    if status.lost:
        line += f"; {status.lost} attempts were lost with their workers"
    return line


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else ""
