"""Run shards in this process, one after another: for debugging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhpc.executors.run import Tally
from pyhpc.shards.plan import packing_folder
from pyhpc.shards.read_ahead import ReadAhead
from pyhpc.shards.run import run_shards

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyhpc.executors.run import Job, Status


@dataclass(frozen=True, slots=True)
class InlineExecutor:
    """Runs in this process, where a debugger or a profiler sees it.

    A record that crashes or hangs its process does so to this one.

    Attributes
    ----------
    threads : int
        Threads of the kernels.
    """

    threads: int = 1

    @property
    def cores(self) -> int:
        """Cores that it uses."""
        return self.threads

    def submit(self, job: Job) -> InlineRun:
        """Make a job ready to run."""
        return InlineRun(job, self.threads)


class _DroppedError(Exception):
    """The shard is not to be finished."""


class InlineRun:
    """A job that runs in this process."""

    def __init__(self, job: Job, threads: int) -> None:
        self._job = job
        self._threads = threads
        self._tally = Tally(job)
        self._cancelled = False
        self._dropped = False

    def status(self) -> Status:
        """Say how far it is."""
        return self._tally.status()

    def cancel(self, *, drain: bool) -> None:
        """Stop after the running shard (drain) or batch."""
        self._cancelled = True
        self._dropped |= not drain

    def wait(self, on_status: Callable[[Status], None] = lambda status: None) -> Status:
        """Run until all shards are done or the run is cancelled."""
        job = self._job
        files = ReadAhead(job.packing or packing_folder(job.output, job.plan), job.plan.shards)
        for trial in self._tally.trials():
            if self._cancelled:
                break
            attempt = trial.attempt

            def on_batch(outcomes: dict[str, int], attempt: str = attempt) -> None:
                self._tally.treated(attempt, outcomes)
                on_status(self.status())
                if self._dropped:
                    raise _DroppedError

            try:
                (done,) = run_shards(
                    job.output,
                    job.plan,
                    [trial],
                    job.task,
                    threads=self._threads,
                    files=files,
                    on_batch=on_batch,
                )
            except _DroppedError:
                self._tally.lost(attempt)
                break
            if done is not None:
                self._tally.committed(attempt, done)
                on_status(self.status())
        return self.status()
