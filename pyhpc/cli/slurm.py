"""``pyhpc slurm``: array jobs."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from pyhpc.cli.interrupts import Interrupts
from pyhpc.cli.options import OUTPUT, PACKING, executor_options
from pyhpc.cli.planning import plan_options
from pyhpc.cli.watch import watch
from pyhpc.executors import Job, LocalExecutor
from pyhpc.executors.array import ArrayExecutor, ArrayFolder, ArrayRun
from pyhpc.executors.array_task import end_round, task_share
from pyhpc.kernels import default_threads
from pyhpc.shards import Output, Plan
from pyhpc.tasks import make_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyhpc.executors import Executor


@click.group("slurm")
def slurm_group() -> None:
    """Submit a run as a SLURM array, or see what would be submitted."""


_ON_ARRAY = {"default_map": {"on": "array"}}


@slurm_group.command("render", context_settings=_ON_ARRAY)
@executor_options
@plan_options
def render_command(plan: Callable[..., Job], executor: Executor) -> None:
    """Show the scripts that submit would hand to sbatch, and write nothing."""
    job = plan(write=False)
    submission = array_executor(executor).submission(job)
    folder = ArrayFolder.of(job.output)
    for path, script in (
        (folder.array, submission.array),
        (folder.finish, submission.finish),
    ):
        click.echo(f"# ---- {path}\n{script}")
    click.echo(f"# ---- {submission.tasks} tasks, in arrays of what the site allows:")
    click.echo(f"# sbatch --parsable --array=0-{submission.tasks - 1} {folder.array} 1 0")
    click.echo(f"# sbatch --parsable --dependency=afterany:JOB {folder.finish} 1 ROUNDS_LEFT")


@slurm_group.command("submit", context_settings=_ON_ARRAY)
@executor_options
@plan_options
def submit_command(plan: Callable[..., Job], executor: Executor) -> None:
    """Submit a run as an array, and leave; the same as pyhpc featurize --on array."""
    with Interrupts():
        announce(array_executor(executor).submit(plan()))


def array_executor(executor: Executor) -> ArrayExecutor:
    """Make sure that the executor is the one that submits arrays."""
    if not isinstance(executor, ArrayExecutor):
        raise click.UsageError("Arrays are what this command submits: give --on array.")
    return executor


def announce(run: ArrayRun) -> None:
    """Say what was submitted, and how to watch it."""
    out = run.output.path
    if not run.jobs:
        click.echo(f"Nothing is missing in {out}.")
        return
    click.echo(f"Submitted the jobs {', '.join(run.jobs)}; the last one finishes the run.")
    click.echo(f"Watch: pyhpc status {out}")
    click.echo(f"Logs:  {ArrayFolder.of(run.output).logs}")


def planned_job(out: Path, packing: Path | None) -> Job:
    """Give the job whose plan is in an output folder."""
    output = Output(out.absolute())
    plan = Plan.load(output)
    return Job(output, plan, make_task(plan.task, plan.parameters), packing)


@slurm_group.command("task", hidden=True)
@OUTPUT
@click.argument("number", type=int)
@click.argument("first", type=int)
@PACKING
def task_command(out: Path, number: int, first: int, packing: Path | None) -> None:
    """Work as the task of an array that this process is (called by the jobs)."""
    with Interrupts(patient=True) as interrupts:
        job = task_share(planned_job(out, packing), number, first)
        run_task(job, LocalExecutor(default_threads()), interrupts)


def run_task(job: Job, executor: Executor, interrupts: Interrupts) -> None:
    """Run the share of a task, and say what came of it."""
    status, _ = watch(executor.submit(job), interrupts)
    ended = "all that was left to do is done"
    if interrupts.received:
        ended = f"left on {signal.Signals(interrupts.received).name}, before the end of its share"
    click.echo(f"{status.shards_done:,} shards, {status.records_done:,} records: {ended}")


@slurm_group.command("finish", hidden=True)
@OUTPUT
@click.argument("number", type=int)
@click.argument("further", type=int)
@click.option("--tasks", type=click.IntRange(min=1), required=True)
@click.option("--array-size", type=click.IntRange(min=1))
def finish_command(
    out: Path, number: int, further: int, tasks: int, array_size: int | None
) -> None:
    """End a round: submit what is missing, or finish the run (called by the jobs)."""
    with Interrupts():
        job = planned_job(out, None)
        jobs = end_round(job, number, tasks=tasks, further=further, array_size=array_size)
    if jobs:
        click.echo(f"Shards are missing: submitted the jobs {', '.join(jobs)}.")
    else:
        click.echo(f"The run is finished. Next: pyhpc verify {out}")
