"""What a run costs beside its kernels: shards per second with a task that does nothing.

The rate is that of a scheduler and worker processes, so it counts all that there is: scheduling,
reading, committing. Beside it stands what the file system gives to who only makes, syncs and
renames the same files. The simulation has workers that only answer, a thousand of them, so that
what is left is the driver's own, and runs every shard of its plans.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import tempfile
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from benchmarks.coverage import Count
from pyhpc.executors import Job, LocalExecutor
from pyhpc.executors.memory import resident_bytes
from pyhpc.executors.pool_run import BUNDLE_SHARDS, PoolRun
from pyhpc.records import Record
from pyhpc.shards import (
    Guard,
    Output,
    Packing,
    Plan,
    ShardDone,
    ShardSize,
    TaskResult,
    Trial,
    finish,
    pack,
    run_shards,
)
from pyhpc.shards.files import NewFile, publish, publish_first, staged
from pyhpc.shards.packed import Shard, ShardTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.harness import Effort
    from pyhpc.executors.pool import Answer, Hear, Order

CORES = 2
SIMULATED = (1_000, 10_000, 1_000_000)
"""Shards of the plans of the simulation, all of which are run."""
WORKERS = 1_000
"""Simulated workers."""


@dataclass(frozen=True)
class NoTask:
    """Keeps the name and the length of each record."""

    name: str = "featurize"

    @property
    def parameters(self) -> dict[str, Any]:
        return {}

    @property
    def versions(self) -> dict[str, str]:
        return {"benchmark": "1"}

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("id", pa.string()), ("length", pa.int64())])

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> NoTask:
        return cls(**parameters)

    def run(self, records: Any, *, threads: int = 1) -> TaskResult:
        columns = {"id": [r.id for r in records], "length": [len(r.text) for r in records]}
        table = pa.Table.from_pydict(columns, schema=self.schema)
        return TaskResult(table, range(len(records)), {}, {})


def run(effort: Effort) -> Iterator[Count]:
    """Measure shards per second, and what the driver needs for plans of all sizes."""
    places = {"disk": None, "memory": "/dev/shm"}
    for where, folder in list(places.items())[: 1 if effort.quick else None]:
        if folder and not Path(folder).is_dir():
            continue
        # Nothing is removed before all is measured: ext4 passes over the inodes of files that were
        # removed in the last minutes, one by one, whenever it makes a new one.
        with tempfile.TemporaryDirectory(dir=folder) as root:
            yield from _on(Path(root), where, quick=effort.quick)
    for shards in SIMULATED[: 1 if effort.quick else None]:
        yield from _simulated(shards)


def _on(root: Path, where: str, *, quick: bool) -> Iterator[Count]:
    """Measure on one file system."""
    bare = f"shards/s of the bare file system, {CORES} processes, {where}"
    yield Count(f"{bare}, before", _bare_rate(root / "before", shards=20 if quick else 1000))
    rate, driver = _rate(root / "run", shards=40 if quick else 4000)
    yield Count(f"shards/s of 1 record, {CORES} workers, {where}", rate)
    yield Count(f"ms of core time of the driver per shard, {where}", driver)
    yield Count(f"{bare}, after", _bare_rate(root / "after", shards=20 if quick else 1000))
    spent = _core_time(root / "small", shards=10 if quick else 1000, per_shard=1)
    yield Count(f"ms of core time of a worker per shard of 1 record, {where}", spent)
    per_shard = 20 if quick else 2000
    spent = _core_time(root / "large", shards=2 if quick else 10, per_shard=per_shard)
    yield Count(f"ms of core time beside the task of a shard of {per_shard}, {where}", spent)


def _job(root: Path, shards: int, per_shard: int) -> Job:
    text = b"x" * 1000
    records = (
        Record(f"r{k}", text, "cif", "none", 0, len(text)) for k in range(shards * per_shard)
    )
    packing = pack(
        records,
        root / "shards",
        inputs={},
        cost=lambda record: 0.0,
        size=ShardSize(records=per_shard),
    )
    output, task = Output(root / "out"), NoTask()
    return Job(output, Plan.make(output, packing, task, Guard()).create(output), task)


def _rate(root: Path, *, shards: int) -> tuple[float, float]:
    """Shards per second, and core time of the driver per shard in milliseconds.

    Between the first and the last look at which some are done: without the start of the workers
    and their end.
    """
    job = _job(root, shards, 1)
    seen: list[tuple[float, float, int]] = []

    def note(status: Any) -> None:
        if status.shards_done:
            seen.append((time.perf_counter(), time.process_time(), status.shards_done))

    run = LocalExecutor(CORES).submit(job)
    run.wait(note)
    (started, spent, before), (ended, spent_then, done) = seen[0], seen[-1]
    finish(job.output, job.plan)
    if done == before:
        return nan, nan
    return (done - before) / (ended - started), 1e3 * (spent_then - spent) / (done - before)


def _bare_rate(root: Path, *, shards: int) -> float:
    """Shards per second of processes that only make the system calls of commits."""
    for kind in _KINDS:
        (root / kind).mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, context) as pool:
        list(pool.map(partial(_commit_bare, root, 0), range(CORES)))
        started = time.perf_counter()
        list(pool.map(partial(_commit_bare, root, shards), range(CORES)))
        return shards / (time.perf_counter() - started)


_KINDS = {"parts": b"x" * 3000, "ledger": b"x" * 4000, "manifests": b"x" * 700}


def _commit_bare(root: Path, shards: int, process: int) -> None:
    """Make the files of this process's share of the shards, in bundles."""
    share = range(process, shards, CORES)
    for start in range(0, len(share), BUNDLE_SHARDS):
        bundle = share[start : start + BUNDLE_SHARDS]
        parts, ledgers, manifests = (
            [NewFile.of(root / kind / f"{index}", data, "bare") for index in bundle]
            for kind, data in _KINDS.items()
        )
        with staged([*parts, *ledgers, *manifests]):
            publish([*parts, *ledgers])
            publish_first(manifests)


def _core_time(root: Path, *, shards: int, per_shard: int) -> float:
    """Milliseconds of core time of a shard, start to commit, in bundles as small shards come."""
    job = _job(root, shards, per_shard)
    bundle = BUNDLE_SHARDS if per_shard == 1 else 1
    trials = [Trial(index, "only") for index in range(shards)]
    run_shards(job.output, job.plan, trials[:1], job.task)
    started = time.process_time()
    for first in range(1, shards, bundle):
        run_shards(job.output, job.plan, trials[first : first + bundle], job.task)
    return 1e3 * (time.process_time() - started) / (shards - 1)


def _simulated(shards: int) -> Iterator[Count]:
    """Time and memory of the driver for a plan of so many shards, of which it runs a few."""
    with tempfile.TemporaryDirectory() as root:
        output = Output(Path(root) / "out")
        made = (Shard(f"s{k}", f"{k:064x}", 2000, 10**6, 100.0) for k in range(shards))
        packing = Packing(Path(root), {}, ShardTable.of(made))
        task = NoTask()
        Plan.make(output, packing, task, Guard()).create(output)
        del packing
        started = time.process_time()
        plan = Plan.load(output)
        yield Count(
            f"s of core time to load a plan of {shards:,} shards", time.process_time() - started
        )
        driver = PoolRun(Job(output, plan, task), _no_workers, threads=1)
        before = resident_bytes(os.getpid())
        started = time.process_time()

        driver.wait()
        spent = time.process_time() - started
        done = driver.status().shards_done
        yield Count(f"us of core time of the driver per shard, of {shards:,}", 1e6 * spent / done)
        yield Count(
            f"MiB that it grows meanwhile, of {shards:,}",
            (resident_bytes(os.getpid()) - before) / 2**20,
        )


class _Pool:
    """A thousand simulated workers, which have done what they are asked as soon as they are."""

    def __init__(self) -> None:
        self._answers: queue.SimpleQueue[tuple[Future[Answer], Order] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._answer)

    def count(self) -> int:
        return WORKERS

    def submit(self, order: Order) -> Future[Answer]:
        future: Future[Answer] = Future()
        self._answers.put((future, order))
        return future

    def withdraw(self, orders: Sequence[Order]) -> None:
        pass

    def close(self) -> None:
        self._answers.put(None)

    def _answer(self) -> None:
        outcomes = {"ok": 1990, "degraded": 7, "quarantined": 3}
        reasons = {"quarantined": {"bad_text": 3}, "degraded": {"no_length": 7}}
        while (asked := self._answers.get()) is not None:
            future, order = asked
            future.set_result(
                [ShardDone(t.index, 2000, outcomes, reasons, was_run=True) for t in order.bundle]
            )


@contextmanager
def _no_workers(hear: Hear) -> Iterator[_Pool]:
    del hear
    pool = _Pool()
    pool.thread.start()
    try:
        yield pool
    finally:
        pool.close()
        pool.thread.join()
