"""Executors by name."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyhpc.errors import PyhpcError
from pyhpc.executors.array import ArrayExecutor
from pyhpc.executors.inline import InlineExecutor
from pyhpc.executors.local import LocalExecutor
from pyhpc.executors.site import Site
from pyhpc.kernels import default_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyhpc.executors.run import Executor

EXECUTORS = ("local", "slurm", "array", "allocation", "inline")
"""Names of the executors."""

JOBS = 4
"""Jobs at a time where nobody says."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What an executor may use.

    Attributes
    ----------
    workers : int, optional
        Processes on this machine.
    memory : int, optional
        Memory of a process on this machine, in bytes.
    jobs : int, optional
        Most jobs of a cluster at a time.
    site : Site
        Profile of the cluster.
    """

    workers: int | None = None
    memory: int | None = None
    jobs: int | None = None
    site: Site = field(default_factory=Site)


def make_executor(name: str, resources: Resources) -> Executor:
    """Make an executor, importing only what it needs.

    Raises
    ------
    PyhpcError
        If what it needs is not installed, or it runs within an allocation and there is none.
    """
    cores = resources.workers or default_threads()
    match name:
        case "inline":
            return InlineExecutor(cores)
        case "allocation":
            with _needs_dask(name):
                from pyhpc.executors.allocation import AllocationExecutor
            return AllocationExecutor(resources.site)
        case "array":
            return ArrayExecutor(site=resources.site, tasks=resources.jobs)
        case "local":
            return LocalExecutor(cores, resources.memory)
        case "slurm":
            with _needs_dask(name):
                from pyhpc.executors.slurm import SlurmExecutor
            return SlurmExecutor(resources.site, resources.jobs or JOBS)
    raise ValueError(f"{name!r} is none of {EXECUTORS}")


@contextlib.contextmanager
def _needs_dask(name: str) -> Iterator[None]:
    """Say how to get what an executor imports."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "pyhpc":
            raise
        raise PyhpcError(
            f"--on {name} needs {error.name}, which is not installed",
            "Call: pip install 'pyhpc-crystals[slurm]'",
        ) from None
