"""Workers in an allocation of SLURM: one step per node, started by ``srun`` and started again."""

from __future__ import annotations

import logging
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhpc.errors import PyhpcError
from pyhpc.executors.slurm_commands import own_environment
from pyhpc.executors.workers import end_of_log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

FALSE_STARTS = 3
"""So many steps in a row may end on a node before their workers register, until it is given up."""

REGISTER_SECONDS = 300.0
"""Time that a step has for its workers to register; modules and images load slowly."""

PATIENCE_SECONDS = 10.0
"""Time before a node that was of no use is tried again."""

LEAVE_SECONDS = 15.0
"""Time that steps have to end once the run has."""


@dataclass
class _Node:
    """A node, and the step that is on it.

    Attributes
    ----------
    name : str
        Its name.
    step : int
        Number of the step, from 0; its workers are called after it.
    process : Popen, optional
        The ``srun`` of the step.
    since : float
        When it was started.
    registered : bool
        Whether its workers were seen.
    false_starts : int
        Steps in a row whose workers were not.
    not_before : float
        When the next one may be started.
    """

    name: str
    step: int = -1
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    registered: bool = False
    false_starts: int = 0
    not_before: float = 0.0

    @property
    def given_up(self) -> bool:
        """Whether no further step is started on it."""
        return self.false_starts >= FALSE_STARTS


class Steps:
    """The steps of a run, as a context; at its end they are ended, too.

    A step for each node: when one is lost, by whatever befalls its node or its processes, the
    others go on, and it is started again.

    Parameters
    ----------
    job : str
        Id of the allocation.
    nodes : sequence of str
        The nodes.
    script : callable
        Gives the script of shell that a step runs, from its node and the name of its workers.
    logs : Path
        Folder for what the steps print, a file per node.
    """

    def __init__(
        self, job: str, nodes: Sequence[str], script: Callable[[str, str], str], logs: Path
    ) -> None:
        self._job = job
        self._script = script
        self._logs = logs
        self._nodes = [_Node(name) for name in nodes]
        self._count = 0

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *error: object) -> None:
        self._end([node.process for node in self._nodes if node.process is not None])

    def tend(self, workers: Collection[str]) -> None:
        """Start the steps that are missing.

        Parameters
        ----------
        workers : collection of str
            Names of the workers that are connected.

        Raises
        ------
        PyhpcError
            If no node is of any use.
        """
        now = time.monotonic()
        connected = {int(name.partition(".")[0]) for name in workers}
        for node in self._nodes:
            if node.step in connected:
                node.registered = True
                node.false_starts = 0
            if node.process is not None:
                if not node.registered and now - node.since > REGISTER_SECONDS:
                    self._end([node.process])
                if node.process.poll() is None:
                    continue
                node.process = None
                if not node.registered:
                    self._false_start(node, now)
            if not node.given_up and now >= node.not_before:
                self._start(node, now)
        if all(node.given_up for node in self._nodes):
            path = self._log(self._nodes[-1])
            raise PyhpcError(
                f"no node has got to work: {FALSE_STARTS} steps in a row ended on each before "
                f"their workers registered. A log ends:\n{end_of_log(path)}\n",
                f"Correct modules, environment or Python of the site; the logs are in {self._logs}",
            )

    def _false_start(self, node: _Node, now: float) -> None:
        node.false_starts += 1
        node.not_before = now + PATIENCE_SECONDS * (node.false_starts - 1)
        if node.given_up:
            logger.warning(
                "Node %s is given up: %d steps in a row ended before their workers registered; "
                "its log is %s",
                *(node.name, node.false_starts, self._log(node)),
            )

    def _start(self, node: _Node, now: float) -> None:
        node.step, node.since, node.registered = self._count, now, False
        self._count += 1
        command = ["srun", f"--jobid={self._job}", f"--nodelist={node.name}"]
        command += ["--nodes=1", "--ntasks=1", "--input=none"]
        # All cores and memory that the allocation has there, next to whatever else runs in it.
        command += ["--overlap", "--mem=0", "--cpu-bind=none"]
        command += ["bash", "-c", self._script(node.name, f"{node.step}.{node.name}")]
        with self._log(node).open("ab") as log:
            node.process = subprocess.Popen(
                command,
                env=own_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for this process to answer.
                start_new_session=True,
            )

    def _log(self, node: _Node) -> Path:
        return self._logs / f"{self._job}-{node.name}.log"

    def _end(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """End steps, those in the midst of a shard as well."""
        for process in processes:
            if process.poll() is None:
                # srun hands it on, and kills what has not left after the KillWait of the site.
                process.terminate()
        deadline = time.monotonic() + LEAVE_SECONDS
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                # Its workers have lost their scheduler, and leave by themselves.
                process.kill()
                process.wait()
