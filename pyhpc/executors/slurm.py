"""Run shards in jobs on SLURM that talk to this process, through dask-jobqueue."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import logging
import math
import platform
import shlex
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client

from pyhpc.errors import PyhpcError
from pyhpc.executors.credentials import temporary_credentials
from pyhpc.executors.dask_run import DaskRun
from pyhpc.executors.dask_settings import SETTINGS, silence_dask
from pyhpc.executors.run_log import RunLog
from pyhpc.executors.site import expand_later, walltime_seconds
from pyhpc.shards.files import make_folder
from pyhpc.shards.plan import packing_folder

try:
    from pyhpc.executors.fleet import Fleet, WorkerCluster, WorkerJob
except ImportError:
    raise PyhpcError(
        "--on slurm needs dask-jobqueue, which is not installed",
        "Call: pip install 'pyhpc-crystals[slurm]'",
    ) from None

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyhpc.executors.run import Job
    from pyhpc.executors.site import Site

logger = logging.getLogger(__name__)

MEMORY_PER_CORE = 2 * 2**30
"""Memory of a job per core where nobody says, in bytes."""

NANNY_MEMORY = 256 * 2**20
"""Memory of a job that is not for its workers: the process that starts and watches them."""

DEATH_SECONDS = 60
"""Time after which a worker that can't reach its scheduler gives up. Jobs of a killed driver that
are already running end as their connection breaks; those that start later end after this time."""

HEARTBEAT_SECONDS = 300
"""Least time after which a worker that is silent is taken for dead. Longer than a record may take,
since a record may hold on to the interpreter."""

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

    def submit(self, job: Job) -> DaskRun:
        """Make a job ready to run; the jobs are submitted when it is waited for."""
        pending = len(list(islice(job.pending(), self.cores)))
        jobs = max(1, min(self.jobs, pending))
        processes = max(1, min(self._job_cores, math.ceil(pending / jobs)))
        workers = _Workers(self.site, job, jobs, self._job_cores, processes)
        return DaskRun(job, workers.open, threads=self._job_cores // processes, tend=workers.tend)


class _Workers:
    """Workers of one run."""

    def __init__(self, site: Site, job: Job, jobs: int, cores: int, processes: int) -> None:
        self._site = site
        self._job = job
        self._jobs = jobs
        self._cores = cores
        self._processes = processes
        self._fleet: Fleet | None = None

    def tend(self, left: int) -> None:
        """See to the jobs."""
        if self._fleet is not None:
            self._fleet.tend(left)

    @contextlib.contextmanager
    def open(self) -> Iterator[Client]:
        """Start the scheduler, and let jobs be submitted."""
        output = self._job.output
        logs = output.attempts / "jobs"
        make_folder(logs)
        seconds = max(HEARTBEAT_SECONDS, 2 * self._job.plan.guard.record_seconds)
        dashboard = importlib.util.find_spec("bokeh") is not None
        settings = SETTINGS | {"distributed.scheduler.worker-ttl": f"{seconds:g} s"}
        if dashboard:
            del settings["distributed.scheduler.http.routes"]
        with contextlib.ExitStack() as stack:
            stack.enter_context(dask.config.set(settings))
            log = stack.enter_context(RunLog(output, "slurm"))
            name = f"pyhpc-{log.name}"
            keys = stack.enter_context(temporary_credentials(output.attempts / f"keys-{log.name}"))
            options = dask.config.get("jobqueue.slurm.scheduler-options", {}) or {}
            cluster = WorkerCluster(
                job_cls=WorkerJob,
                security=keys.security,
                scheduler_options=options
                | {"dashboard": dashboard, "dashboard_address": "127.0.0.1:0"},
                submission=_submission(name, logs),
                environment=self._site.exported(),
                silence_logs=logging.CRITICAL,
                **self._job_options(name, keys.arguments),
            )
            stack.enter_context(cluster)
            silence_dask()
            if dashboard:
                _announce_dashboard(cluster.scheduler)
            self._fleet = stack.enter_context(
                Fleet(
                    cluster,
                    job_name=name,
                    logs=logs,
                    run_log=log,
                    jobs=self._jobs,
                    processes=self._processes,
                )
            )
            yield stack.enter_context(Client(cluster))

    def _job_options(self, name: str, keys: dict[str, Path]) -> dict[str, Any]:
        """Options of ``SLURMJob``; nothing in them that a shell could take for its own."""
        site, output = self._site, self._job.output
        memory = site.memory or _configured_memory() or self._cores * MEMORY_PER_CORE
        if memory <= 2 * NANNY_MEMORY:
            raise PyhpcError(
                f"a job of {memory / 2**20:.0f} MiB has no memory for workers",
                f"Give it more than {2 * NANNY_MEMORY / 2**20:.0f} MiB.",
            )
        packing = self._job.packing or packing_folder(output, self._job.plan)
        python = site.python_command([output.path, packing])
        arguments = worker_arguments(keys, self._walltime)
        return {
            "job_name": name,
            "queue": site.partition,
            "account": site.account,
            "walltime": site.walltime,
            "cores": self._cores,
            "processes": self._processes,
            # Dask ends a worker before the kernel ends one that it chooses itself.
            "memory": f"{memory - NANNY_MEMORY}B",
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


def worker_arguments(keys: dict[str, Path], walltime: str | None) -> list[str]:
    """Arguments of a worker, quoted for the shell.

    Parameters
    ----------
    keys : dict of str to Path
        Options with the paths of the keys.
    walltime : str, optional
        Time limit of its job, before which it is to leave.
    """
    # Names that are not taken when SLURM starts a job again, while its old processes live on.
    arguments = ["--name", '"$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}"']
    # One shard at a time in each process: its kernels have threads of their own.
    arguments += ["--nthreads", "1"]
    arguments += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    for option, path in keys.items():
        arguments += [option, shlex.quote(str(path))]
    if walltime is not None:
        lifetime, stagger = lifetimes(walltime_seconds(walltime))
        arguments += ["--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{stagger}s"]
    return arguments


def lifetimes(walltime: int) -> tuple[int, int]:
    """Lifetime of a worker and how far it is spread, from the time limit of its job, in seconds.

    Workers leave between shards. They have some time to finish one, and do not all leave at once.
    """
    grace = min(GRACE_SECONDS, walltime // 4)
    stagger = walltime // 20
    return walltime - grace - stagger, stagger


def worker_settings() -> list[str]:
    """Lines of shell that give workers the settings of Dask."""
    lines = []
    for key, value in SETTINGS.items():
        name = "DASK_" + key.replace(".", "__").replace("-", "_").upper()
        lines.append(f"export {name}={shlex.quote(str(value))}")
    return lines


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


def _announce_dashboard(scheduler: Any) -> None:
    port = scheduler.http_server.port
    logger.info(
        "Dask's dashboard: ssh -N -L %d:127.0.0.1:%d %s@%s, then http://127.0.0.1:%d/status",
        *(port, port, getpass.getuser(), platform.node(), port),
    )
