"""What runs inside the jobs of an array run."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from pyhpc.errors import PyhpcError
from pyhpc.executors.array import ArrayFolder, submit_round
from pyhpc.executors.rounds import Round, Share, Spans
from pyhpc.executors.site import Site
from pyhpc.executors.slurm_commands import Limits
from pyhpc.shards.finish import finish

if TYPE_CHECKING:
    from pyhpc.executors.run import Job


def task_share(job: Job, number: int, first: int) -> Job:
    """Cut from a job what the task of an array has to do that this process is.

    Parameters
    ----------
    job : Job
        The whole.
    number : int
        The round.
    first : int
        The first task of this array.
    """
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    if task is None:
        raise PyhpcError("this is no task of a SLURM array", "Submit with: pyhpc slurm submit")
    one = Round.load(ArrayFolder.of(job.output).round(number))
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    return replace(job, share=Share(job.output, one, first + int(task), restarts))


def hand_share(job: Job) -> Job:
    """Cut from a job what this process has to do as a task of an array submitted by hand.

    The round is named after the array and is about all that is in the plan, so that the tasks need
    no file to agree.
    """
    try:
        array, task, first, tasks = (
            os.environ[f"SLURM_ARRAY_{name}"]
            for name in ("JOB_ID", "TASK_ID", "TASK_MIN", "TASK_COUNT")
        )
    except KeyError:
        raise PyhpcError(
            "this is no task of a SLURM array", "Submit with: sbatch --array=0-7 SCRIPT ..."
        ) from None
    shards = Spans([range(len(job.plan.shards))])
    one = Round(f"array{array}", 1, shards, frozenset(), int(tasks))
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    return replace(job, share=Share(job.output, one, int(task) - int(first), restarts))


def end_round(
    job: Job, number: int, *, tasks: int, further: int, array_size: int | None = None
) -> list[str]:
    """Finish the run, or submit what is missing.

    Parameters
    ----------
    job : Job
        The whole.
    number : int
        The round that has ended.
    tasks : int
        Most tasks of a further round.
    further : int
        How many rounds may follow.
    array_size : int, optional
        Most tasks of an array, if not what the controller says.

    Returns
    -------
    list of str
        Ids of the jobs that were submitted; none where the run is finished.

    Raises
    ------
    PyhpcError
        If shards are missing after the last round.
    """
    missing = Spans.of(job.pending())
    if not missing:
        finish(job.output, job.plan)
        return []
    if len(ArrayFolder.of(job.output).rounds()) > number:
        # This job was requeued after it had submitted the next round.
        return []
    if further < 1:
        raise PyhpcError(
            f"{len(missing)} of {len(job.plan.shards)} shards are missing after {number} rounds",
            f"See {ArrayFolder.of(job.output).logs} for why, then submit again: what is committed "
            "is kept.",
        )
    # So many jobs were in the queue before.
    limits = Limits.of(Site(max_array_size=array_size, max_jobs=tasks + 1))
    return submit_round(
        job.output, number + 1, missing, tasks=tasks, further=further - 1, limits=limits
    )
