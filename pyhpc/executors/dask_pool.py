"""The workers of a Dask cluster."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from math import inf
from typing import TYPE_CHECKING, Any

from distributed import CancelledError, KilledWorker, get_worker, secede
from distributed.threadpoolexecutor import ThreadPoolExecutor

from pyhpc.executors.bundle_reader import BundleReader, bundle_key
from pyhpc.executors.pool import WorkerDiedError
from pyhpc.executors.rare_heartbeats import RareHeartbeats
from pyhpc.executors.run_order import run_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Client
    from distributed import Future as DaskFuture

    from pyhpc.executors.pool import Answer, Hear, Order

TOPIC = "pyhpc-batches"
"""Dask topic on which workers tell of batches."""

WORKERS_SECONDS = (0.25, 2.0)
"""Time between looks at how many workers there are: short after a change, longer and longer
without, since each takes the scheduler and this process milliseconds of a core that may be a
worker's."""


class DaskPool:
    """The workers of a cluster.

    Parameters
    ----------
    client : Client
        Client of the cluster, which must have ``distributed.scheduler.allowed-failures`` 0: deaths
        are counted by the run.
    hear : callable
        Takes what workers tell.
    """

    def __init__(self, client: Client, hear: Hear) -> None:
        self.client = client
        self._futures: dict[str, DaskFuture[Answer]] = {}
        self._count = 0
        self._asked = -inf
        self._every = WORKERS_SECONDS[0]
        client.subscribe_topic(TOPIC, lambda event: hear(*event[1]))
        # A worker that dies meanwhile is told as an error. One that lacks a plugin is slower.
        for plugin in (BundleReader(), RareHeartbeats()):
            with suppress(OSError):
                client.register_plugin(plugin)

    def count(self) -> int:
        """Give the number of workers, and one where there is none yet."""
        now = time.monotonic()
        if now - self._asked >= self._every:
            before, self._count = self._count, len(self.client.nthreads())
            shortest, longest = WORKERS_SECONDS
            same = self._count == before
            self._every = min(2 * self._every, longest) if same else shortest
            self._asked = now
        return max(self._count, 1)

    def submit(self, order: Order) -> Future[Answer]:
        """Give an order to the cluster."""
        key = bundle_key(order.name)
        theirs = self.client.submit(_run_on_worker, order, key=key, pure=False)
        ours: Future[Answer] = Future()
        self._futures[order.name] = theirs
        theirs.add_done_callback(lambda theirs: self._fetch(order.name, theirs, ours))
        return ours

    def _fetch(self, name: str, theirs: DaskFuture[Answer], ours: Future[Answer]) -> None:
        """Fetch a result, in Dask's thread for callbacks.

        It may have to be computed again, where its worker died just now, and until then the thread
        that minds signals must not be stuck.
        """
        try:
            ours.set_result(theirs.result())
        except (KilledWorker, CancelledError) as error:
            ours.set_exception(WorkerDiedError(str(error)))
        except Exception as error:
            ours.set_exception(error)
        self._futures.pop(name, None)
        theirs.release()

    def withdraw(self, orders: Sequence[Order]) -> None:
        """Take orders back."""
        theirs = [self._futures[order.name] for order in orders if order.name in self._futures]
        if theirs:
            self.client.cancel(theirs, reason="the run was cancelled")


def _run_on_worker(order: Order) -> Answer:
    # Asked for here: not in the thread that treats, which Dask does not know.
    worker = get_worker()

    def tell(name: str, outcomes: dict[str, int]) -> None:
        worker.log_event(TOPIC, (name, outcomes))

    return run_order(order, BundleReader.of_worker(), tell, _treat_aside)


def _treat_aside(treat: Callable[[], None]) -> None:
    """Treat shards, and let the worker take the next order while the last are committed."""
    _treating_thread().submit(treat).result()
    secede()


@cache
def _treating_thread() -> Any:
    """Give the thread that treats all shards of this process.

    Dask has a new one for each order, and the allocator gives each memory of its own, which costs
    its first shard up to 150 ms, page by page, and is never given back. This one is of Dask's kind
    too: it does not keep a process from its end.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="pyhpc-treats")
