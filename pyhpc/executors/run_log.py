"""What an executor has asked of a scheduler, for those who look at a run from elsewhere.

One file per run, of one line of JSON each: who runs, then every job that it submitted and that it
saw end, and the end. No decision about results hangs on it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pyhpc.shards.files import new_attempt, storage_errors

if TYPE_CHECKING:
    from types import TracebackType

    from pyhpc.shards.output import Output


class RunLog:
    """Log of a run, as a context.

    Parameters
    ----------
    output : Output
        Output folder.
    executor : str
        Name of the executor.
    """

    def __init__(self, output: Output, executor: str) -> None:
        self.name = new_attempt()
        self._path = output.attempts / f"run-{self.name}.jsonl"
        self._executor = executor

    def __enter__(self) -> Self:
        with storage_errors(self._path):
            self._file = self._path.open("xb", buffering=0)
        self._write({"on": self._executor, "host": platform.node(), "pid": os.getpid()})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write({"ended": kind.__name__ if kind else "in order"})
        self._file.close()

    def submitted(self, job: str) -> None:
        """Note a job."""
        self._write({"job": job, "state": "submitted"})

    def gone(self, job: str) -> None:
        """Note that a job is no longer in the queue."""
        self._write({"job": job, "state": "gone"})

    def _write(self, entry: dict[str, Any]) -> None:
        with storage_errors(self._path):
            self._file.write(json.dumps(entry | {"time": time.time()}).encode() + b"\n")


@dataclass
class LoggedRun:
    """A run as its log tells.

    Attributes
    ----------
    executor, host : str
        Where it was started.
    pid : int
        Process that started it.
    jobs : dict of str to str
        Last that was heard of each job: ``submitted`` or ``gone``.
    ended : bool
        Whether it has ended, other than by being killed.
    """

    executor: str
    host: str
    pid: int
    jobs: dict[str, str] = field(default_factory=dict)
    ended: bool = False


def logged_runs(output: Output) -> dict[str, LoggedRun]:
    """Read the logs of an output folder, oldest first, by name."""
    found: dict[str, tuple[float, LoggedRun]] = {}
    for path in output.attempts.glob("run-*.jsonl"):
        entries = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
        if not entries:
            continue
        first = entries[0]
        run = LoggedRun(first["on"], first["host"], first["pid"])
        for entry in entries[1:]:
            if "job" in entry:
                run.jobs[entry["job"]] = entry["state"]
            run.ended |= "ended" in entry
        found[path.stem.removeprefix("run-")] = first["time"], run
    return {name: run for name, (_, run) in sorted(found.items(), key=lambda item: item[1][0])}
