"""Run shards on the cores of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from pyhpc.executors.local_pool import LocalPool
from pyhpc.executors.memory import memory_limit
from pyhpc.executors.pool_run import PoolRun

if TYPE_CHECKING:
    from pyhpc.executors.run import Job


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Runs in worker processes on this machine.

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

    def submit(self, job: Job) -> PoolRun:
        """Make a job ready to run; the workers start when it is waited for."""
        pending = len(list(islice(job.pending(), self.cores)))
        workers = max(1, min(self.cores, pending))
        memory = self.memory_bytes or memory_limit() // workers
        return PoolRun(
            job,
            lambda hear: LocalPool(workers, memory, hear),
            threads=max(1, self.cores // workers),
        )
