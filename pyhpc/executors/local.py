"""Run shards on the cores of this machine, through Dask's LocalCluster."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

import dask
from distributed import Client, LocalCluster, Security
from distributed.system import MEMORY_LIMIT

from pyhpc.errors import PyhpcError
from pyhpc.executors.dask_run import DaskRun
from pyhpc.executors.dask_settings import ENVIRONMENT, SETTINGS, SILENCE, silence_dask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyhpc.executors.run import Job


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Runs in worker processes on this machine; they listen on loopback only.

    They speak TLS with a key of this run, so that others who are logged in to this machine can't
    reach them.

    Attributes
    ----------
    cores : int
        Cores to use. One worker each; where there are fewer shards than cores, the kernels of a
        worker use several.
    memory_bytes : int, optional
        Memory after which a worker is ended; by default its share of this machine's.
    """

    cores: int
    memory_bytes: int | None = None

    def submit(self, job: Job) -> DaskRun:
        """Make a job ready to run; the workers start when it is waited for."""
        pending = len(list(islice(job.pending(), self.cores)))
        workers = max(1, min(self.cores, pending))
        return DaskRun(job, lambda: self._cluster(workers), threads=max(1, self.cores // workers))

    @contextlib.contextmanager
    def _cluster(self, workers: int) -> Iterator[Client]:
        silence_dask()
        environment = {
            f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in ENVIRONMENT.items()
        }
        with dask.config.set(SETTINGS | environment), contextlib.ExitStack() as stack:
            stack.enter_context(cluster := self._start(workers))
            yield stack.enter_context(Client(cluster))

    def _start(self, workers: int) -> LocalCluster:
        try:
            with _shielded_children():
                return LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    # Dask always opens a port for HTTP; it has no routes, and is free.
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    worker_dashboard_address=None,
                    memory_limit=self.memory_bytes or MEMORY_LIMIT // workers,
                    silence_logs=SILENCE,
                    # What it would tell of itself is not looked at.
                    scheduler_sync_interval="1h",
                    security=Security.temporary(),
                )
        except (OSError, RuntimeError, TimeoutError) as error:
            raise PyhpcError(
                f"the workers did not start: {error.__cause__ or error}",
                "Is this machine out of memory, processes or ports, or very busy? Then call the "
                "same again, or with --workers 0 to do without.",
            ) from error


@contextlib.contextmanager
def _shielded_children() -> Iterator[None]:
    """Keep from worker processes the signals that this process answers for all of them.

    A terminal sends Ctrl-C, and some schedulers SIGUSR1, to every process of a group. Threads and
    processes inherit the mask of the thread that starts them, and Dask starts its workers from
    threads that start in here.
    """
    signals = {signal.SIGINT, signal.SIGUSR1}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    # The tracker, too, is to be shielded. Its start unblocks SIGINT in the thread that starts it,
    # which must not be one that starts workers.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
