"""Run shards of a plan, start to commit. Any process that sees the files can."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from pyhpc.shards.attempts import AttemptLog, AttemptTakenError
from pyhpc.shards.batch import BatchResult, explain_gaps, run_batch
from pyhpc.shards.commit import commit, encode_shard, read_manifest
from pyhpc.shards.isolate import Isolation
from pyhpc.shards.ledger import build_ledger
from pyhpc.shards.packed import open_shard, read_batches
from pyhpc.shards.plan import packing_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pyhpc.shards.commit import Candidate, Manifest
    from pyhpc.shards.output import Output
    from pyhpc.shards.packed import PackedBatch, Shard
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


GROUP_SECONDS = 1.0
"""So long after a commit the shards that were treated since are committed together."""


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
    packing: Path | None = None,
    expendable: bool = False,
    on_batch: Callable[[dict[str, int]], None] = lambda outcomes: None,
) -> list[ShardDone | None]:
    """Run shards one after another, those that are done left out, and commit small ones together.

    Parameters
    ----------
    output : Output
        Output folder.
    plan : Plan
        Its plan.
    trials : sequence of Trial
        The shards. What is made of them is held in memory until they are committed, which is
        every :data:`GROUP_SECONDS` and at the end.
    task : Task
        The task of the plan.
    threads : int
        Threads of the kernels.
    packing : Path, optional
        Folder of the shard files, if not where the plan says.
    expendable : bool
        Whether this process may end itself when a batch hangs.
    on_batch : callable
        Called after each batch with its records by outcome.

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
    folder = packing or packing_folder(output, plan)
    treatment = _Treatment(output, plan, folder, task, threads, on_batch)
    ended: dict[int, ShardDone | None] = {}
    group: list[_Treated] = []
    with ExitStack() as logs:
        committed = time.perf_counter()
        for trial in trials:
            ended[trial.index] = shard_done(output, plan, trial.index)
            if ended[trial.index] is not None:
                continue
            log = AttemptLog(output, trial.index, trial.attempt, expendable=expendable)
            try:
                logs.enter_context(log)
            except AttemptTakenError:
                continue
            group.append(treatment.treat(trial, log))
            if time.perf_counter() - committed >= GROUP_SECONDS:
                ended |= _commit(output, plan, group)
                group.clear()
                logs.close()
                committed = time.perf_counter()
        ended |= _commit(output, plan, group)
    return [ended[trial.index] for trial in trials]


def _commit(output: Output, plan: Plan, group: Sequence[_Treated]) -> dict[int, ShardDone]:
    """Commit shards together, and give each its share of the time."""
    started = time.perf_counter()
    manifests = commit(output, plan, [one.candidate for one in group])
    spent = (time.perf_counter() - started) / max(len(group), 1)
    for one, manifest in zip(group, manifests, strict=True):
        one.seconds["shard.commit"] = spent
        one.log.end(manifest["records"], one.wall_seconds + spent, one.seconds)
    return {manifest["shard"]: _describe(manifest, was_run=True) for manifest in manifests}


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
    folder: Path
    task: Task
    threads: int
    on_batch: Callable[[dict[str, int]], None]

    def treat(self, trial: Trial, log: AttemptLog) -> _Treated:
        """Run a shard up to its commit."""
        started = time.perf_counter()
        results: list[BatchResult] = []
        identities: list[pa.RecordBatch] = []
        overhead = {"shard.read": 0.0}
        treated = 0
        with ExitStack() as stack:
            run: Callable[..., BatchResult] = partial(run_batch, self.task, threads=self.threads)
            if trial.isolated:
                isolation = Isolation(self.task, self.plan.guard, threads=self.threads)
                run = stack.enter_context(isolation)
            stack.enter_context(log.treating())
            batches = _read(self.folder, self.plan.shards[trial.index])
            for batch in _timed(batches, overhead, "shard.read"):
                if not trial.isolated:
                    log.set_deadline(self.plan.guard.record_seconds)
                results.append(run(batch.records))
                identities.append(batch.identity)
                treated += len(batch.records)
                log.treated(treated)
                outcomes = Counter(results[-1].outcomes)
                self.on_batch({str(outcome): number for outcome, number in outcomes.items()})
        begun = time.perf_counter()
        result = BatchResult.join(results)
        explain_gaps(result)
        identity = pa.Table.from_batches(identities)
        ledger = build_ledger(identity, result.outcomes, result.reasons, trial.index, 0)
        overhead["shard.ledger"] = time.perf_counter() - begun
        candidate = encode_shard(
            *(self.output, self.plan, trial.index, result.table, ledger, trial.attempt)
        )
        ended = time.perf_counter()
        overhead["shard.encode"] = ended - begun - overhead["shard.ledger"]
        return _Treated(log, candidate, ended - started, result.seconds | overhead)


def _read(folder: Path, shard: Shard) -> Iterator[PackedBatch]:
    yield from read_batches(open_shard(folder, shard))


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
