"""Whole runs over real crystals: what is not their kernels', and what a second worker is worth."""

from __future__ import annotations

import itertools
import tempfile
import time
from math import nan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.coverage import Count
from benchmarks.data import SETS, available
from pyhpc.crystals import iter_records
from pyhpc.crystals.cost import estimate_cost
from pyhpc.executors import Job, LocalExecutor
from pyhpc.shards import Guard, Output, Packing, Plan, ShardSize, finish, pack
from pyhpc.shards.attempts import total_attempts
from pyhpc.tasks.featurize import FeaturizeTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness import Effort
    from pyhpc.executors.run import Status

PER_SHARD = 2000
REPEATS = 3


def run(effort: Effort) -> Iterator[Count]:
    """Run the same plan with one worker and with two, in turn."""
    name = available(quick=effort.quick)[-1]
    per_shard = 10 if effort.quick else PER_SHARD
    with tempfile.TemporaryDirectory() as root:
        records = itertools.islice(iter_records([SETS[name]]), 40 if effort.quick else None)
        packing = pack(
            records,
            Path(root) / "shards",
            inputs={},
            cost=estimate_cost,
            size=ShardSize(records=per_shard),
        )
        made: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
        for repeat in range(1 if effort.quick else REPEATS):
            for workers, found in made.items():
                found.append(_measure(packing, Path(root) / f"{repeat}-{workers}", workers))
    what = f"{packing.records:,} records of {name}, {per_shard} a shard"
    whole, steady, overhead = (
        {workers: median(one[k] for one in found) for workers, found in made.items()}
        for k in range(3)
    )
    for workers in made:
        plural = "s" if workers > 1 else ""
        yield Count(
            f"% of a worker's time beside the kernels, {workers} worker{plural}, {what}",
            100 * overhead[workers],
        )
        yield Count(f"records/s from start to end, {workers} worker{plural}", whole[workers])
        yield Count(f"records/s between shards, {workers} worker{plural}", steady[workers])
    yield Count("two workers over one, from start to end", whole[2] / whole[1])
    yield Count("two workers over one, between shards", steady[2] / steady[1])


def _measure(packing: Packing, folder: Path, workers: int) -> tuple[float, float, float]:
    """Records per second in all and between shards, and the share that is not the kernels'.

    Between shards is from when each worker may have committed a shard to when the first of them
    has no other to begin: while all work, without their start and their end.
    """
    output, task = Output(folder), FeaturizeTask()
    job = Job(output, Plan.make(output, packing, task, Guard()).create(output), task)
    seen: list[tuple[float, int]] = []

    last_begun = len(job.plan.shards) - workers + 1

    def note(status: Status) -> None:
        all_work = workers <= status.shards_done <= last_begun
        if all_work and (not seen or seen[-1][1] < status.records_done):
            seen.append((time.perf_counter(), status.records_done))

    started = time.perf_counter()
    LocalExecutor(workers).submit(job).wait(note)
    ended = time.perf_counter()
    finish(output, job.plan)
    steady = nan
    if len(seen) > 1:
        (first, before), (last, done) = seen[0], seen[-1]
        steady = (done - before) / (last - first)
    return packing.records / (ended - started), steady, total_attempts(output).overhead
