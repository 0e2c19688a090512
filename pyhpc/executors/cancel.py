"""End the runs of an output folder, from whatever machine sees its files."""

from __future__ import annotations

import os
import platform
import signal
from typing import TYPE_CHECKING

from pyhpc.executors.array import ArrayFolder
from pyhpc.executors.run_log import logged_runs, process_start
from pyhpc.executors.slurm_commands import slurm, waiting_jobs

if TYPE_CHECKING:
    from pyhpc.executors.run_log import LoggedRun
    from pyhpc.shards.output import Output

_CLOCK = 5.0
"""Seconds that two readings of the start of one process may differ by."""


def cancel_runs(output: Output) -> list[str]:
    """End what runs, as its executor ends it; what is committed stays.

    Jobs of an array are told to leave (SIGTERM), as by ``scancel``, that which would submit the
    next round first. The process that leads a run on Dask is told the same where it is: on this
    machine by a signal, within a job by ``scancel``.

    Returns
    -------
    list of str
        What was done, or is left to do, a sentence each; empty where nothing runs.

    Raises
    ------
    PyhpcError
        If SLURM has to be asked and can't be.
    """
    said = []
    if jobs := ArrayFolder.of(output).job_ids():
        alive = {name.partition("_")[0] for name in waiting_jobs(jobs)}
        if left := [job for job in reversed(jobs) if job in alive]:
            slurm("scancel", *left)
            said.append(f"Cancelled the jobs {', '.join(left)}.")
    for run in logged_runs(output).values():
        if not run.ended and (done := _end(run)):
            said.append(done)
    return said


def _end(run: LoggedRun) -> str:
    """End a run that a process leads; empty if there is no such process."""
    if run.within:
        if not waiting_jobs([run.within]):
            return ""
        slurm("scancel", run.within)
        return f"Cancelled the job {run.within}, in which the run is led."
    if run.host != platform.node():
        return f"The run is led by process {run.pid} on {run.host}: call this there."
    began = process_start(run.pid)
    if began is None or abs(began - run.started) > _CLOCK:
        return ""
    os.kill(run.pid, signal.SIGTERM)
    return f"Told process {run.pid}, which leads the run, to leave."
