"""``pyhpc logs``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from pyhpc.cli.options import OUTPUT
from pyhpc.cli.progress import duration
from pyhpc.errors import PyhpcError
from pyhpc.executors.array import ArrayFolder
from pyhpc.shards import Output, Plan, shard_done
from pyhpc.shards.attempts import last_words, shard_logs

if TYPE_CHECKING:
    from pathlib import Path


@click.command("logs")
@OUTPUT
@click.argument("shard", type=int)
def logs_command(out: Path, shard: int) -> None:
    """Tell every attempt at SHARD of OUT: where, how far it came, and its last words."""
    output = Output(out)
    plan = Plan.load(output)
    if not 0 <= shard < len(plan.shards):
        raise PyhpcError(
            f"{out} has no shard {shard}", f"Its {len(plan.shards):,} shards begin with 0."
        )
    done = shard_done(output, plan, shard)
    records = plan.shards[shard].records
    click.echo(f"Shard {shard}, {records:,} records: {'done' if done else 'not done'}")
    for lines in shard_logs(output, shard):
        click.echo(_tell(lines))
        if words := last_words(output, shard, lines[0]["attempt"]):
            click.echo("    " + words.replace("\n", "\n    "))
        if path := _job_log(output, lines[0].get("job")):
            click.echo(f"  log of the job: {path}")


def _tell(lines: list[dict[str, Any]]) -> str:
    first, last = lines[0], lines[-1]
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(first["time"]))
    where = f"job {first['job']} on {first['host']}" if "job" in first else first["host"]
    line = f"Attempt {first['attempt']}: {began}, {where}, process {first['pid']}: "
    if "wall_seconds" not in last:
        heard = duration(last["time"] - first["time"])
        return f"{line}{last.get('treated', 0):,} records treated in {heard}, not ended"
    stages = sorted(last["seconds"].items(), key=lambda item: -item[1])[:5]
    longest = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in stages)
    memory = last["peak_memory"] / 2**20
    return f"{line}{last['wall_seconds']:.2f} s, {memory:.0f} MiB at most; longest: {longest}"


def _job_log(output: Output, job: str | None) -> Path | None:
    """Find what a job has printed."""
    if job is None:
        return None
    # Workers of --on slurm; tasks of an array, which are called by the array and their number.
    folders = (output.attempts / "jobs", ArrayFolder.of(output).logs)
    return next((path for at in folders if (path := at / f"{job}.log").exists()), None)
