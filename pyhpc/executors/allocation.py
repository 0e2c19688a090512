"""Run shards in one allocation of SLURM, from within: no process outlives it or stands outside it.

This process holds the scheduler, as with ``--on slurm``, and starts the workers by ``srun``, a step
per node. The other way, all from one ``srun`` whose first tasks are scheduler and client
(dask-jobqueue's ``SLURMRunner``), would leave two cores without work, lose all when one process is
lost, and give workers no nanny.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shlex
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from distributed import Client, Scheduler, SpecCluster

from pyhpc.errors import PyhpcError
from pyhpc.executors.dask_pool import DaskPool
from pyhpc.executors.dask_settings import SILENCE
from pyhpc.executors.pool_run import PoolRun
from pyhpc.executors.scheduler import scheduler_setup
from pyhpc.executors.site import expand_later
from pyhpc.executors.slurm_commands import slurm
from pyhpc.executors.steps import Steps
from pyhpc.executors.workers import (
    DEATH_SECONDS,
    memory_for_workers,
    worker_arguments,
    worker_settings,
)
from pyhpc.shards.plan import packing_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pyhpc.executors.pool import Hear
    from pyhpc.executors.run import Job, Status
    from pyhpc.executors.scheduler import SchedulerSetup
    from pyhpc.executors.site import Site

DRIVER_MEMORY = 512 * 2**20
"""Memory of this process, which workers on the same node leave to it."""


@dataclass(frozen=True, slots=True)
class Node:
    """What an allocation has of a node.

    Attributes
    ----------
    name : str
        Its name.
    cores : int
        Cores.
    memory : int, optional
        Memory for workers in bytes, if it is limited.
    """

    name: str
    cores: int
    memory: int | None


@dataclass(frozen=True, slots=True)
class Allocation:
    """An allocation of SLURM.

    Attributes
    ----------
    job : str
        Its id.
    nodes : tuple of Node
        Its nodes.
    """

    job: str
    nodes: tuple[Node, ...]

    @classmethod
    def of_this_process(cls) -> Self:
        """Find the allocation in which this process is.

        Raises
        ------
        PyhpcError
            If it is in none, or one of several that ``srun`` has started.
        """
        environment = os.environ
        try:
            job, nodes, cores = (
                environment[f"SLURM_{name}"]
                for name in ("JOB_ID", "JOB_NODELIST", "JOB_CPUS_PER_NODE")
            )
        except KeyError:
            raise PyhpcError(
                "this process is in no allocation of SLURM",
                "Submit slurm/allocation.sbatch, or call it in a shell that salloc has given.",
            ) from None
        if (tasks := int(environment.get("SLURM_STEP_NUM_TASKS", "1"))) > 1:
            raise PyhpcError(
                f"srun has started this command {tasks} times",
                "Call it without srun: it starts its workers itself.",
            )
        names = slurm("scontrol", "show", "hostnames", nodes).split()
        here = environment.get("SLURMD_NODENAME")
        return cls(
            job,
            tuple(
                Node(name, count, _memory(environment, count, with_driver=name == here))
                for name, count in zip(names, expand_counts(cores), strict=True)
            ),
        )


def expand_counts(text: str) -> list[int]:
    """Give the counts per node that SLURM writes as ``16(x2),8``: 16, 16, 8."""
    counts: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(times or 1)
    return counts


def _memory(environment: Mapping[str, str], cores: int, *, with_driver: bool) -> int | None:
    mebibytes = int(environment.get("SLURM_MEM_PER_NODE", "0"))
    mebibytes = mebibytes or int(environment.get("SLURM_MEM_PER_CPU", "0")) * cores
    if not mebibytes:
        return None
    return memory_for_workers(mebibytes * 2**20 - (DRIVER_MEMORY if with_driver else 0))


@dataclass(frozen=True, slots=True)
class AllocationExecutor:
    """Runs on the nodes of the allocation in which this process is.

    Attributes
    ----------
    site : Site
        Profile of the cluster. What a job asks for is settled: it is not looked at.
    allocation : Allocation
        The allocation.
    """

    site: Site
    allocation: Allocation = field(default_factory=Allocation.of_this_process)

    @property
    def cores(self) -> int:
        """Cores of all nodes."""
        return sum(node.cores for node in self.allocation.nodes)

    def submit(self, job: Job) -> PoolRun:
        """Make a job ready to run; the workers start when it is waited for."""
        pending = len(list(islice(job.pending(), self.cores)))
        nodes = self.allocation.nodes[: max(1, pending)]
        each = max(1, math.ceil(pending / len(nodes)))
        workers = _Workers(self.site, job, self.allocation.job, nodes, each)
        threads = min(node.cores // min(node.cores, each) for node in nodes)
        return PoolRun(job, workers.open, threads=threads, tend=workers.tend)


class _Workers:
    """Workers of one run; at most ``each`` on a node."""

    def __init__(
        self, site: Site, job: Job, allocation: str, nodes: tuple[Node, ...], each: int
    ) -> None:
        self._site = site
        self._job = job
        self._allocation = allocation
        self._nodes = {node.name: node for node in nodes}
        self._each = each
        self._scheduler: Any = None
        self._steps: Steps | None = None
        self._setup: SchedulerSetup | None = None
        self._has_workers = False
        self._keys: dict[str, Path] = {}

    def tend(self, status: Status) -> None:
        """See to the steps."""
        if self._steps is None or self._setup is None:
            return
        workers = [str(state.name) for state in self._scheduler.workers.values()]
        if workers and not self._has_workers:
            self._has_workers = True
            self._setup.log.connected(self._allocation)
        self._steps.tend(workers)
        self._setup.note_first_record(status)

    @contextlib.contextmanager
    def open(self, hear: Hear) -> Iterator[DaskPool]:
        """Start the scheduler, and let workers be started."""
        with contextlib.ExitStack() as stack:
            self._setup = setup = stack.enter_context(scheduler_setup(self._job, "allocation"))
            self._keys = setup.keys.arguments
            # Ended last: most workers leave by themselves when their scheduler does.
            steps = Steps(self._allocation, list(self._nodes), self._script, setup.logs)
            stack.enter_context(steps)
            own = {"protocol": "tls", "interface": self._site.interface}
            cluster = SpecCluster(
                workers={},
                scheduler={
                    "cls": Scheduler,
                    "options": setup.options | own | {"security": setup.keys.security},
                },
                security=setup.keys.security,
                silence_logs=SILENCE,
            )
            stack.enter_context(cluster)
            self._scheduler = cluster.scheduler
            setup.announce(self._scheduler)
            setup.log.submitted(self._allocation)
            self._steps = steps
            yield DaskPool(stack.enter_context(Client(cluster)), hear)

    def _script(self, name: str, workers: str) -> str:
        """Script of shell that runs the workers of a node."""
        site, node = self._site, self._nodes[name]
        packing = self._job.packing or packing_folder(self._job.output, self._job.plan)
        processes = min(node.cores, self._each)
        command = [
            *(site.python_command([self._job.output.path, packing]), "-m"),
            *("distributed.cli.dask_worker", shlex.quote(self._scheduler.address)),
            *worker_arguments(shlex.quote(workers), self._keys),
            *("--nworkers", str(processes), "--death-timeout", str(DEATH_SECONDS)),
        ]
        if node.memory is not None:
            command += ["--memory-limit", f"{node.memory // processes}B"]
        if site.interface:
            command += ["--interface", shlex.quote(site.interface)]
        if site.scratch:
            command += ["--local-directory", expand_later(site.scratch)]
        # In place of the shell: signals reach the workers.
        lines = ["set -eo pipefail", *worker_settings(), *site.setup, f"exec {' '.join(command)}"]
        return "\n".join(lines)
