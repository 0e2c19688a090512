"""Run shards of a plan, start to commit. Any process that sees the files can."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from threading import Condition
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from pyhpc.shards.attempts import AttemptLog, AttemptTakenError
from pyhpc.shards.batch import BatchResult, explain_gaps, run_batch
from pyhpc.shards.commit import commit, encode_shard, read_manifest
from pyhpc.shards.files import core_time
from pyhpc.shards.isolate import Isolation
from pyhpc.shards.ledger import build_ledger
from pyhpc.shards.plan import packing_folder
from pyhpc.shards.read_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from pyhpc.shards.commit import Candidate, Manifest
    from pyhpc.shards.output import Output
    from pyhpc.shards.packed import PackedBatch
    from pyhpc.shards.plan import Plan
    from pyhpc.shards.task import Task


@dataclass(frozen=True, slots=True)
class ShardDone:
    """What is left to say of a shard whose results are on the disk.

    Attributes
    ----------
    index : int
        The shard.
    records : int
        Number of its records.
    outcomes : dict of str to int
        Records by outcome.
    reasons : dict of str to dict of str to int
        Records by outcome and code of a reason.
    was_run : bool
        Whether this call ran it: not if it was done before.
    """

    index: int
    records: int
    outcomes: dict[str, int]
    reasons: dict[str, dict[str, int]]
    was_run: bool


def shard_done(output: Output, plan: Plan, index: int) -> ShardDone | None:
    """Say how a shard ended; None where it is not done."""
    manifest = read_manifest(output, plan, index)
    return None if manifest is None else _describe(manifest, was_run=False)


def _describe(manifest: Manifest, *, was_run: bool) -> ShardDone:
    index, records = manifest["shard"], manifest["records"]
    return ShardDone(index, records, manifest["outcomes"], manifest["reasons"], was_run)


GROUP_SECONDS = 0.2
"""Least time from the begin of a commit to the next, which is of all shards treated since."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An attempt at a shard that is to be made.

    Attributes
    ----------
    index : int
        The shard.
    attempt : str
        Name of the attempt. Where another process has made an attempt of this name, the shard is
        left to it.
    isolated : bool
        Whether its records are run in processes of their own, to find the one that kills its own.
    """

    index: int
    attempt: str
    isolated: bool = False


def run_shards(
    output: Output,
    plan: Plan,
    trials: Sequence[Trial],
    task: Task,
    *,
    threads: int = 1,
    files: ReadAhead | None = None,
    expendable: bool = False,
    on_batch: Callable[[dict[str, int]], None] = lambda outcomes: None,
    aside: Callable[[Callable[[], None]], None] | None = None,
) -> list[ShardDone | None]:
    """Run shards one after another, those that are done left out, and commit several together.

    Parameters
    ----------
    output : Output
        Output folder.
    plan : Plan
        Its plan.
    trials : sequence of Trial
        The shards. What is made of them is held in memory until they are committed: soon,
        while those that follow are treated, and at the end.
    task : Task
        The task of the plan.
    threads : int
        Threads of the kernels.
    files : ReadAhead, optional
        The shard files, if not where the plan says or if some are expected already.
    expendable : bool
        Whether this process may end itself when a batch hangs.
    on_batch : callable
        Called with records by outcome that have been treated: as the kernels of the next batch
        begin, since all that it wakes would take the interpreter from what comes between, and when
        all are treated.
    aside : callable, optional
        Calls what it is given, which treats the shards, in a thread of its choice, and has
        something else treated during the last commit. By default nothing else is.

    Returns
    -------
    list of ShardDone or None
        How each ended; None where another process is at it.

    Raises
    ------
    PyhpcError
        If a shard file or the task is not the planned one, or the output cannot be written.
    """
    plan.check_task(task)
    ended: dict[int, ShardDone | None] = {}
    with ExitStack() as logs, _Commits(output, plan) as commits:
        if files is None:
            files = logs.enter_context(ReadAhead(packing_folder(output, plan), plan.shards))
        treatment = _Treatment(output, plan, files, task, threads, on_batch)

        def treat_all() -> None:
            try:
                for trial, following in zip_longest(trials, trials[1:]):
                    started = time.perf_counter()
                    ended[trial.index] = shard_done(output, plan, trial.index)
                    if ended[trial.index] is not None:
                        continue
                    log = AttemptLog(output, trial.index, trial.attempt, expendable=expendable)
                    try:
                        logs.enter_context(log)
                    except AttemptTakenError:
                        continue
                    beside = partial(_go_on_beside, commits, files, following)
                    commits.add(treatment.treat(trial, log, beside, started))
            finally:
                # Also of what came before a shard that fails.
                treatment.tell()

        if aside is None:
            treat_all()
        else:
            aside(treat_all)
        ended |= commits.end(is_waited_for=aside is None)
    return [ended[trial.index] for trial in trials]


def _go_on_beside(commits: _Commits, files: ReadAhead, following: Trial | None) -> None:
    """Let the shards before be committed and the next be read while kernels run.

    Before that they would keep this thread from the interpreter.
    """
    commits.hand_over()
    if following is not None:
        files.expect(following.index)


class _Commits:
    """Commits of treated shards, beside the treatment of those that follow.

    A commit waits for the disk, on a shared file system for long, and needs little of a core. What
    is handed over is committed in time, however long the next shard takes.

    Parameters
    ----------
    output : Output
        Output folder.
    plan : Plan
        Its plan.
    """

    def __init__(self, output: Output, plan: Plan) -> None:
        self._output = output
        self._plan = plan
        self._done: dict[int, ShardDone] = {}
        self._last: list[_Treated] = []
        self._begun = time.perf_counter()
        # What both threads look at is handed over under this lock.
        self._turn = Condition()
        self._handed: list[_Treated] = []
        self._is_ending = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pyhpc-commits")
        self._thread: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()
        self._pool.shutdown()

    def add(self, treated: _Treated) -> None:
        """Take a shard that is to be committed."""
        self._last.append(treated)

    def hand_over(self) -> None:
        """Let what was added be committed while others are treated.

        Raises
        ------
        PyhpcError
            If an earlier commit has failed.
        """
        if not self._last:
            return
        with self._turn:
            if not self._handed:
                # Of more it need not be told, which would take each shard a change of threads.
                self._turn.notify()
            self._handed += self._last
        self._last.clear()
        if self._thread is None:
            self._thread = self._pool.submit(self._commit_handed)
        elif self._thread.done():
            self._thread.result()

    def end(self, *, is_waited_for: bool) -> dict[int, ShardDone]:
        """Commit what is left, and say how all ended.

        Parameters
        ----------
        is_waited_for : bool
            Whether nothing is treated meanwhile.
        """
        clock = time.perf_counter if is_waited_for else core_time
        started = clock()
        self._stop()
        if self._thread is not None:
            self._thread.result()
        self._commit([*self._handed, *self._last], clock, started)
        return self._done

    def _stop(self) -> None:
        with self._turn:
            self._is_ending = True
            self._turn.notify()

    def _commit_handed(self) -> None:
        """Commit what is handed over, as often as is said; what comes last is left."""
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._handed or self._is_ending)
                rest = self._begun + GROUP_SECONDS - time.perf_counter()
                if self._turn.wait_for(lambda: self._is_ending, max(rest, 0.0)):
                    return
                group, self._handed = self._handed, []
            self._begun = time.perf_counter()
            self._commit(group, core_time, core_time())

    def _commit(
        self, group: Sequence[_Treated], clock: Callable[[], float], started: float
    ) -> None:
        """Commit shards together, and give each its share of the time.

        Where others are treated meanwhile, the time is that of a core.
        """
        manifests = commit(self._output, self._plan, [one.candidate for one in group])
        spent = (clock() - started) / max(len(group), 1)
        for one, manifest in zip(group, manifests, strict=True):
            one.seconds["shard.commit"] = spent
            one.log.end(manifest["records"], one.wall_seconds + spent, one.seconds)
            one.log.close()
            self._done[manifest["shard"]] = _describe(manifest, was_run=True)


@dataclass(frozen=True, slots=True)
class _Treated:
    """A shard that is ready for its commit, and what it took so far, in all and by stage."""

    log: AttemptLog
    candidate: Candidate
    wall_seconds: float
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Treatment:
    """How shards are treated: what :func:`run_shards` was given, and the plan."""

    output: Output
    plan: Plan
    files: ReadAhead
    task: Task
    threads: int
    on_batch: Callable[[dict[str, int]], None]
    untold: Counter[str] = field(default_factory=Counter)

    def tell(self) -> None:
        """Tell of the records that have been treated since the last time."""
        if self.untold:
            outcomes = dict(self.untold)
            self.untold.clear()
            self.on_batch(outcomes)

    def treat(
        self, trial: Trial, log: AttemptLog, beside: Callable[[], None], started: float
    ) -> _Treated:
        """Run a shard, begun at some time, up to its commit.

        ``beside`` is called once its first batch is in memory.
        """
        results: list[BatchResult] = []
        identities: list[pa.RecordBatch] = []
        treated = 0
        with ExitStack() as stack:
            run: Callable[..., BatchResult] = partial(run_batch, self.task, threads=self.threads)
            if trial.isolated:
                isolation = Isolation(self.task, self.plan.guard, threads=self.threads)
                run = stack.enter_context(isolation)
            stack.enter_context(log.treating())
            begun = time.perf_counter()
            opened = self.files.open(trial.index)
            overhead = {"shard.read": time.perf_counter() - begun + opened.seconds}
            for batch in _timed(opened.batches, overhead, "shard.read"):
                if not results:
                    beside()
                self.tell()
                if not trial.isolated:
                    log.set_deadline(self.plan.guard.record_seconds)
                results.append(run(batch.records))
                identities.append(batch.identity)
                treated += len(batch.records)
                log.treated(treated)
                self.untold.update(results[-1].count())
        begun = time.perf_counter()
        result = explain_gaps(BatchResult.join(results))
        identity = pa.Table.from_batches(identities)
        ledger = build_ledger(identity, result.outcomes, result.reasons, trial.index, 0)
        overhead["shard.ledger"] = time.perf_counter() - begun
        candidate = encode_shard(
            *(self.output, self.plan, trial.index, result.table, ledger, trial.attempt)
        )
        ended = time.perf_counter()
        overhead["shard.encode"] = ended - begun - overhead["shard.ledger"]
        spent = ended - started + opened.seconds
        return _Treated(log, candidate, spent, result.seconds | overhead)


def _timed(
    items: Iterator[PackedBatch], seconds: dict[str, float], stage: str
) -> Iterator[PackedBatch]:
    """Pass items on, and add up the time that it takes to get them."""
    while True:
        started = time.perf_counter()
        item = next(items, None)
        seconds[stage] += time.perf_counter() - started
        if item is None:
            return
        yield item
