"""Run shards on the cores of this machine, through Dask's LocalCluster."""

from __future__ import annotations

import contextlib
import logging
import signal
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

import dask
from distributed import Client, LocalCluster, Security
from distributed.system import MEMORY_LIMIT

from pyhpc.executors.dask_run import DaskRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyhpc.executors.run import Job

_CONFIG = {
    # Deaths are counted by the run, which knows more about them.
    "distributed.scheduler.allowed-failures": 0,
    # Workers start processes of their own to isolate records. They end with this process all the
    # same: each watches a pipe to it.
    "distributed.worker.daemon": False,
    # Results are on the disk, so there is nothing to spill, and pausing would never end.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # A worker that dies twice within this time would be given up and never replaced.
    "distributed.deploy.lost-worker-timeout": "1000 days",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # A kernel that holds the interpreter for a while is no reason for a warning.
    "distributed.admin.tick.limit": "1h",
}


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
        _silence_dask()
        with dask.config.set(_CONFIG), contextlib.ExitStack() as stack:
            with _shielded_children():
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    # Dask always opens a port for HTTP; it has no routes, and is free.
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    worker_dashboard_address=None,
                    memory_limit=self.memory_bytes or MEMORY_LIMIT // workers,
                    silence_logs=logging.CRITICAL,
                    security=Security.temporary(),
                )
            stack.enter_context(cluster)
            yield stack.enter_context(Client(cluster))


def _silence_dask() -> None:
    """Keep Dask's log from the terminal for good.

    The cluster's own silence ends as it closes, and a message to a client that has just left is
    then logged with its traceback. What went wrong is in the result of a run and its attempts.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "distributed" and isinstance(logger, logging.Logger):
            for handler in logger.handlers:
                handler.setLevel(logging.CRITICAL + 1)


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
