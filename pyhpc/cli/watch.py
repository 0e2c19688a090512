"""Wait for a run, and say why it did not get to its end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from pyhpc.cli.interrupts import Interrupted
from pyhpc.cli.progress import RunProgress
from pyhpc.errors import PyhpcError
from pyhpc.executors.array import ArrayFolder, ArrayRun

if TYPE_CHECKING:
    from pyhpc.cli.interrupts import Interrupts
    from pyhpc.executors import Run, Status


def watch(run: Run, interrupts: Interrupts) -> tuple[Status, float]:
    """Wait for the end of a run that signals may cancel; give how it ended, and its seconds."""
    told = False

    def show(status: Status) -> None:
        nonlocal told
        progress.show(status)
        if interrupts.drains and not told:
            told = True
            name = signal.Signals(interrupts.received or 0).name
            click.echo(f"{name}: finishing what is begun", err=True)

    interrupts.attach(run)
    with RunProgress() as progress:
        status = run.wait(show)
        seconds = progress.seconds
    interrupts.attach(None)
    return status, seconds


def check_complete(run: Run, status: Status, interrupts: Interrupts) -> None:
    """Leave if shards are missing at the end of a run.

    Raises
    ------
    Interrupted
        If a signal has cancelled it.
    PyhpcError
        If the jobs of an array have given up.
    """
    if status.complete:
        return
    done = f"{status.shards_done} of {status.shards} shards done"
    number = interrupts.received
    if isinstance(run, ArrayRun):
        if number:
            raise Interrupted(number, f"Left; the jobs of {run.output.path} go on.")
        raise PyhpcError(
            f"the jobs have ended with {done}",
            f"See {ArrayFolder.of(run.output).logs} for why, then give the same command again: "
            "what is committed is kept.",
        )
    if number is None:
        raise RuntimeError(f"the run has ended with {done}")
    raise Interrupted(
        number,
        f"Stopped by {signal.Signals(number).name} with {done}, which are kept. "
        "Give the same command again to go on.",
    )
