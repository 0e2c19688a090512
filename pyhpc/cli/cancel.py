"""``pyhpc cancel``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pyhpc.cli.options import OUTPUT
from pyhpc.executors.cancel import cancel_runs
from pyhpc.shards import Output, Plan

if TYPE_CHECKING:
    from pathlib import Path


@click.command("cancel")
@OUTPUT
def cancel_command(out: Path) -> None:
    """End the run in OUT: its jobs, and the process that leads it.

    Finished shards are kept; the command that began the run goes on with it. A run --on local ends
    by Ctrl-C where it was started.
    """
    output = Output(out)
    Plan.load(output)
    for sentence in cancel_runs(output) or ["No job of this run is left, and no process leads it."]:
        click.echo(sentence)
