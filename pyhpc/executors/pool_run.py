"""Run shards on a pool of workers, whoever started them."""

from __future__ import annotations

import queue
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyhpc.errors import PyhpcError
from pyhpc.executors.pool import Order, WorkerDiedError, order_name
from pyhpc.executors.run import Tally
from pyhpc.shards.attempts import last_words
from pyhpc.shards.files import new_attempt
from pyhpc.shards.run import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from pyhpc.executors.pool import Answer, Hear, Pool
    from pyhpc.executors.run import Job, Status

DEATHS = 3
"""So many workers may die of a shard without a word before its records are run in isolation: what
kills a worker from outside (preemption, the memory of others) says nothing about the records.
Isolation finds out whether one of them is guilty, and may die so often as well."""

FALSE_STARTS = 10
"""So often may a shard that waits behind another see its worker die, before the workers are said to
be unable to start."""

PER_WORKER = 2
"""Bundles of shards per worker that are given to the pool, one to run and one to wait, so that a
million shards cost it nothing."""

BUNDLE_SECONDS = 10.0
"""Shards that are estimated to take less go to a worker several at a time: a message to a worker
and its answer cost the driver some milliseconds, and a change of bundle the worker some more."""

BUNDLE_SHARDS = 32
"""Most shards of a bundle."""

BUNDLES_LEFT = 3
"""So many bundles for each worker are made of what has not been given, at least, so that all end
together."""

STATUS_SECONDS = 0.5
"""Time between looks at how far the run is. Each wakes the driver for nothing else, on a core that
it may share with a worker."""


@dataclass(frozen=True, slots=True)
class _Try(Trial):
    """One attempt at a shard, and what befell those before."""

    deaths: int = 0
    false_starts: int = 0


_Bundle = tuple[_Try, ...]
"""Shards of an order."""


class PoolRun:
    """A job on a pool of workers, in a rolling window: only a few shards per worker are in flight.

    Workers are expendable. A shard whose worker died is run again, and in isolation if the worker
    left a stack trace or if it happens again and again.

    Parameters
    ----------
    job : Job
        What to run.
    connect : callable
        Takes what is to be called with what workers tell, and gives a context that starts (or
        finds) the workers, gives their pool, and ends them.
    threads : int
        Threads of the kernels in each worker.
    tend : callable
        Called about twice a second with how far the run is, to see to the workers. It raises
        where there will be none.
    """

    def __init__(
        self,
        job: Job,
        connect: Callable[[Hear], AbstractContextManager[Pool]],
        *,
        threads: int,
        tend: Callable[[Status], None] = lambda status: None,
    ) -> None:
        self._job = job
        self._connect = connect
        self._threads = threads
        self._tend = tend
        self._tally = Tally(job)
        self._trials = self._tally.trials()
        self._left = len(job.plan.shards)
        self._again: deque[_Try] = deque()
        self._later: deque[_Try] = deque()
        self._in_flight: dict[Future[Answer], _Bundle] = {}
        self._ended: queue.SimpleQueue[Future[Answer]] = queue.SimpleQueue()
        self._submitted: set[str] = set()
        self._started: set[str] = set()
        self._cancelled = False
        self._dropped = False

    def status(self) -> Status:
        """Say how far it is."""
        return self._tally.status()

    def cancel(self, *, drain: bool) -> None:
        """Stop: start no more shards, and finish (drain) or drop the bundles that run."""
        self._cancelled = True
        self._dropped |= not drain

    def wait(self, on_status: Callable[[Status], None] = lambda status: None) -> Status:
        """Run until all shards are done or the run is cancelled."""
        with self._connect(self._hear) as pool:
            next_look = time.monotonic()
            while not self._dropped:
                self._fill(pool)
                is_over = not self._in_flight
                if not is_over:
                    self._collect(max(next_look - time.monotonic(), 0.0))
                if is_over or time.monotonic() >= next_look:
                    status = self.status()
                    self._tend(status)
                    on_status(status)
                    next_look = time.monotonic() + STATUS_SECONDS
                if is_over:
                    break
        return self.status()

    def _hear(self, name: str, outcomes: dict[str, int]) -> None:
        if name in self._submitted:
            self._started.add(name)
            self._tally.treated(name, outcomes)

    def _fill(self, pool: Pool) -> None:
        if self._cancelled:
            self._withdraw(pool)
            return
        workers = pool.count()
        for _ in range(PER_WORKER * workers - len(self._in_flight)):
            bundle = self._next(workers)
            if not bundle:
                return
            order = self._order(bundle)
            self._submitted.add(order.name)
            future = pool.submit(order)
            self._in_flight[future] = bundle
            future.add_done_callback(self._ended.put)

    def _order(self, bundle: _Bundle) -> Order:
        job = self._job
        return Order(job.output, job.task, job.packing, self._threads, bundle)

    def _next(self, workers: int) -> _Bundle:
        """Give the shards for a worker: none where all have been given."""
        if self._again:
            # Its worker has died, so it takes no others along.
            return (self._again.popleft(),)
        most = min(BUNDLE_SHARDS, max(self._left // (BUNDLES_LEFT * workers), 1))
        if self._job.share is not None:
            # Others take from the end of a share what has not been begun, one by one.
            most = 1
        bundle: list[_Try] = []
        seconds = 0.0
        while len(bundle) < most and seconds < BUNDLE_SECONDS:
            trial = next(self._trials, None)
            if trial is None:
                break
            self._left = len(self._job.plan.shards) - trial.index - 1
            bundle.append(_Try(trial.index, trial.attempt, isolated=trial.isolated))
            seconds += self._job.plan.shards[trial.index].cost
        if not bundle and self._later:
            bundle.append(self._later.popleft())
        return tuple(bundle)

    def _withdraw(self, pool: Pool) -> None:
        """Take back what waits for a worker."""
        self._again.clear()
        self._later.clear()
        # What a worker tells takes its time, in which the log of an attempt is there already.
        waiting = {f: b for f, b in self._in_flight.items() if not any(map(self._has_begun, b))}
        for future in waiting:
            del self._in_flight[future]
        if waiting:
            pool.withdraw([self._order(bundle) for bundle in waiting.values()])

    def _collect(self, seconds: float) -> None:
        """Take note of all that has ended, waiting so long for the first."""
        ended = []
        try:
            ended.append(self._ended.get(timeout=seconds))
            while True:
                ended.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        for future in ended:
            bundle = self._in_flight.pop(future, None)
            if bundle is None:
                continue
            error = future.exception()
            if error is not None:
                self._again.extend(self._retries(bundle, error))
            else:
                for trial, done in zip(bundle, future.result(), strict=True):
                    if done is None:
                        self._taken(trial)
                    else:
                        self._tally.committed(order_name(trial), done)
            self._submitted.discard(order_name(bundle[0]))
            self._started.discard(order_name(bundle[0]))

    def _taken(self, trial: _Try) -> None:
        """Go on where another process is at a shard, under the name of this attempt.

        It is known here alone, unless the shard is of a share: Dask has moved it off a worker that
        left ahead of its time limit, and may finish it in the time it has.
        """
        self._tally.given_up(order_name(trial))
        if self._job.share is None:
            self._later.append(replace(trial, attempt=new_attempt()))

    def _retries(self, bundle: _Bundle, error: BaseException) -> Iterator[_Try]:
        """Say how to go on with shards whose worker died, or give up."""
        self._tally.given_up(order_name(bundle[0]))
        # Of several, some may be on the disk.
        missing = [t for t in bundle if len(bundle) == 1 or not self._tally.look(t.index)]
        begun = [trial for trial in missing if self._has_begun(trial)]
        for trial in missing:
            if trial in begun[-1:]:
                yield self._retry(trial, error)
            elif trial in begun:
                # It had been treated, and waited for the others to be committed.
                self._tally.lost(order_name(trial))
                yield replace(trial, attempt=new_attempt())
            elif begun or len(missing) < len(bundle):
                yield trial
            else:
                yield self._false_start(trial, error)

    def _has_begun(self, trial: _Try) -> bool:
        log = self._job.output.attempt(trial.index, trial.attempt)
        return order_name(trial) in self._started or log.exists()

    def _retry(self, trial: _Try, error: BaseException) -> _Try:
        """Say how to go on with a shard of which a worker died, or give up."""
        log = self._job.output.attempt(trial.index, trial.attempt)
        self._tally.lost(order_name(trial))
        again = replace(trial, attempt=new_attempt(), deaths=trial.deaths + 1, false_starts=0)
        if isinstance(error, MemoryError):
            return replace(again, deaths=0, isolated=True)
        if not isinstance(error, WorkerDiedError):
            raise error
        if trial.isolated:
            if again.deaths >= DEATHS:
                raise PyhpcError(
                    f"{DEATHS} workers died of shard {trial.index}, though its records were run "
                    "in processes of their own",
                    f"Look at {log} and at what ends processes on this machine (memory?), then "
                    "call again.",
                )
            return again
        if again.deaths >= DEATHS or last_words(self._job.output, trial.index, trial.attempt):
            return replace(again, deaths=0, isolated=True)
        return again

    def _false_start(self, trial: _Try, error: BaseException) -> _Try:
        """Go on with a shard that waited behind the one of which its worker died."""
        if not isinstance(error, WorkerDiedError):
            raise error
        if trial.false_starts >= FALSE_STARTS:
            raise PyhpcError(
                f"{FALSE_STARTS} workers in a row died before they began shard {trial.index}",
                "Try pyhpc featurize --workers 0, which runs in one process and shows why.",
            )
        return replace(trial, attempt=new_attempt(), false_starts=trial.false_starts + 1)
