"""``pyhpc estimate``."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click
from rich.console import Console

from pyhpc.cli.interrupts import Interrupts
from pyhpc.cli.planning import feature_options
from pyhpc.cli.progress import Counter, duration
from pyhpc.executors import Site
from pyhpc.executors.array import DEFAULT_WALLTIME, suggest_tasks
from pyhpc.executors.estimate import measure_earlier, measure_sample
from pyhpc.executors.site import walltime_seconds
from pyhpc.shards import Guard, Output, Packing

if TYPE_CHECKING:
    from pyhpc.shards import Task

LONG, SHORT = 600.0, 5.0
"""Seconds of a shard beyond which another cut is advised: what is lost with a worker is at most a
shard, and what a shard costs beside its records should be little."""


@click.command("estimate")
@click.option(
    "--shards",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder that pyhpc shard made.",
)
@click.option("--site", help="Profile of the cluster: a name or a TOML file.")
@click.option(
    "--from",
    "earlier",
    type=click.Path(path_type=Path),
    help="Output folder of an earlier run with the same options, to measure by in place of a "
    "sample.",
)
@click.option(
    "--sample-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Time to spend on a sample of the shards.",
)
@feature_options
def estimate_command(
    shards: Path, site: str | None, earlier: Path | None, sample_seconds: float, task: Task
) -> None:
    """Say what a run over SHARDS takes, and how many tasks to give it.

    Runs a sample of the shards on one core of this machine.
    """
    profile = Site.load(site)
    packing = Packing.load(shards.absolute())
    with Interrupts(), Counter("sample") as counter:
        if earlier is None:
            seconds = sample_seconds
            measured = measure_sample(packing, task, Guard(), seconds=seconds, on_batch=counter.add)
        else:
            measured = measure_earlier(Output(earlier))
    core_seconds = measured.core_seconds_of(packing.shards)
    cores = profile.cores or 1
    tasks = suggest_tasks(packing.shards, profile, core_seconds=core_seconds)
    seconds = core_seconds / (tasks * cores)
    limit = walltime_seconds(profile.walltime) if profile.walltime else DEFAULT_WALLTIME
    shard = median(one.cost for one in packing.shards) * measured.core_seconds / measured.cost
    rate = measured.records / measured.core_seconds
    hours = core_seconds / 3600
    spent = f"{hours:,.2f} core hours" if hours >= 0.1 else f"{core_seconds:,.0f} core seconds"
    say = Console(highlight=False, markup=False, soft_wrap=True).print
    say(f"Measured:  {measured.records:,} records at {rate:,.1f} records/s on one core")
    say(
        f"The whole: {packing.records:,} records in {len(packing.shards):,} shards, {spent}, "
        f"{measured.output_bytes_of(packing.shards) / 1e6:,.1f} MB of output"
    )
    say(f"A shard:   {duration(shard)} on one core")
    say(
        f"Suggested: --jobs {tasks} --cores {cores} --walltime "
        f"{duration(max(60.0, min(2 * seconds + 300, limit)))}, done after about "
        f"{duration(seconds)} from when they start"
    )
    if shard > LONG or (shard < SHORT and len(packing.shards) > cores * tasks):
        better = max(1, round(60 / shard * packing.records / len(packing.shards)))
        say(f"Shards of a minute lose and cost less: pyhpc shard --records-per-shard {better}")
