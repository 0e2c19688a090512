"""Run one shard of a plan, start to commit. Any process that sees the files can."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from pyhpc.shards.attempts import AttemptLog
from pyhpc.shards.batch import BatchResult, explain_gaps, run_batch
from pyhpc.shards.commit import commit, read_manifest
from pyhpc.shards.isolate import Isolation
from pyhpc.shards.ledger import build_ledger
from pyhpc.shards.packed import open_shard, read_batches
from pyhpc.shards.plan import cached_plan, packing_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pyhpc.shards.output import Output
    from pyhpc.shards.packed import PackedBatch, Shard
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


def shard_done(output: Output, index: int) -> ShardDone | None:
    """Say how a shard ended; None where it is not done."""
    manifest = read_manifest(output, cached_plan(output), index)
    if manifest is None:
        return None
    return ShardDone(
        index, manifest["records"], manifest["outcomes"], manifest["reasons"], was_run=False
    )


def run_shard(
    output: Output,
    index: int,
    task: Task,
    *,
    attempt: str,
    threads: int = 1,
    packing: Path | None = None,
    expendable: bool = False,
    isolated: bool = False,
    on_batch: Callable[[dict[str, int]], None] = lambda outcomes: None,
) -> ShardDone:
    """Run a shard, unless it is done.

    Parameters
    ----------
    output : Output
        Output folder, with its plan.
    index : int
        The shard.
    task : Task
        The task of the plan.
    attempt : str
        Name of this attempt, from :func:`pyhpc.shards.files.new_attempt`.
    threads : int
        Threads of the kernels.
    packing : Path, optional
        Folder of the shard files, if not where the plan says.
    expendable : bool
        Whether this process may end itself when a batch hangs.
    isolated : bool
        Run the records in a process of their own, to find the one that kills it.
    on_batch : callable
        Called after each batch with its records by outcome.

    Raises
    ------
    PyhpcError
        If the shard file or the task is not the planned one, or the output cannot be written.
    """
    plan = cached_plan(output)
    plan.check_task(task)
    done = shard_done(output, index)
    if done is not None:
        return done
    with ExitStack() as stack:
        log = stack.enter_context(AttemptLog(output, index, attempt, expendable=expendable))
        run: Callable[..., BatchResult] = partial(run_batch, task, threads=threads)
        if isolated:
            run = stack.enter_context(Isolation(task, plan.guard, threads=threads))
        results: list[BatchResult] = []
        identities: list[pa.Table] = []
        overhead = {"shard.read": 0.0, "shard.commit": 0.0}
        treated = 0
        folder = packing or packing_folder(output, plan)
        for batch in _timed(_read(folder, plan.shards[index]), overhead, "shard.read"):
            if not isolated:
                log.set_deadline(plan.guard.record_seconds)
            results.append(run(batch.records))
            identities.append(batch.identity)
            treated += len(batch.records)
            log.treated(treated)
            on_batch(dict(Counter(map(str, results[-1].outcomes))))
        log.lift_deadline()
        started = time.perf_counter()
        result = BatchResult.join(results)
        explain_gaps(result)
        identity = pa.concat_tables(identities)
        ledger = build_ledger(identity, result.outcomes, result.reasons, index, 0)
        manifest = commit(output, plan, index, result.table, ledger, attempt)
        overhead["shard.commit"] = time.perf_counter() - started
        log.end(manifest["records"], result.seconds | overhead)
    return ShardDone(
        index, manifest["records"], manifest["outcomes"], manifest["reasons"], was_run=True
    )


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
