"""Logs of attempts: who tried which shard, how long it took, and the last words of who died.

No decision about results hangs on them. A log is a few lines of JSON: one when the attempt starts,
one after each batch of records, one when it ends well; what else there is, is the stack of a
process that crashed or hung.
"""

from __future__ import annotations

import faulthandler
import json
import os
import platform
import resource
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pyhpc.shards.files import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from pyhpc.shards.output import Output


class AttemptTakenError(Exception):
    """Another process has made the attempt of this name."""


def peak_memory() -> int:
    """Peak resident memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class AttemptLog:
    """Log of an attempt at a shard, as a context that ends with the commit.

    Parameters
    ----------
    output : Output
        Output folder of the run.
    index : int
        The shard.
    attempt : str
        Name of the attempt.
    expendable : bool
        Whether this process may be ended: while it treats records, it then logs its stack when it
        crashes, and ends itself when it passes its deadline, even if stuck in compiled code.
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
            self._write(
                {"shard": self._index, "host": platform.node(), "pid": os.getpid()} | current_job()
            )
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the log; nothing is to be said any more."""
        self._file.close()

    @contextmanager
    def treating(self) -> Iterator[None]:
        """Within, the records of the shard are treated, and what ends this process is logged."""
        if not self._expendable:
            yield
            return
        faulthandler.enable(self._file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            faulthandler.disable()

    def set_deadline(self, seconds: float) -> None:
        """End this process unless another deadline is set, or all are treated, before this one."""
        if self._expendable:
            faulthandler.dump_traceback_later(seconds, exit=True, file=self._file)

    def treated(self, records: int) -> None:
        """Log that so many records of the shard have been treated, but are not committed."""
        self._write({"treated": records})

    def end(self, records: int, wall_seconds: float, seconds: dict[str, float]) -> None:
        """Log that the shard was committed, and what it took in all and by stage."""
        self._write(
            {
                "records": records,
                "wall_seconds": wall_seconds,
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


def current_job() -> dict[str, str]:
    """Say which job of SLURM this process belongs to, the way its commands name it."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return {}
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return {"job": f"{array}_{task}" if array and task else job}


@dataclass
class AttemptTotals:
    """What all attempts at an output took together.

    Attributes
    ----------
    ended, lost : int
        Attempts that committed, and that did not (or not yet).
    records : int
        Records of those that committed.
    wall_seconds : float
        Time of those that committed.
    seconds : dict
        The same by stage.
    peak_memory : int
        Largest resident memory of a worker, in bytes.
    running : dict of int to Attempt
        The last attempt at each shard that has none that ended: it runs, or has died.
    lost_seconds : float
        Time of the others that did not end, up to the last batch of which they told.
    rate : float
        Records per second that were committed in the last :data:`RECENT` seconds of work.
    """

    ended: int = 0
    lost: int = 0
    records: int = 0
    wall_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    running: dict[int, Attempt] = field(default_factory=dict)
    lost_seconds: float = 0.0
    rate: float = 0.0

    @property
    def overhead(self) -> float:
        """Share of the time of those that committed which was not their task's."""
        own = sum(spent for stage, spent in self.seconds.items() if not stage.startswith("shard."))
        return 1 - own / self.wall_seconds if self.wall_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that has not ended, as its log tells.

    Attributes
    ----------
    name : str
        Its name.
    host : str
        Where it runs.
    job : str, optional
        Its job on SLURM.
    began, heard : float
        Time of its first and last line, in seconds since 1970 by the clock of its host.
    treated : int
        Records treated.
    """

    name: str
    host: str
    job: str | None
    began: float
    heard: float
    treated: int


RECENT = 600.0
"""Span over which the rate is taken, in seconds."""


def total_attempts(output: Output) -> AttemptTotals:
    """Add up the logs of an output folder."""
    totals = AttemptTotals()
    committed: set[int] = set()
    ends: list[tuple[float, float, int]] = []
    for path in sorted(output.attempts.glob("*.log")):
        entries = _entries(path)
        if not entries:
            totals.lost += 1
            continue
        first, last = entries[0], entries[-1]
        if "wall_seconds" in last:
            totals.ended += 1
            totals.records += last["records"]
            totals.wall_seconds += last["wall_seconds"]
            totals.peak_memory = max(totals.peak_memory, last["peak_memory"])
            for stage, seconds in last["seconds"].items():
                totals.seconds[stage] = totals.seconds.get(stage, 0.0) + seconds
            committed.add(first["shard"])
            ends.append((last["time"], last["time"] - last["wall_seconds"], last["records"]))
            continue
        totals.lost += 1
        name = path.stem.partition("-")[2]
        attempt = Attempt(
            *(name, first["host"], first.get("job"), first["time"], last["time"]),
            treated=last.get("treated", 0),
        )
        other = totals.running.get(first["shard"])
        if other is not None:
            attempt, other = sorted((attempt, other), key=lambda one: -one.began)
            totals.lost_seconds += other.heard - other.began
        totals.running[first["shard"]] = attempt
    for index in committed & totals.running.keys():
        attempt = totals.running.pop(index)
        totals.lost_seconds += attempt.heard - attempt.began
    totals.rate = _recent_rate(ends)
    return totals


def shard_logs(output: Output, index: int) -> list[list[dict[str, Any]]]:
    """Read the logs of all attempts at a shard, oldest first: lines, with the name in the first."""
    found = []
    for path in output.attempts.glob(output.attempt(index, "*").name):
        if lines := _entries(path):
            lines[0]["attempt"] = path.stem.partition("-")[2]
            found.append(lines)
    return sorted(found, key=lambda lines: float(lines[0]["time"]))


def _recent_rate(ends: list[tuple[float, float, int]]) -> float:
    """Give the records per second of the shards that ended last."""
    if not ends:
        return 0.0
    until = max(end for end, _, _ in ends)
    recent = [entry for entry in ends if entry[0] >= until - RECENT]
    span = until - max(min(begin for _, begin, _ in recent), until - RECENT)
    return sum(records for _, _, records in recent) / span if span > 0 else 0.0


def _entries(path: Path) -> list[dict[str, Any]]:
    """Lines of JSON of a log; one that is being written is left out."""
    entries = []
    for line in path.read_text(errors="replace").splitlines():
        if line[:1] == "{":
            try:
                entries.append(json.loads(line))
            except ValueError:
                break
    return entries
