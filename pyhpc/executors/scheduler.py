"""The scheduler of a run whose workers are on the nodes of a cluster."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import logging
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask

from pyhpc.executors.credentials import Credentials, temporary_credentials
from pyhpc.executors.dask_settings import SETTINGS, silence_dask
from pyhpc.executors.run_log import RunLog
from pyhpc.shards.files import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyhpc.executors.run import Job

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 300
"""Least time after which a worker that is silent is taken for dead. Longer than a record may take,
since a record may hold on to the interpreter."""


@dataclass(frozen=True)
class SchedulerSetup:
    """What a scheduler is started with.

    Attributes
    ----------
    log : RunLog
        Log to tell of jobs.
    keys : Credentials
        Keys of the run.
    logs : Path
        Folder for what workers print.
    options : dict
        Options of Dask's ``Scheduler``.
    """

    log: RunLog
    keys: Credentials
    logs: Path
    options: dict[str, Any]

    def announce(self, scheduler: Any) -> None:
        """Keep the scheduler, once it runs, from the terminal, and say how to see its dashboard."""
        silence_dask()
        if self.options["dashboard"]:
            port = scheduler.http_server.port
            logger.info(
                "Dask's dashboard: ssh -N -L %d:127.0.0.1:%d %s@%s, "
                "then http://127.0.0.1:%d/status",
                *(port, port, getpass.getuser(), platform.node(), port),
            )


@contextlib.contextmanager
def scheduler_setup(job: Job, executor: str) -> Iterator[SchedulerSetup]:
    """Make the keys and the log of a run, and set Dask up for its scheduler, until it has ended.

    Parameters
    ----------
    job : Job
        What is to be run.
    executor : str
        Name of the executor.
    """
    output = job.output
    logs = output.attempts / "jobs"
    make_folder(logs)
    seconds = max(HEARTBEAT_SECONDS, 2 * job.plan.guard.record_seconds)
    settings = SETTINGS | {"distributed.scheduler.worker-ttl": f"{seconds:g} s"}
    # The dashboard is drawn by bokeh, where that is installed.
    dashboard = importlib.util.find_spec("bokeh") is not None
    if dashboard:
        del settings["distributed.scheduler.http.routes"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        log = stack.enter_context(RunLog(output, executor))
        keys = stack.enter_context(temporary_credentials(output.attempts / f"keys-{log.name}"))
        options = {"dashboard": dashboard, "dashboard_address": "127.0.0.1:0"}
        yield SchedulerSetup(log, keys, logs, options)
