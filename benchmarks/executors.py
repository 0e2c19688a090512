"""What a run costs beside its kernels: shards per second with a task that does nothing.

The rate is that of a scheduler and worker processes, so it counts all that there is: scheduling,
reading, committing. The simulation has workers that only answer, a thousand
of them, so that what is left is the driver's own.
"""

from __future__ import annotations

import os
import queue
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from benchmarks.coverage import Count
from pyhpc.executors import Job, LocalExecutor
from pyhpc.executors.dask_run import DaskRun
from pyhpc.records import Record
from pyhpc.shards import (
    Guard,
    Output,
    Packing,
    Plan,
    ShardDone,
    ShardSize,
    TaskResult,
    finish,
    pack,
    run_shard,
)
from pyhpc.shards.packed import Shard, ShardTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness import Effort

CORES = 2
SIMULATED = (1_000, 10_000, 1_000_000)
"""Shards of the plans of the simulation."""
STEPS = 10_000
"""Most shards that the simulation runs of each."""
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
        with tempfile.TemporaryDirectory(dir=folder) as root:
            rate = _rate(Path(root), shards=20 if effort.quick else 1000)
            yield Count(f"shards/s of 1 record, {CORES} workers, {where}", rate)
        with tempfile.TemporaryDirectory(dir=folder) as root:
            per_shard = 20 if effort.quick else 2000
            spent = _core_time(Path(root), shards=2 if effort.quick else 10, per_shard=per_shard)
            yield Count(
                f"ms of core time beside the task of a shard of {per_shard}, {where}", spent
            )
    for shards in SIMULATED[: 1 if effort.quick else None]:
        yield from _simulated(shards)


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


def _rate(root: Path, *, shards: int) -> float:
    """Shards per second from when the first are done: without the start of the workers."""
    job = _job(root, shards, 1)
    begun: list[tuple[float, int]] = []

    def note(status: Any) -> None:
        if not begun and status.shards_done:
            begun.append((time.perf_counter(), status.shards_done))

    LocalExecutor(CORES).submit(job).wait(note)
    ((started, before),) = begun
    rate = (shards - before) / (time.perf_counter() - started)
    finish(job.output, job.plan)
    return rate


def _core_time(root: Path, *, shards: int, per_shard: int) -> float:
    """Milliseconds of core time of a shard, start to commit."""
    job = _job(root, shards, per_shard)
    run_shard(job.output, 0, job.task, attempt="first")
    started = time.process_time()
    for index in range(1, shards):
        run_shard(job.output, index, job.task, attempt="next")
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
        driver = DaskRun(Job(output, plan, task), _no_cluster, threads=1)
        before = _resident()
        started = time.process_time()

        def enough(status: Any) -> None:
            if status.shards_done >= min(STEPS, shards):
                driver.cancel(drain=False)

        driver.wait(enough)
        spent = time.process_time() - started
        done = driver.status().shards_done
        yield Count(f"us of core time of the driver per shard, of {shards:,}", 1e6 * spent / done)
        yield Count(f"MiB that it grows meanwhile, of {shards:,}", (_resident() - before) / 2**20)


def _resident() -> int:
    """Resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


class _Future:
    """A shard that a simulated worker has done as soon as it was asked to."""

    def __init__(self, index: int, answers: queue.SimpleQueue[Any]) -> None:
        self._index = index
        self._answers = answers

    def add_done_callback(self, call: Any) -> None:
        self._answers.put((call, self))

    def result(self) -> ShardDone:
        outcomes = {"ok": 1990, "degraded": 7, "quarantined": 3}
        reasons = {"quarantined": {"bad_text": 3}, "degraded": {"no_length": 7}}
        return ShardDone(self._index, 2000, outcomes, reasons, was_run=True)

    def release(self) -> None:
        pass


class _Client:
    """The client of a cluster whose workers only answer."""

    def __init__(self) -> None:
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._workers = dict.fromkeys(range(WORKERS), 1)
        self.thread = threading.Thread(target=self._answer)

    def nthreads(self) -> dict[int, int]:
        return self._workers

    def subscribe_topic(self, topic: str, handler: Any) -> None:
        pass

    def submit(self, call: Any, *arguments: Any, key: str, **options: Any) -> _Future:
        return _Future(int(key.split("-")[1]), self._answers)

    def cancel(self, futures: Any, **options: Any) -> None:
        pass

    def close(self) -> None:
        self._answers.put(None)

    def _answer(self) -> None:
        while (answer := self._answers.get()) is not None:
            call, future = answer
            call(future)


@contextmanager
def _no_cluster() -> Iterator[Any]:
    client = _Client()
    client.thread.start()
    try:
        yield client
    finally:
        client.close()
        client.thread.join()
