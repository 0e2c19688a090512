"""What an executor has asked of a scheduler, for those who look at a run from elsewhere.

One file per run, of one line of JSON each: who runs, then every job that it submitted, whose
workers came and that it saw end, the first record, and the end. No decision about results hangs on
it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pyhpc.shards.attempts import current_job
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
        where = {"on": self._executor, "host": platform.node(), "pid": os.getpid()}
        self._write(where | {"started": process_start(os.getpid())} | current_job())
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

    def connected(self, job: str) -> None:
        """Note that the workers of a job have come."""
        self._write({"job": job, "state": "connected"})

    def first_record(self) -> None:
        """Note that the first record has been treated."""
        self._write({"first": "record"})

    def gone(self, job: str) -> None:
        """Note that a job is no longer in the queue."""
        self._write({"job": job, "state": "gone"})

    def _write(self, entry: dict[str, Any]) -> None:
        with storage_errors(self._path):
            self._file.write(json.dumps(entry | {"time": time.time()}).encode() + b"\n")


def process_start(pid: int) -> float | None:
    """Time at which a process of this machine began, in seconds since 1970; None: there is none."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None
    uptime = Path("/proc/uptime").read_text().split()[0]
    return time.time() - float(uptime) + int(ticks) / os.sysconf("SC_CLK_TCK")


@dataclass
class LoggedRun:
    """A run as its log tells.

    Attributes
    ----------
    executor, host : str
        Where it was started.
    pid : int
        Process that started it.
    started : float
        When this process began, in seconds since 1970.
    within : str, optional
        Job of SLURM that it belongs to.
    jobs : dict of str to str
        Last that was heard of each job: ``submitted``, ``connected`` or ``gone``.
    ended : bool
        Whether it has ended, other than by being killed.
    first : dict of str to float
        Time from the start of its process to the first job (``submitted``), the first worker
        (``connected``) and the first record (``record``), in seconds, as far as it has come.
    """

    executor: str
    host: str
    pid: int
    started: float
    within: str | None = None
    jobs: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    first: dict[str, float] = field(default_factory=dict)

    @property
    def start(self) -> str:
        """How long it took to start, in words; empty where it has submitted nothing yet."""
        words = {"submitted": "submit a job", "connected": "its workers", "record": "a record"}
        steps = [f"{self.first[s]:.1f} s to {what}" for s, what in words.items() if s in self.first]
        return ", ".join(steps)


def logged_runs(output: Output) -> dict[str, LoggedRun]:
    """Read the logs of an output folder, oldest first, by name."""
    found: dict[str, tuple[float, LoggedRun]] = {}
    for path in output.attempts.glob("run-*.jsonl"):
        entries = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
        if not entries:
            continue
        first = entries[0]
        run = LoggedRun(
            first["on"], first["host"], first["pid"], first["started"], first.get("job")
        )
        for entry in entries[1:]:
            if "job" in entry:
                run.jobs[entry["job"]] = entry["state"]
            step = entry.get("first", entry.get("state"))
            if step is not None:
                run.first.setdefault(step, entry["time"] - first["started"])
            run.ended |= "ended" in entry
        found[path.stem.removeprefix("run-")] = first["time"], run
    return {name: run for name, (_, run) in sorted(found.items(), key=lambda item: item[1][0])}
