"""``pyhpc replay``."""

from __future__ import annotations

import faulthandler
import traceback
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from pyhpc.cli.options import OUTPUT, PACKING
from pyhpc.records import worst
from pyhpc.shards import Output, Plan, find_records
from pyhpc.tasks import make_task

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from pyhpc.records import Reason
    from pyhpc.shards import Task
    from pyhpc.shards.replay import Found


@click.command("replay")
@OUTPUT
@click.argument("id")
@click.option("--shard", type=click.IntRange(min=0), help="Look in this shard only.")
@click.option("--row", type=click.IntRange(min=0), help="Take the record of this row.")
@click.option("--text/--no-text", "with_text", help="Print the record's text as well.")
@PACKING
def replay_command(
    out: Path,
    id: str,  # noqa: A002 (the argument's name)
    shard: int | None,
    row: int | None,
    packing: Path | None,
    *,
    with_text: bool,
) -> None:
    """Run the record ID of OUT alone, in this process, and show all there is to see."""
    output = Output(out)
    plan = Plan.load(output)
    task = make_task(plan.task, plan.parameters)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if task.versions != plan.versions:
        console.print(f"Note: the run had versions {plan.versions}, this is {task.versions}.")
    found = find_records(output, plan, id, shard=shard, row=row, packing=packing)
    if len(found) > 1:
        console.print(f"{len(found)} records are called {id}; --shard and --row pick one.")
    for one in found:
        _describe(console, one, with_text=with_text)
        _replay(console, task, one)


def _describe(console: Console, found: Found, *, with_text: bool) -> None:
    record = found.record
    console.rule(record.id)
    console.print(f"source   {record.source}, bytes {record.start} to {record.stop}")
    console.print(f"packed   shard {found.shard}, row {found.row}, {record.format}")
    console.print(f"sha256   {record.sha256}")
    if found.ledger is None:
        console.print("ledger   its shard is not done yet")
    else:
        console.print(f"ledger   {found.ledger['outcome']}")
        for reason in found.ledger["reasons"]:
            console.print(
                f"  {reason['outcome']}: {reason['code']} ({reason['stage']}): {reason['message']}"
            )
    if with_text:
        console.print(record.text.decode(errors="replace"))


def _replay(console: Console, task: Task, found: Found) -> None:
    if found.record.refused is not None:
        console.print("replay   not possible: the source could not give the text")
        return
    # Should the record crash this process, the stack is shown.
    if not faulthandler.is_enabled():
        faulthandler.enable()
    try:
        result = task.run([found.record])
    except Exception:
        console.print("replay   raises")
        console.print(traceback.format_exc())
        return
    reasons = list(result.reasons.get(0, ()))
    console.print(f"replay   {worst(reasons)}")
    _print_reasons(console, reasons)
    if result.table.num_rows:
        console.print(_values(result.table))
    for stage, seconds in result.seconds.items():
        console.print(f"  {1e3 * seconds:10.3f} ms  {stage}")


def _print_reasons(console: Console, reasons: list[Reason]) -> None:
    for reason in reasons:
        console.print(f"  {reason.outcome}: {reason.code} ({reason.stage}): {reason.message}")


def _values(row: pa.Table) -> Table:
    table = Table("column", "value")
    for name, column in zip(row.column_names, row.columns, strict=True):
        table.add_row(name, str(column[0].as_py()))
    return table
