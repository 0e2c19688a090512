"""What a worker does with an order, in whichever process it runs."""

from __future__ import annotations

import gc
import time
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from pyhpc.shards.plan import cached_plan, packing_folder
from pyhpc.shards.read_ahead import ReadAhead
from pyhpc.shards.run import run_shards

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyhpc.executors.pool import Answer, Hear, Order
    from pyhpc.shards.packed import ShardTable

TELL_SECONDS = 2.0
"""Least time between messages of a worker about batches, which keep the thread that treats shards
from the interpreter, and the driver of a thousand workers from all else."""


class EarlyFiles:
    """Shard files of a worker: the first of an order is read while it ends the order before.

    Within an order, each shard has the next one read.
    """

    def __init__(self) -> None:
        self._files: ReadAhead | None = None
        self._early: list[int] = []

    def expect(self, index: int) -> None:
        """Begin to read a shard that is to come."""
        if self._files is None:
            # Only the plan says which file it is, and to load it takes whoever calls this too long.
            self._early.append(index)
        else:
            self._files.expect(index)

    def of(self, folder: Path, shards: ShardTable) -> ReadAhead:
        """Give the files of a plan, which is that of all orders of a worker."""
        if self._files is None:
            # Not closed with the worker, which may leave while this order goes on.
            self._files = ReadAhead(folder, shards)
            for index in self._early:
                self._files.expect(index)
        return self._files


def run_order(
    order: Order, files: EarlyFiles, hear: Hear, aside: Callable[[Callable[[], None]], None]
) -> Answer:
    """Run the shards of an order.

    Parameters
    ----------
    order : Order
        The order.
    files : EarlyFiles
        Those of this worker.
    hear : callable
        Takes what is to be told to the driver.
    aside : callable
        Calls what it is given, which treats the shards, and has the next order begun during the
        last commit.
    """
    _spare_collector()
    tell = _Reporter(order.name, hear)
    plan = cached_plan(order.output)
    folder = order.packing or packing_folder(order.output, plan)
    return run_shards(
        order.output,
        plan,
        order.bundle,
        order.task,
        threads=order.threads,
        files=files.of(folder, plan.shards),
        expendable=True,
        on_batch=tell,
        aside=aside,
    )


class _Reporter:
    """Tells the driver that an order has been begun, of its first batch, and then once in a while.

    Parameters
    ----------
    name : str
        Name of the order.
    hear : callable
        Takes what is told.
    """

    def __init__(self, name: str, hear: Hear) -> None:
        self._name = name
        self._hear = hear
        self._untold: Counter[str] = Counter()
        self._next = 0.0
        self._tell()

    def __call__(self, outcomes: dict[str, int]) -> None:
        self._untold.update(outcomes)
        now = time.monotonic()
        if now >= self._next:
            self._tell()
            self._next = now + TELL_SECONDS

    def _tell(self) -> None:
        self._hear(self._name, dict(self._untold))
        self._untold.clear()


@cache
def _spare_collector() -> None:
    """Keep modules out of the garbage collections to come, and let there be few.

    Each would walk all modules, and by default 700 new objects call for one: records and reasons
    come by thousands, and hold no cycles.
    """
    gc.freeze()
    gc.set_threshold(50_000)
