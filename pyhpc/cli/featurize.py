"""``pyhpc featurize``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console

from pyhpc.cli.interrupts import Interrupts
from pyhpc.cli.options import executor_options
from pyhpc.cli.planning import plan_options
from pyhpc.cli.slurm import announce, run_task
from pyhpc.cli.summary import outcome_table, speed_line, time_table
from pyhpc.cli.watch import check_complete, watch
from pyhpc.executors.array import ArrayRun
from pyhpc.executors.array_task import hand_share
from pyhpc.shards import finish
from pyhpc.shards.attempts import total_attempts

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyhpc.executors import Executor, Job


@click.command("featurize")
@executor_options
@plan_options
@click.option("--wait", is_flag=True, help="With --on array: stay until the run has ended.")
@click.option(
    "--array-task",
    is_flag=True,
    help="Do the share of the SLURM array's task that this process is.",
)
def featurize_command(
    plan: Callable[[], Job], executor: Executor, *, wait: bool, array_task: bool
) -> None:
    """Compute features of the crystals in SOURCES, or in the shards made from them.

    Writes a table (OUT/parts), a ledger that accounts for every record (OUT/ledger) and manifests.
    Called again after whatever fault, it goes on where it stopped.
    """
    with Interrupts(patient=array_task) as interrupts:
        job = plan()
        output = job.output
        if array_task:
            run_task(hand_share(job), executor, interrupts)
            if next(job.pending(), None) is not None:
                return
        run = executor.submit(job)
        if isinstance(run, ArrayRun):
            announce(run)
            if not wait:
                return
        status, seconds = watch(run, interrupts)
        check_complete(run, status, interrupts)
        manifest = finish(output, job.plan)
    console = Console(highlight=False)
    attempts = total_attempts(output)
    console.print(outcome_table(manifest))
    console.print(time_table(attempts))
    console.print(speed_line(status, seconds, executor.cores, attempts), soft_wrap=True)
    console.print(f"The table is {output.parts}, the ledger {output.ledger}.", soft_wrap=True)
    if manifest["outcomes"]["quarantined"]:
        console.print(f"To see one record in full: pyhpc replay {output.path} ID", soft_wrap=True)
