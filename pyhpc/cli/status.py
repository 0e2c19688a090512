"""``pyhpc status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console

from pyhpc.cli.options import OUTPUT
from pyhpc.cli.summary import outcome_table
from pyhpc.shards import Output, Plan, shard_done
from pyhpc.shards.attempts import total_attempts
from pyhpc.shards.finish import add_counts

if TYPE_CHECKING:
    from pathlib import Path


@click.command("status")
@OUTPUT
def status_command(out: Path) -> None:
    """Say how far the run in OUT is, from whatever machine sees its files."""
    output = Output(out)
    plan = Plan.load(output)
    shards = [shard_done(output, index) for index in range(len(plan.shards))]
    done = [shard for shard in shards if shard is not None]
    counts = add_counts({"outcomes": d.outcomes, "reasons": d.reasons} for d in done)
    attempts = total_attempts(output)
    console = Console(highlight=False)
    console.print(
        f"{len(done):,} of {len(shards):,} shards, {sum(d.records for d in done):,} of "
        f"{plan.records:,} records; {attempts.lost} attempts lost or running",
        soft_wrap=True,
    )
    console.print(outcome_table(counts))
    if len(done) < len(shards):
        state = "not finished"
    elif output.final_manifest.exists():
        state = "finished"
    else:
        state = "computed, not closed: call pyhpc featurize again"
    console.print(f"The run is {state}.")
