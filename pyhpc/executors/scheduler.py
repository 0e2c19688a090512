"""The scheduler of a run whose workers are on the nodes of a cluster."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import logging
import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dask

from pyhpc.executors.credentials import Credentials, temporary_credentials
from pyhpc.executors.dask_settings import SETTINGS, silence_dask
from pyhpc.executors.run_log import RunLog, logged_runs
from pyhpc.shards.files import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyhpc.executors.run import Job, Status
    from pyhpc.shards.output import Output

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 300
"""Least time after which a worker that is silent is taken for dead. Longer than a record may take,
since a record may hold on to the interpreter."""


@dataclass
class SchedulerSetup:
    """What a scheduler is started with.

    Attributes
    ----------
    output : Output
        Output of the run.
    log : RunLog
        Log to tell of jobs.
    keys : Credentials
        Keys of the run.
    logs : Path
        Folder for what workers print.
    options : dict
        Options of Dask's ``Scheduler``.
    """

    output: Output
    log: RunLog
    keys: Credentials
    logs: Path
    options: dict[str, Any]
    _is_under_way: bool = field(default=False, init=False)

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

    def note_first_record(self, status: Status) -> None:
        """Say how long the run took to its first record, once it has come."""
        treated = status.records_done + status.records_running
        if self._is_under_way or treated == status.records_before:
            return
        # Whoever looks for workers may see them later than their records come.
        if "connected" not in logged_runs(self.output)[self.log.name].first:
            return
        self._is_under_way = True
        self.log.first_record()
        run = logged_runs(self.output)[self.log.name]
        logger.info("From the start of this process %s", run.start)


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
        yield SchedulerSetup(output, log, keys, logs, options)
