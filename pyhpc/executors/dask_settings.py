"""How Dask is set up here, for schedulers and workers alike."""

from __future__ import annotations

import logging

SETTINGS = {
    # Deaths are counted by the run, which knows more about them.
    "distributed.scheduler.allowed-failures": 0,
    # Workers start processes of their own to isolate records. They end with the nanny all the
    # same: each watches a pipe to it.
    "distributed.worker.daemon": False,
    # Results are on the disk, so there is nothing to spill, and pausing would never end.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # A worker that dies twice within this time would be given up and never replaced.
    "distributed.deploy.lost-worker-timeout": "1000 days",
    # On a machine with far more to do than cores, the default of 30 s is not always enough.
    "distributed.comm.timeouts.connect": "120 s",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # A kernel that holds the interpreter for a while is no reason for a warning.
    "distributed.admin.tick.limit": "1h",
    # Nobody looks at samples of stacks, of disks, of memory and of the interpreter's lock, nor at
    # what a scheduler tells of itself, some or a thousand times a second. Each takes the core from
    # a worker for up to a millisecond.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "10s",
    "distributed.admin.tick.cycle": "10s",
    "distributed.client.scheduler-info-interval": "1h",
    # How often a nanny looks whether its worker has too much memory.
    "distributed.worker.memory.monitor-interval": "500ms",
}
"""Settings of Dask."""

SILENCE = logging.CRITICAL + 1
"""Level of Dask's log while a cluster is up: a lower one would undo :func:`silence_dask`."""


def silence_dask() -> None:
    """Keep Dask's log from the terminal for good.

    The cluster's own silence ends as it closes, and a message to a client that has just left is
    then logged with its traceback. What went wrong is in the result of a run and its attempts.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "distributed" and isinstance(logger, logging.Logger):
            for handler in logger.handlers:
                handler.setLevel(SILENCE)
