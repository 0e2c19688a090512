"""``pyhpc featurize``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pyhpc.cli.interrupts import Interrupted, Interrupts
from pyhpc.cli.options import Bytes, executor_options, reading_options, storage_path
from pyhpc.cli.packing import pack_sources
from pyhpc.cli.progress import RunProgress
from pyhpc.cli.summary import outcome_table, speed_line, time_table
from pyhpc.executors import Job
from pyhpc.shards import Guard, Output, Packing, Plan, finish
from pyhpc.shards.attempts import total_attempts
from pyhpc.tasks import make_task

if TYPE_CHECKING:
    from pyhpc.executors import Executor, Status


@click.command("featurize")
@click.argument("sources", nargs=-1)
@click.option(
    "--shards",
    "shards",
    type=click.Path(path_type=Path),
    help="Folder that pyhpc shard made, in place of SOURCES.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Output folder.")
@click.option("--groups", help="Feature groups, separated by commas.  [default: all]")
@click.option("--mobile-ion", default="Li", show_default=True, help="The ion that moves.")
@click.option(
    "--max-sites", type=click.IntRange(min=1), help="Most sites of a cell.  [default: 20000]"
)
@executor_options
@click.option(
    "--record-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=Guard().record_seconds,
    show_default=True,
    help="Time after which a record is quarantined.",
)
@click.option(
    "--record-memory",
    type=Bytes(),
    default="2G",
    show_default=True,
    help="Memory beyond which a record that ended its worker is quarantined.",
)
@reading_options
def featurize_command(
    sources: tuple[str, ...],
    shards: Path | None,
    out: Path,
    groups: str | None,
    mobile_ion: str,
    max_sites: int | None,
    executor: Executor,
    record_seconds: float,
    record_memory: int,
    **reading: Any,
) -> None:
    """Compute features of the crystals in SOURCES, or in the shards made from them.

    Writes a table (OUT/parts), a ledger that accounts for every record (OUT/ledger) and manifests.
    Called again after whatever fault, it goes on where it stopped.
    """
    if bool(sources) == bool(shards):
        raise click.UsageError("Give either SOURCES or --shards.")
    parameters: dict[str, Any] = {"mobile_ion": mobile_ion}
    if groups is not None:
        parameters["groups"] = [group.strip() for group in groups.split(",") if group.strip()]
    if max_sites is not None:
        parameters["limits"] = {"max_sites": max_sites}
    output = Output(storage_path(out))
    with Interrupts() as interrupts:
        task = make_task("featurize", parameters)
        packing = (
            Packing.load(shards.absolute())
            if shards
            else pack_sources(sources, output.shards, **reading)
        )
        guard = Guard(record_seconds, record_memory)
        plan = Plan.make(output, packing, task, guard).create(output)
        run = executor.submit(Job(output, plan, task, packing.folder))
        interrupts.attach(run)
        with RunProgress() as progress:
            status = run.wait(progress.show)
            seconds = progress.seconds
        interrupts.attach(None)
        if not status.complete:
            raise _stopped(interrupts.received or signal.SIGTERM, status)
        manifest = finish(output, plan)
    console = Console(highlight=False)
    attempts = total_attempts(output)
    console.print(outcome_table(manifest))
    console.print(time_table(attempts))
    console.print(speed_line(status, seconds, executor.cores, attempts), soft_wrap=True)
    console.print(f"The table is {output.parts}, the ledger {output.ledger}.", soft_wrap=True)
    if manifest["outcomes"]["quarantined"]:
        console.print(f"To see one record in full: pyhpc replay {out} ID", soft_wrap=True)


def _stopped(number: int, status: Status) -> Interrupted:
    return Interrupted(
        number,
        f"Stopped by {signal.Signals(number).name} with {status.shards_done} of {status.shards} "
        "shards done, which are kept. Give the same command again to go on.",
    )
