"""Worker jobs on SLURM: submitted, watched, replaced, and let go when there is no more to do."""

from __future__ import annotations

import logging
import math
import re
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask_jobqueue.slurm import SLURMCluster, SLURMJob
from distributed.deploy.spec import ProcessInterface

from pyhpc.errors import PyhpcError
from pyhpc.executors.workers import end_of_log

if TYPE_CHECKING:
    from pathlib import Path

    from pyhpc.executors.run_log import RunLog

logger = logging.getLogger(__name__)

FALSE_STARTS = 3
"""So many jobs in a row may end before their workers register, until that is an error."""

REGISTER_SECONDS = 300.0
"""Time that a running job has for its workers to register; modules and images load slowly."""

IDLE_SECONDS = 30.0
"""Time after which a job that has nothing to do is let go, while others are still at work."""

PATIENCE_SECONDS = 60.0
"""Time between attempts to get more jobs, where the last were refused or ended at once."""

OUTAGE_SECONDS = 600.0
"""Time that a controller may be silent for while there is no worker either."""

POLL_SECONDS = (1.0, 30.0)
"""Time between looks at the queue: short after a change, longer and longer without."""


class WorkerCluster(SLURMCluster):  # type: ignore[misc]
    """A cluster whose jobs are told themselves where the keys are."""

    def _get_worker_security(self, security: object) -> None:
        """Write no keys: Dask would leave them behind, and name them to the shell unquoted."""


class WorkerJob(SLURMJob):  # type: ignore[misc]
    """A job that runs workers.

    Parameters
    ----------
    scheduler, name, options
        As of ``SLURMJob``.
    submission : list of str
        Command that takes the path of a script and prints the id of the job.
    environment : dict
        Environment of the command, and so of the job.
    """

    def __init__(
        self,
        scheduler: str | None = None,
        name: str | None = None,
        *,
        submission: list[str],
        environment: dict[str, str],
        **options: Any,
    ) -> None:
        super().__init__(scheduler=scheduler, name=name, **options)
        self._submission = submission
        self._environment = environment
        self.refused: str | None = None

    async def start(self) -> None:
        """Submit the job. A refusal is noted: raised here, it would only end in a log."""
        try:
            with self.job_file() as path:
                out = await self._call([*self._submission, path], env=self._environment)
        except (RuntimeError, OSError) as error:
            self.refused = _complaint(str(error))
        else:
            self.job_id = out.strip().partition(";")[0]
        await ProcessInterface.start(self)

    async def close(self) -> None:
        """Cancel the job, if it is still there."""
        await super().close()
        await ProcessInterface.close(self)


_OUTAGE = re.compile(r"contact slurm controller|timed out|connection refused", re.IGNORECASE)
"""What commands say when the controller does not answer."""


def _complaint(text: str) -> str:
    """Take from the report of a call what the refused command says."""
    said = text.partition("stderr:\n")[2] or text
    return " ".join(line.removeprefix("sbatch: ") for line in said.split("\n") if line).strip()


@dataclass
class _Seen:
    """What was seen of a job."""

    registered: bool = False
    running_since: float | None = None
    idle_since: float | None = None


class Fleet:
    """Sees to the jobs of a cluster, in a thread of its own; a context.

    As many jobs are kept as there is work for, and no more than allowed. That number only falls as
    shards are done, so that the queue is not thrashed. A job that is gone is replaced.

    Parameters
    ----------
    cluster : WorkerCluster
        Cluster whose jobs are :class:`WorkerJob`.
    job_name : str
        Name of its jobs in the queue, which no others have.
    logs : Path
        Folder of the jobs' logs.
    run_log : RunLog
        Log to tell of jobs.
    jobs : int
        Most jobs at a time.
    processes : int
        Workers of a job.
    """

    def __init__(
        self,
        cluster: WorkerCluster,
        *,
        job_name: str,
        logs: Path,
        run_log: RunLog,
        jobs: int,
        processes: int,
    ) -> None:
        self._cluster = cluster
        self._job_name = job_name
        self._logs = logs
        self._run_log = run_log
        self._jobs = jobs
        self._processes = processes
        self._seen: dict[str, _Seen] = {}
        self._queue: dict[str, str] | None = None
        self._next_look = 0.0
        self._pause = POLL_SECONDS[0]
        self._silent_since: float | None = None
        self._false_starts = 0
        self._not_before = 0.0
        self._left = 0
        self._error: Exception | None = None
        self._wake = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._watch, name="pyhpc-fleet", daemon=True)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def tend(self, left: int) -> None:
        """Say how many shards are left to do, and learn what went wrong."""
        if self._error is not None:
            raise self._error
        self._left = left
        if not self._thread.is_alive():
            self._thread.start()

    def _watch(self) -> None:
        try:
            while not self._stop:
                self._step()
                self._wake.wait(0.5)
        except Exception as error:
            self._error = error

    def _step(self) -> None:
        now = time.monotonic()
        self._note_submissions(now)
        workers = self._note_workers()
        waiting = [job for job in self._seen if job not in workers]
        if waiting and now >= self._next_look:
            self._look(now)
            self._drop_ended(waiting, now, workers)
        self._check_silence(now, workers)
        self._release_idle(now, workers)
        self._ask_for_more(now)

    def _specs(self) -> dict[str, WorkerJob]:
        """Jobs as the cluster has them, by their names in the cluster."""
        return dict(self._cluster.workers)

    def _note_submissions(self, now: float) -> None:
        for name, job in self._specs().items():
            if job.refused is not None:
                self._forget([name])
                self._not_before = now + PATIENCE_SECONDS
                if _OUTAGE.search(job.refused):
                    self._not_before = now + PATIENCE_SECONDS / 10
                    self._silent_since = self._silent_since or now
                elif not self._seen:
                    raise PyhpcError(
                        f"SLURM refused the job: {job.refused}",
                        "Correct the options or the site profile, then call again.",
                    )
                else:
                    logger.warning("SLURM refused a further job: %s", job.refused)
            elif job.job_id not in self._seen:
                self._silent_since = None
                self._seen[job.job_id] = _Seen()
                self._run_log.submitted(job.job_id)
                self._look_soon()

    def _note_workers(self) -> dict[str, list[Any]]:
        """Workers that are connected, by job."""
        workers: dict[str, list[Any]] = {}
        for state in list(self._cluster.scheduler.workers.values()):
            workers.setdefault(str(state.name).partition(".")[0], []).append(state)
        for job, seen in self._seen.items():
            if job in workers:
                if not seen.registered:
                    self._false_starts = 0
                    self._run_log.connected(job)
                seen.registered = True
                seen.running_since = None
            elif seen.registered:
                self._look_soon()
        return workers

    def _look_soon(self) -> None:
        """Look at the queue before long: something has changed."""
        if self._pause > POLL_SECONDS[0]:
            self._pause = POLL_SECONDS[0]
            self._next_look = 0.0

    def _look(self, now: float) -> None:
        """Ask for the states of the jobs; none where the controller does not answer."""
        before = self._queue
        command = ["squeue", "--noheader", "--name", self._job_name, "--format", "%A %T"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            self._queue = dict(line.split() for line in done.stdout.splitlines())
            self._silent_since = None
        except (subprocess.SubprocessError, OSError, ValueError):
            self._queue = None
            self._silent_since = self._silent_since or now
        longest = POLL_SECONDS[1]
        self._pause = POLL_SECONDS[0] if self._queue != before else min(2 * self._pause, longest)
        self._next_look = now + self._pause

    def _check_silence(self, now: float, workers: dict[str, list[Any]]) -> None:
        if self._silent_since is None or workers:
            return
        if now - self._silent_since > OUTAGE_SECONDS:
            raise PyhpcError(
                f"SLURM has not answered for {OUTAGE_SECONDS / 60:.0f} minutes, and no worker is "
                "there",
                "When it is back, call again: finished shards are kept.",
            )

    def _drop_ended(self, waiting: list[str], now: float, workers: dict[str, list[Any]]) -> None:
        """Forget the jobs that are gone, and those that run but never get to work."""
        if self._queue is None:
            return
        names = {job.job_id: name for name, job in self._specs().items()}
        for job in waiting:
            seen = self._seen[job]
            state = self._queue.get(job)
            if state is not None and state != "RUNNING":
                seen.running_since = None
                continue
            if state == "RUNNING":
                seen.running_since = seen.running_since or now
                if now - seen.running_since < REGISTER_SECONDS:
                    continue
            del self._seen[job]
            self._run_log.gone(job)
            if job in names:
                self._forget([names[job]])
            if not seen.registered:
                self._false_start(job, now, workers)

    def _false_start(self, job: str, now: float, workers: dict[str, list[Any]]) -> None:
        self._false_starts += 1
        path = self._logs / f"{job}.log"
        if self._false_starts < FALSE_STARTS:
            return
        self._not_before = now + PATIENCE_SECONDS
        text = (
            f"{self._false_starts} jobs in a row ended before their workers registered, "
            f"the last was {job}"
        )
        if workers:
            logger.warning("%s; its log is %s", text, path)
            return
        raise PyhpcError(
            f"{text}, whose log ends:\n{end_of_log(path)}\n",
            f"Correct modules, environment or Python of the site; the log is {path}",
        )

    def _release_idle(self, now: float, workers: dict[str, list[Any]]) -> None:
        """Let jobs go for which there is no more work."""
        names = {job.job_id: name for name, job in self._specs().items() if job.job_id}
        surplus = len(names) - self._needed()
        if surplus <= 0:
            return
        pending = [job for job in names if job in self._seen and job not in workers]
        idle = []
        for job, states in workers.items():
            seen = self._seen.get(job)
            if seen is None or job not in names:
                continue
            if any(state.processing for state in states):
                seen.idle_since = None
            else:
                seen.idle_since = seen.idle_since or now
                if now - seen.idle_since > IDLE_SECONDS:
                    idle.append(job)
        going = [*pending, *idle][:surplus]
        for job in going:
            del self._seen[job]
            self._run_log.gone(job)
        if going:
            self._forget([names[job] for job in going])

    def _needed(self) -> int:
        return min(self._jobs, math.ceil(self._left / self._processes))

    def _ask_for_more(self, now: float) -> None:
        needed = self._needed()
        if needed > len(self._cluster.worker_spec) and now >= self._not_before:
            self._cluster.scale(jobs=needed)

    def _forget(self, names: list[str]) -> None:
        """Take jobs out of the cluster, which cancels those that are left in the queue."""
        self._cluster.sync(self._cluster.scale_down, names)
