"""What executors are given and what they give."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pyhpc.shards.files import new_attempt
from pyhpc.shards.finish import Counts
from pyhpc.shards.run import Trial, shard_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pyhpc.shards.output import Output
    from pyhpc.shards.plan import Plan
    from pyhpc.shards.run import ShardDone
    from pyhpc.shards.task import Task


@dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes
    ----------
    output : Output
        Output folder, which holds the plan.
    plan : Plan
        The plan.
    task : Task
        The task of the plan.
    packing : Path, optional
        Folder of the shard files, if not where the plan says.
    share : iterable of Trial, optional
        What to do of it, and in which order; all that is not done by default.
    """

    output: Output
    plan: Plan
    task: Task
    packing: Path | None = None
    share: Iterable[Trial] | None = None

    def pending(self) -> Iterator[int]:
        """Shards that are to be done, looked up as they are asked for."""
        if self.share is not None:
            yield from (trial.index for trial in self.share)
            return
        for index in range(len(self.plan.shards)):
            if not self.output.manifest(index).exists():
                yield index


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is.

    Attributes
    ----------
    shards, records : int
        Of the plan.
    shards_done, records_done : int
        Committed, by whomever.
    records_before : int
        Of these, committed before this run.
    records_running : int
        Treated, but not committed yet.
    outcomes : dict of str to int
        Records by outcome, committed or not.
    reasons : dict of str to dict of str to int
        Committed records by outcome and code of a reason.
    lost : int
        Attempts of this run of which the worker died.
    """

    shards: int
    records: int
    shards_done: int
    records_done: int
    records_before: int
    records_running: int
    outcomes: dict[str, int]
    reasons: dict[str, dict[str, int]]
    lost: int

    @property
    def complete(self) -> bool:
        """Whether all shards are done."""
        return self.shards_done == self.shards


class Run(Protocol):
    """A job that is being run."""

    def status(self) -> Status:
        """Say how far it is."""

    def cancel(self, *, drain: bool) -> None:
        """Stop: start no more shards, and finish (drain) or drop those that run.

        Safe to call from a signal handler, and more than once.
        """

    def wait(self, on_status: Callable[[Status], None] = lambda status: None) -> Status:
        """Run until all shards are done or the run is cancelled.

        ``on_status`` is called now and then meanwhile, and at the end.
        """


class Executor(Protocol):
    """A place to run jobs."""

    @property
    def cores(self) -> int:
        """Cores that it uses where there is enough to do."""

    def submit(self, job: Job) -> Run:
        """Make a job ready to run."""


class Tally:
    """Counts of a run.

    Attributes
    ----------
    shards_done : int
        Shards that have been counted as committed.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.shards_done = 0
        self._records_done = 0
        self._records_before = 0
        self._counts = Counts()
        self._running: dict[str, Counter[str]] = {}
        self._lost = 0

    def trials(self) -> Iterator[Trial]:
        """Give the attempts to make; shards that are done are counted on the way."""
        if self._job.share is not None:
            yield from self._job.share
            return
        for index in range(len(self._job.plan.shards)):
            done = shard_done(self._job.output, self._job.plan, index)
            if done is None:
                yield Trial(index, new_attempt())
            else:
                self._records_before += done.records
                self._add(done)

    def look(self, index: int) -> bool:
        """Say whether a shard has been done, by whomever, and count it if so."""
        done = shard_done(self._job.output, self._job.plan, index)
        if done is not None:
            self._add(done)
        return done is not None

    def treated(self, attempt: str, outcomes: dict[str, int]) -> None:
        """Count a batch that is not committed yet."""
        self._running.setdefault(attempt, Counter()).update(outcomes)

    def committed(self, attempt: str, done: ShardDone) -> None:
        """Count a shard."""
        self._running.pop(attempt, None)
        self._add(done)

    def given_up(self, attempt: str) -> None:
        """Forget an attempt at a shard that another process is at."""
        self._running.pop(attempt, None)

    def lost(self, attempt: str) -> None:
        """Count an attempt that came to nothing."""
        self._running.pop(attempt, None)
        self._lost += 1

    def _add(self, done: ShardDone) -> None:
        self.shards_done += 1
        self._records_done += done.records
        self._counts.add(done.outcomes, done.reasons)

    def status(self) -> Status:
        """Say how far it is."""
        running: Counter[str] = Counter()
        for outcomes in list(self._running.values()):
            running.update(outcomes)
        return Status(
            shards=len(self._job.plan.shards),
            records=self._job.plan.records,
            shards_done=self.shards_done,
            records_done=self._records_done,
            records_before=self._records_before,
            records_running=running.total(),
            outcomes=dict(self._counts.outcomes + running),
            reasons=self._counts.reasons,
            lost=self._lost,
        )
