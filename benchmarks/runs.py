"""Whole runs over real crystals: what is not their kernels', and what a second worker is worth."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import nan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

from benchmarks.coverage import Count
from benchmarks.data import WHOLE, available
from benchmarks.threads import have_a_core_each
from pyhpc.crystals import iter_records
from pyhpc.crystals.cost import estimate_cost
from pyhpc.executors import Job, LocalExecutor
from pyhpc.executors.environment import ENVIRONMENT
from pyhpc.shards import Guard, Output, Packing, Plan, ShardSize, finish, pack
from pyhpc.shards.attempts import shard_logs, total_attempts
from pyhpc.shards.packed import open_shard, read_batches
from pyhpc.tasks.featurize import FeaturizeTask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Barrier

    from benchmarks.harness import Effort
    from pyhpc.records import Record
    from pyhpc.shards.packed import ShardTable

PER_SHARD = 2000
REPEATS = 3
MOST_REPEATS = 9
"""Those after which two threads have no core each count only where there are no others."""
COPIES = 4
"""So often each record comes, to make a run long against its start and its end. Processes that run
the kernels and nothing else do so on one copy."""


def run(effort: Effort) -> Iterator[Count]:
    """Run the same plan with one worker and with two, in turn."""
    name = available(quick=effort.quick)[-1]
    per_shard = 10 if effort.quick else PER_SHARD
    with tempfile.TemporaryDirectory() as root:
        copies = 1 if effort.quick else COPIES
        packing = pack(
            itertools.islice(_copies(name, copies), 40 if effort.quick else None),
            Path(root) / "shards",
            inputs={},
            cost=estimate_cost,
            size=ShardSize(records=per_shard),
        )
        quiet: list[_Runs] = []
        others: list[_Runs] = []
        wanted, most = (1, 1) if effort.quick else (REPEATS, MOST_REPEATS)
        while len(quiet) < wanted and len(quiet) + len(others) < most:
            folder = Path(root) / str(len(quiet) + len(others))
            runs = {
                workers: _measure(packing, folder / str(workers), workers, copies)
                for workers in (1, 2)
            }
            (quiet if have_a_core_each() else others).append(runs)
    counted = quiet or others
    what = f"{packing.records:,} records ({name} {copies} times), {per_shard} a shard"
    tries = len(quiet) + len(others)
    yield Count(f"repetitions in which two threads had a core each, of {tries}", len(quiet))
    for workers in (1, 2):
        plural = "s" if workers > 1 else ""
        middle = _Measured(*map(median, zip(*(runs[workers] for runs in counted), strict=True)))
        yield Count(
            f"% of a worker's time beside the kernels, {workers} worker{plural}, {what}",
            100 * middle.overhead,
        )
        yield Count(
            f"% of a worker's time that makes the files of shards, {workers} worker{plural}",
            100 * middle.encoding,
        )
        yield Count(
            f"core time of the driver in % of that of its workers, {workers} worker{plural}",
            100 * middle.driving,
        )
        yield Count(f"records/s from start to end, {workers} worker{plural}", middle.whole)
        yield Count(f"records/s between shards, {workers} worker{plural}", middle.steady)
        processes = "2 processes" if workers > 1 else "1 process"
        yield Count(f"records/s of {processes} that run the kernels and nothing else", middle.alone)
        lost = median(1 - runs[workers].steady / runs[workers].alone for runs in counted)
        yield Count(
            f"% fewer records/s between shards than those, {workers} worker{plural}", 100 * lost
        )
    whole = median(runs[2].whole / runs[1].whole for runs in counted)
    yield Count("two workers over one, from start to end", whole)
    steady = median(runs[2].steady / runs[1].steady for runs in counted)
    yield Count("two workers over one, between shards", steady)
    alone = median(runs[2].alone / runs[1].alone for runs in counted)
    yield Count("two processes that run the kernels and nothing else over one", alone)


class _Measured(NamedTuple):
    """Records per second in all and between shards; shares of a worker's time.

    Between shards is from the first that each worker begins to its last that is begun while all
    work: without their start and their end. The shares are what is not the kernels', of that what
    makes the files of shards, before they are written, and what the driver takes of a core beside.
    Alone is what as many processes do that have their records in memory and give nothing back: what
    the machine allows.
    """

    whole: float
    steady: float
    overhead: float
    encoding: float
    driving: float
    alone: float


_Runs = dict[int, _Measured]
"""By number of workers."""


def _copies(name: str, copies: int) -> Iterator[Record]:
    """Records under other names."""
    for copy in range(copies):
        for record in iter_records([WHOLE[name]]):
            yield record._replace(id=f"{record.id}-{copy}")


def _measure(packing: Packing, folder: Path, workers: int, copies: int) -> _Measured:
    # Before and after, since a shared machine is now faster and now slower.
    before = _alone(packing, workers, copies)
    output, task = Output(folder), FeaturizeTask()
    job = Job(output, Plan.make(output, packing, task, Guard()).create(output), task)
    started, driven = time.perf_counter(), time.process_time()
    LocalExecutor(workers).submit(job).wait()
    ended, driven = time.perf_counter(), time.process_time() - driven
    finish(output, job.plan)
    total = total_attempts(output)
    encoding = total.seconds["shard.encode"] / total.wall_seconds
    whole = packing.records / (ended - started)
    alone = (before + _alone(packing, workers, copies)) / 2
    driving = driven / total.wall_seconds
    return _Measured(whole, _steady(job), total.overhead, encoding, driving, alone)


def _steady(job: Job) -> float:
    """Records per second while all work: the sum of what each worker does between its own shards.

    To count the shards that all have ended between two moments would be off by as many as there are
    workers.
    """
    begun: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for index in range(len(job.plan.shards)):
        ((first, *_, last),) = shard_logs(job.output, index)
        begun[first["pid"]].append((first["time"], last["records"]))
    until = min(max(shards)[0] for shards in begun.values())
    rate = 0.0
    for shards in begun.values():
        counted = sorted(shard for shard in shards if shard[0] <= until)
        if len(counted) < 2:
            return nan
        *earlier, (last, _) = counted
        rate += sum(records for _, records in earlier) / (last - earlier[0][0])
    return rate


def _alone(packing: Packing, processes: int, copies: int) -> float:
    """Records per second of processes that each run the kernels on the same records."""
    shards = packing.shards[: max(len(packing.shards) // copies, 1)]
    context = multiprocessing.get_context("spawn")
    with (
        patch.dict(os.environ, ENVIRONMENT),
        context.Manager() as manager,
        ProcessPoolExecutor(processes, context) as pool,
    ):
        barrier = manager.Barrier(processes)
        return sum(pool.map(partial(_run_kernels, packing.folder, shards), [barrier] * processes))


def _run_kernels(folder: Path, shards: ShardTable, barrier: Barrier) -> float:
    """Wait for the others, so that each of a pool does so once, and then run."""
    task = FeaturizeTask()
    files = [open_shard(folder, shard) for shard in shards]
    batches = [batch.records for file in files for batch in read_batches(file)]
    task.run(batches[0])
    barrier.wait(timeout=60)
    started = time.perf_counter()
    for records in batches:
        task.run(records)
    return shards.records / (time.perf_counter() - started)
