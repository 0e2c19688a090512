"""What a run will take, from a sample of it or from an earlier one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from pyhpc.errors import PyhpcError
from pyhpc.shards.attempts import total_attempts
from pyhpc.shards.commit import read_manifest
from pyhpc.shards.isolate import Isolation
from pyhpc.shards.ledger import build_ledger
from pyhpc.shards.packed import open_shard, read_batches
from pyhpc.shards.parquet import encode_table
from pyhpc.shards.plan import Guard, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyhpc.shards.output import Output
    from pyhpc.shards.packed import Packing, ShardTable
    from pyhpc.shards.task import Task


@dataclass(frozen=True, slots=True)
class Measured:
    """What some records took.

    Attributes
    ----------
    records : int
        Number of them.
    cost : float
        Core time that was estimated for them when they were cut into shards, in seconds.
    core_seconds : float
        Core time that they took.
    output_bytes : int
        Size of their part and ledger.
    """

    records: int
    cost: float
    core_seconds: float
    output_bytes: int

    def core_seconds_of(self, shards: ShardTable) -> float:
        """Core time that shards will take, in seconds."""
        return shards.cost * self.core_seconds / self.cost

    def output_bytes_of(self, shards: ShardTable) -> float:
        """Size of what will be made of shards, in bytes."""
        return shards.records * self.output_bytes / self.records


def measure_sample(
    packing: Packing,
    task: Task,
    guard: Guard,
    *,
    seconds: float,
    on_batch: Callable[[int], None] = lambda records: None,
) -> Measured:
    """Run the first batch of shards that lie evenly in the whole, until the time is up.

    Runs on one core, in a process of its own, so that no record can do harm.

    Parameters
    ----------
    packing : Packing
        The shards.
    task : Task
        What is to be run over them.
    guard : Guard
        What one record may use.
    seconds : float
        Time after which no further shard is sampled.
    on_batch : callable
        Called after each batch with the number of its records.
    """
    records, cost, spent, size = 0, 0.0, 0.0, 0
    started = time.monotonic()
    with Isolation(task, guard, threads=1) as run:
        # What is set up at the first use belongs to no record.
        run([])
        for index in _spread(len(packing.shards)):
            shard = packing.shards[index]
            for batch in islice(read_batches(open_shard(packing.folder, shard)), 1):
                begun = time.perf_counter()
                result = run(batch.records)
                said = result.outcomes, result.reasons
                ledger = build_ledger(batch.identity, *said, index, 0)
                size += len(encode_table(result.table)) + len(encode_table(ledger))
                spent += time.perf_counter() - begun
                count = len(batch.records)
                records += count
                cost += shard.cost * count / shard.records
                on_batch(count)
            if time.monotonic() - started > seconds:
                break
    return Measured(records, cost, spent, size)


def measure_earlier(output: Output) -> Measured:
    """Take it from a run over the same shards that is done, or partly so.

    Raises
    ------
    PyhpcError
        If no shard of it is done.
    """
    plan = Plan.load(output)
    records, cost, size = 0, 0.0, 0
    for index, shard in enumerate(plan.shards):
        manifest = read_manifest(output, plan, index)
        if manifest is not None:
            records += shard.records
            cost += shard.cost
            size += manifest["part"]["bytes"] + manifest["ledger"]["bytes"]
    attempts = total_attempts(output)
    if not records or not attempts.records:
        raise PyhpcError(f"no shard of {output.path} is done", "Leave --from out, to run a sample.")
    # Logs may be fewer than shards, or more.
    spent = sum(attempts.seconds.values()) * records / attempts.records
    return Measured(records, cost, spent, size)


def _spread(count: int) -> Sequence[int]:
    """All numbers below a count, so that the first of them lie evenly."""
    step = 1
    while step * 2 < count:
        step *= 2
    found: dict[int, None] = {}
    while step:
        found.update(dict.fromkeys(range(0, count, step)))
        step //= 2
    return list(found)
