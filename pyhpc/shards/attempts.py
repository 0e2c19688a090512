"""Logs of attempts: who tried which shard, how long it took, and the last words of who died.

No decision about results hangs on them. A log is a few lines: one of JSON when the attempt starts,
one when it ends well; what stands between is the stack of a process that crashed or hung.
"""

from __future__ import annotations

import faulthandler
import json
import os
import platform
import resource
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pyhpc.shards.files import storage_errors

if TYPE_CHECKING:
    from types import TracebackType

    from pyhpc.shards.output import Output


class AttemptTakenError(Exception):
    """Another process has made the attempt of this name."""


def peak_memory() -> int:
    """Peak resident memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class AttemptLog:
    """Log of an attempt at a shard, as a context.

    Parameters
    ----------
    output : Output
        Output folder of the run.
    index : int
        The shard.
    attempt : str
        Name of the attempt.
    expendable : bool
        Whether this process may be ended: it then logs its stack when it crashes, and ends itself
        when it passes its deadline, even if stuck in compiled code.
    """

    def __init__(self, output: Output, index: int, attempt: str, *, expendable: bool) -> None:
        self._path = output.attempt(index, attempt)
        self._index = index
        self._expendable = expendable

    def __enter__(self) -> Self:
        with storage_errors(self._path):
            try:
                # Unbuffered: a full disk shows at the line, not when the file is closed.
                self._file = self._path.open("xb", buffering=0)
            except FileExistsError:
                raise AttemptTakenError(self._path.name) from None
        try:
            self._write({"shard": self._index, "host": platform.node(), "pid": os.getpid()})
        except BaseException:
            self._file.close()
            raise
        self._started = time.monotonic()
        if self._expendable:
            faulthandler.enable(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lift_deadline()
        if self._expendable:
            faulthandler.disable()
        self._file.close()

    def set_deadline(self, seconds: float) -> None:
        """End this process unless another deadline is set, or it is lifted, before this one."""
        if self._expendable:
            faulthandler.dump_traceback_later(seconds, exit=True, file=self._file)

    def lift_deadline(self) -> None:
        """Let this process take its time."""
        if self._expendable:
            faulthandler.cancel_dump_traceback_later()

    def end(self, records: int, seconds: dict[str, float]) -> None:
        """Log that the shard was committed."""
        self._write(
            {
                "records": records,
                "wall_seconds": time.monotonic() - self._started,
                "seconds": seconds,
                "peak_memory": peak_memory(),
            }
        )

    def _write(self, entry: dict[str, Any]) -> None:
        entry["time"] = time.time()
        with storage_errors(self._path):
            self._file.write(json.dumps(entry).encode() + b"\n")


def last_words(output: Output, index: int, attempt: str) -> str:
    """Read what a process said as it died of a shard; empty if it was ended from outside."""
    try:
        lines = output.attempt(index, attempt).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(line for line in lines if not line.startswith("{"))


@dataclass
class AttemptTotals:
    """What all attempts at an output took together.

    Attributes
    ----------
    ended, lost : int
        Attempts that committed, and that did not (or not yet).
    wall_seconds : float
        Time of those that committed.
    seconds : dict
        The same by stage.
    peak_memory : int
        Largest resident memory of a worker, in bytes.
    """

    ended: int = 0
    lost: int = 0
    wall_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0


def total_attempts(output: Output) -> AttemptTotals:
    """Add up the logs of an output folder."""
    totals = AttemptTotals()
    for path in sorted(output.attempts.glob("*.log")):
        lines = [line for line in path.read_text(errors="replace").splitlines() if line[:1] == "{"]
        try:
            last = json.loads(lines[-1])
        except (IndexError, ValueError):
            last = {}
        if "wall_seconds" not in last:
            totals.lost += 1
            continue
        totals.ended += 1
        totals.wall_seconds += last["wall_seconds"]
        totals.peak_memory = max(totals.peak_memory, last["peak_memory"])
        for stage, seconds in last["seconds"].items():
            totals.seconds[stage] = totals.seconds.get(stage, 0.0) + seconds
    return totals
