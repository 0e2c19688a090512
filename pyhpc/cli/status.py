"""``pyhpc status``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from rich.console import Console

from pyhpc.cli.options import OUTPUT
from pyhpc.cli.progress import duration
from pyhpc.cli.summary import outcome_table
from pyhpc.executors.array import ArrayFolder
from pyhpc.executors.run_log import LoggedRun, logged_runs
from pyhpc.shards import Output, Plan, shard_done
from pyhpc.shards.attempts import total_attempts
from pyhpc.shards.finish import Counts

if TYPE_CHECKING:
    from pathlib import Path


_SHOWN = 10


@click.command("status")
@OUTPUT
def status_command(out: Path) -> None:
    """Say how far the run in OUT is, from whatever machine sees its files."""
    output = Output(out)
    plan = Plan.load(output)
    shards = [shard_done(output, plan, index) for index in range(len(plan.shards))]
    done = [shard for shard in shards if shard is not None]
    counts = Counts()
    for shard in done:
        counts.add(shard.outcomes, shard.reasons)
    attempts = total_attempts(output)
    running = {k: a for k, a in attempts.running.items() if shards[k] is None}
    records = sum(d.records for d in done)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{len(done):,} of {len(shards):,} shards, {records:,} of {plan.records:,} records"
    )
    if running:
        treated = sum(attempt.treated for attempt in running.values())
        console.print(f"{len(running):,} shards begun, with {treated:,} records treated")
    if attempts.rate and len(done) < len(shards):
        left = duration((plan.records - records) / attempts.rate)
        console.print(f"{attempts.rate:,.1f} records/s lately, {left} left at this rate")
    if attempts.lost > len(running):
        console.print(
            f"{attempts.lost - len(running)} attempts were lost, "
            f"{duration(attempts.lost_seconds)} of work"
        )
    if jobs := ArrayFolder.of(output).job_ids():
        console.print(f"Array jobs, in order: {', '.join(jobs)} (squeue -j {','.join(jobs[-2:])})")
    for run in logged_runs(output).values():
        if not run.ended:
            console.print(describe_run(run))
    for index, attempt in sorted(running.items())[:_SHOWN]:
        where = f"job {attempt.job} on {attempt.host}" if attempt.job else attempt.host
        begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(attempt.began))
        console.print(
            f"  shard {index}: {attempt.treated:,} records treated, {where}, from {begun}"
        )
    if len(running) > _SHOWN:
        console.print(f"  ... and {len(running) - _SHOWN:,} more")
    console.print(outcome_table(counts.to_json()))
    if len(done) < len(shards):
        state = "not finished"
    elif output.final_manifest.exists():
        state = "finished"
    elif jobs:
        state = "computed, not closed: its last job does that, or pyhpc featurize once more"
    else:
        state = "computed, not closed: call pyhpc featurize again"
    console.print(f"The run is {state}.")


def describe_run(run: LoggedRun) -> str:
    """Say which jobs a run has that has not ended; if its process was killed, they end soon."""
    queued = [job for job, state in run.jobs.items() if state != "gone"]
    gone = len(run.jobs) - len(queued)
    line = f"Run --on {run.executor} by process {run.pid} on {run.host}"
    line += f", jobs {', '.join(queued)} (squeue -j {','.join(queued)})" if queued else ", no jobs"
    line += f", {gone} ended before" if gone else ""
    return f"{line}; from its start {run.start}" if run.start else line
