"""Run shards in jobs on SLURM that talk to this process, through dask-jobqueue."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client

from pyhpc.errors import PyhpcError
from pyhpc.executors.dask_pool import DaskPool
from pyhpc.executors.dask_settings import SILENCE
from pyhpc.executors.fleet import Fleet, WorkerCluster, WorkerJob
from pyhpc.executors.pool_run import PoolRun
from pyhpc.executors.scheduler import scheduler_setup
from pyhpc.executors.site import expand_later, walltime_seconds
from pyhpc.executors.workers import (
    DEATH_SECONDS,
    memory_for_workers,
    worker_arguments,
    worker_settings,
)
from pyhpc.shards.plan import packing_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyhpc.executors.pool import Hear
    from pyhpc.executors.run import Job, Status
    from pyhpc.executors.scheduler import SchedulerSetup
    from pyhpc.executors.site import Site

MEMORY_PER_CORE = 2 * 2**30
"""Memory of a job per core where nobody says, in bytes."""

GRACE_SECONDS = 300
"""Most time before the end of a job for a shard that is being run to be finished."""


@dataclass(frozen=True, slots=True)
class SlurmExecutor:
    """Runs in jobs on SLURM; scheduler and progress are in this process.

    What the site leaves open is taken from the user's own ``jobqueue.yaml`` of Dask.

    Attributes
    ----------
    site : Site
        Profile of the cluster.
    jobs : int
        Most jobs at a time.
    """

    site: Site
    jobs: int

    @property
    def cores(self) -> int:
        """Cores of all jobs."""
        return self.jobs * self._job_cores

    @property
    def _job_cores(self) -> int:
        return self.site.cores or dask.config.get("jobqueue.slurm.cores") or 1

    def submit(self, job: Job) -> PoolRun:
        """Make a job ready to run; the jobs are submitted when it is waited for."""
        pending = len(list(islice(job.pending(), self.cores)))
        jobs = max(1, min(self.jobs, pending))
        processes = max(1, min(self._job_cores, math.ceil(pending / jobs)))
        workers = _Workers(self.site, job, jobs, self._job_cores, processes)
        return PoolRun(job, workers.open, threads=self._job_cores // processes, tend=workers.tend)


class _Workers:
    """Workers of one run."""

    def __init__(self, site: Site, job: Job, jobs: int, cores: int, processes: int) -> None:
        self._site = site
        self._job = job
        self._jobs = jobs
        self._cores = cores
        self._processes = processes
        self._fleet: Fleet | None = None
        self._setup: SchedulerSetup | None = None

    def tend(self, status: Status) -> None:
        """See to the jobs."""
        if self._fleet is not None and self._setup is not None:
            self._fleet.tend(status.shards - status.shards_done)
            self._setup.note_first_record(status)

    @contextlib.contextmanager
    def open(self, hear: Hear) -> Iterator[DaskPool]:
        """Start the scheduler, and let jobs be submitted."""
        with contextlib.ExitStack() as stack:
            self._setup = setup = stack.enter_context(scheduler_setup(self._job, "slurm"))
            name = f"pyhpc-{setup.log.name}"
            options = dask.config.get("jobqueue.slurm.scheduler-options", {}) or {}
            cluster = WorkerCluster(
                job_cls=WorkerJob,
                security=setup.keys.security,
                scheduler_options=options | setup.options,
                submission=_submission(name, setup.logs),
                environment=self._site.exported(),
                silence_logs=SILENCE,
                **self._job_options(name, setup.keys.arguments),
            )
            stack.enter_context(cluster)
            setup.announce(cluster.scheduler)
            self._fleet = stack.enter_context(
                Fleet(
                    cluster,
                    job_name=name,
                    logs=setup.logs,
                    run_log=setup.log,
                    jobs=self._jobs,
                    processes=self._processes,
                )
            )
            yield DaskPool(stack.enter_context(Client(cluster)), hear)

    def _job_options(self, name: str, keys: dict[str, Path]) -> dict[str, Any]:
        """Options of ``SLURMJob``; nothing in them that a shell could take for its own."""
        site, output = self._site, self._job.output
        memory = site.memory or _configured_memory() or self._cores * MEMORY_PER_CORE
        packing = self._job.packing or packing_folder(output, self._job.plan)
        python = site.python_command([output.path, packing])
        # Names that are not taken when SLURM starts a job again, while its old processes live on.
        arguments = worker_arguments('"$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}"', keys)
        arguments += _leave_in_time(self._walltime)
        return {
            "job_name": name,
            "queue": site.partition,
            "account": site.account,
            "walltime": site.walltime,
            "cores": self._cores,
            "processes": self._processes,
            "memory": f"{memory_for_workers(memory)}B",
            "job_mem": f"{memory // 2**20}M",
            "interface": site.interface,
            "local_directory": expand_later(site.scratch) if site.scratch else None,
            # In place of the shell: signals that SLURM sends to the batch shell reach the workers.
            "python": f"exec {python}",
            # A nanny replaces a worker that died within the same job, without another wait in the
            # queue, and ends one that takes too much memory.
            "nanny": True,
            "death_timeout": DEATH_SECONDS,
            "worker_extra_args": arguments,
            "job_script_prologue": [
                *(dask.config.get("jobqueue.slurm.job-script-prologue") or []),
                *worker_settings(),
                *site.setup,
            ],
            "job_extra_directives": [
                *(dask.config.get("jobqueue.slurm.job-extra-directives") or []),
                *([f"--qos={site.qos}"] if site.qos else []),
                *([f"--gres=gpu:{site.gpus}"] if site.gpus else []),
                *site.directives,
            ],
        }

    @property
    def _walltime(self) -> str:
        walltime: str = self._site.walltime or dask.config.get("jobqueue.slurm.walltime")
        return walltime


def _leave_in_time(walltime: str | None) -> list[str]:
    """Arguments of a worker that is to leave ahead of the time limit of its job."""
    if walltime is None:
        return []
    lifetime, stagger = lifetimes(walltime_seconds(walltime))
    return ["--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{stagger}s"]


def lifetimes(walltime: int) -> tuple[int, int]:
    """Lifetime of a worker and how far it is spread, from the time limit of its job, in seconds.

    Workers leave between shards. They have some time to finish one, and do not all leave at once.
    """
    grace = min(GRACE_SECONDS, walltime // 4)
    stagger = walltime // 20
    return walltime - grace - stagger, stagger


def _configured_memory() -> int | None:
    memory = dask.config.get("jobqueue.slurm.memory")
    return dask.utils.parse_bytes(memory) if memory else None


def _submission(name: str, logs: Path) -> list[str]:
    """Command to submit a job with. Paths are its arguments, which no shell reads."""
    if "\\" in str(logs):
        raise PyhpcError(f"SLURM can't write logs to {logs}", "Choose an --out without backslash.")
    log = f"{logs}/".replace("%", "%%") + "%j.log"
    return [
        *("sbatch", "--parsable", f"--job-name={name}", "--open-mode=append"),
        *(f"--output={log}", f"--error={log}"),
    ]
