"""Run shards on the workers of a Dask cluster, whoever made it."""

from __future__ import annotations

import gc
import queue
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from math import inf
from typing import TYPE_CHECKING, Any

from distributed import CancelledError, KilledWorker, get_worker, secede
from distributed.threadpoolexecutor import ThreadPoolExecutor

from pyhpc.errors import PyhpcError
from pyhpc.executors.bundle_reader import BundleReader, bundle_key
from pyhpc.executors.rare_heartbeats import RareHeartbeats
from pyhpc.executors.run import Tally
from pyhpc.shards.attempts import last_words
from pyhpc.shards.files import new_attempt
from pyhpc.shards.plan import cached_plan, packing_folder
from pyhpc.shards.run import Trial, run_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from distributed import Client, Future

    from pyhpc.executors.run import Job, Status
    from pyhpc.shards.output import Output
    from pyhpc.shards.run import ShardDone
    from pyhpc.shards.task import Task

TOPIC = "pyhpc-batches"
"""Dask topic on which workers tell of batches."""

DEATHS = 3
"""So many workers may die of a shard without a word before its records are run in isolation: what
kills a worker from outside (preemption, the memory of others) says nothing about the records.
Isolation finds out whether one of them is guilty, and may die so often as well."""

FALSE_STARTS = 10
"""So often may a shard that waits behind another see its worker die, before the workers are said to
be unable to start."""

PER_WORKER = 2
"""Bundles of shards per worker that are with the scheduler, one to run and one to wait, so that a
million shards cost it nothing."""

BUNDLE_SECONDS = 10.0
"""Shards that are estimated to take less go to a worker several at a time: a message to a worker
and its answer cost the driver some milliseconds, and a change of bundle the worker some more."""

BUNDLE_SHARDS = 32
"""Most shards of a bundle."""

BUNDLES_LEFT = 3
"""So many bundles for each worker are made of what has not been given, at least, so that all end
together."""

STATUS_SECONDS = 0.25
"""Time between looks at how far the run is."""

WORKERS_SECONDS = (0.25, 2.0)
"""Time between looks at how many workers there are: short after a change, longer and longer
without, since each takes the scheduler and this process milliseconds of a core that may be a
worker's."""

TELL_SECONDS = 2.0
"""Least time between messages of a worker about batches, which keep the thread that treats shards
from the interpreter, and the driver of a thousand workers from all else."""


@dataclass(frozen=True, slots=True)
class _Try(Trial):
    """One attempt at a shard, and what befell those before."""

    deaths: int = 0
    false_starts: int = 0


_Bundle = tuple[_Try, ...]
"""Shards that a worker runs one after another and commits together; called after its first
attempt."""


class DaskRun:
    """A job on a Dask cluster, in a rolling window: only a few shards per worker are in flight.

    Workers are expendable. A shard whose worker died is run again, and in isolation if the worker
    left a stack trace or if it happens again and again.

    Parameters
    ----------
    job : Job
        What to run.
    connect : callable
        Gives a context that starts (or finds) the cluster, gives its client, and ends it. The
        cluster must have ``distributed.scheduler.allowed-failures`` 0: deaths are counted here.
    threads : int
        Threads of the kernels in each worker.
    tend : callable
        Called several times a second with how far the run is, to see to the workers. It raises
        where there will be none.
    """

    def __init__(
        self,
        job: Job,
        connect: Callable[[], AbstractContextManager[Client]],
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
        self._in_flight: dict[Future[_Answer], _Bundle] = {}
        self._ended: queue.SimpleQueue[tuple[Future[_Answer], _Answer | Exception]]
        self._ended = queue.SimpleQueue()
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
        with self._connect() as client:
            client.subscribe_topic(TOPIC, self._hear)
            # A worker that dies meanwhile is told as an error. One that lacks a plugin is slower.
            for plugin in (BundleReader(), RareHeartbeats()):
                with suppress(OSError):
                    client.register_plugin(plugin)
            workers, looked = _Workers(client), -inf
            while not self._dropped:
                is_time = time.monotonic() - looked >= STATUS_SECONDS
                self._fill(client, workers.count())
                is_over = not self._in_flight
                if not is_over:
                    self._collect()
                if is_time or is_over:
                    status = self.status()
                    self._tend(status)
                    on_status(status)
                    looked = time.monotonic()
                if is_over:
                    break
        return self.status()

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if message["attempt"] in self._submitted:
            self._started.add(message["attempt"])
            self._tally.treated(message["attempt"], message["outcomes"])

    def _fill(self, client: Client, workers: int) -> None:
        if self._cancelled:
            self._withdraw(client)
            return
        for _ in range(PER_WORKER * workers - len(self._in_flight)):
            bundle = self._next(workers)
            if not bundle:
                return
            name = bundle[0].attempt
            self._submitted.add(name)
            future = client.submit(
                _run_on_worker,
                self._job.output,
                self._job.task,
                self._job.packing,
                self._threads,
                bundle,
                key=bundle_key(bundle[0].index, name),
                pure=False,
            )
            self._in_flight[future] = bundle
            future.add_done_callback(self._note)

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

    def _withdraw(self, client: Client) -> None:
        """Take back what waits for a worker."""
        self._again.clear()
        self._later.clear()
        # What a worker tells takes its time, in which the log of an attempt is there already.
        waiting = [f for f, b in self._in_flight.items() if not any(map(self._has_begun, b))]
        for future in waiting:
            del self._in_flight[future]
        if waiting:
            client.cancel(waiting, reason="the run was cancelled")

    def _collect(self) -> None:
        """Take note of all that has ended, waiting a moment for the first."""
        ended = []
        try:
            ended.append(self._ended.get(timeout=STATUS_SECONDS))
            while True:
                ended.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        for future, result in ended:
            bundle = self._in_flight.pop(future, None)
            if bundle is None:
                continue
            if isinstance(result, Exception):
                self._again.extend(self._retries(bundle, result))
            else:
                for trial, done in zip(bundle, result, strict=True):
                    if done is None:
                        self._taken(trial)
                    else:
                        self._tally.committed(trial.attempt, done)
            self._submitted.discard(bundle[0].attempt)
            self._started.discard(bundle[0].attempt)
            future.release()

    def _taken(self, trial: _Try) -> None:
        """Go on where another process is at a shard, under the name of this attempt.

        It is known here alone, unless the shard is of a share: Dask has moved it off a worker that
        left ahead of its time limit, and may finish it in the time it has.
        """
        self._tally.given_up(trial.attempt)
        if self._job.share is None:
            self._later.append(replace(trial, attempt=new_attempt()))

    def _note(self, future: Future[_Answer]) -> None:
        """Fetch a result, in Dask's thread for callbacks.

        It may have to be computed again, where its worker died just now, and until then the thread
        that minds signals must not be stuck.
        """
        result: _Answer | Exception
        try:
            result = future.result()
        except Exception as error:
            result = error
        self._ended.put((future, result))

    def _retries(self, bundle: _Bundle, error: Exception) -> Iterator[_Try]:
        """Say how to go on with shards whose worker died, or give up."""
        self._tally.given_up(bundle[0].attempt)
        # Of several, some may be on the disk.
        missing = [t for t in bundle if len(bundle) == 1 or not self._tally.look(t.index)]
        begun = [trial for trial in missing if self._has_begun(trial)]
        for trial in missing:
            if trial in begun[-1:]:
                yield self._retry(trial, error)
            elif trial in begun:
                # It had been treated, and waited for the others to be committed.
                self._tally.lost(trial.attempt)
                yield replace(trial, attempt=new_attempt())
            elif begun or len(missing) < len(bundle):
                yield trial
            else:
                yield self._false_start(trial, error)

    def _has_begun(self, trial: _Try) -> bool:
        log = self._job.output.attempt(trial.index, trial.attempt)
        return trial.attempt in self._started or log.exists()

    def _retry(self, trial: _Try, error: Exception) -> _Try:
        """Say how to go on with a shard of which a worker died, or give up."""
        log = self._job.output.attempt(trial.index, trial.attempt)
        self._tally.lost(trial.attempt)
        again = replace(trial, attempt=new_attempt(), deaths=trial.deaths + 1, false_starts=0)
        if isinstance(error, MemoryError):
            return replace(again, deaths=0, isolated=True)
        if not isinstance(error, KilledWorker | CancelledError):
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

    def _false_start(self, trial: _Try, error: Exception) -> _Try:
        """Go on with a shard that waited behind the one of which its worker died."""
        if not isinstance(error, KilledWorker | CancelledError):
            raise error
        if trial.false_starts >= FALSE_STARTS:
            raise PyhpcError(
                f"{FALSE_STARTS} workers in a row died before they began shard {trial.index}",
                "Try pyhpc featurize --workers 0, which runs in one process and shows why.",
            )
        return replace(trial, attempt=new_attempt(), false_starts=trial.false_starts + 1)


class _Workers:
    """The workers of a cluster, of which the scheduler is asked once in a while.

    Parameters
    ----------
    client : Client
        Client of the cluster.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._count = 0
        self._asked = -inf
        self._every = WORKERS_SECONDS[0]

    def count(self) -> int:
        """Give the number of workers, and one where there is none yet."""
        now = time.monotonic()
        if now - self._asked >= self._every:
            before, self._count = self._count, len(self._client.nthreads())
            shortest, longest = WORKERS_SECONDS
            same = self._count == before
            self._every = min(2 * self._every, longest) if same else shortest
            self._asked = now
        return max(self._count, 1)


_Answer = list["ShardDone | None"]
"""What came of each shard of a bundle; None for those that another process is at."""


def _run_on_worker(
    output: Output, task: Task, packing: Path | None, threads: int, bundle: _Bundle
) -> _Answer:
    _spare_collector()
    tell = _Reporter(bundle[0].attempt)
    plan = cached_plan(output)
    return run_shards(
        output,
        plan,
        bundle,
        task,
        threads=threads,
        files=BundleReader.files(packing or packing_folder(output, plan), plan.shards),
        expendable=True,
        on_batch=tell,
        aside=_treat_aside,
    )


def _treat_aside(treat: Callable[[], None]) -> None:
    """Treat shards, and let the worker take the next bundle while the last are committed."""
    _treating_thread().submit(treat).result()
    secede()


@cache
def _treating_thread() -> ThreadPoolExecutor:
    """Give the thread that treats all shards of this process.

    Dask has a new one for each bundle, and the allocator gives each memory of its own, which costs
    its first shard up to 150 ms, page by page, and is never given back. This one is of Dask's kind
    too: it does not keep a process from its end.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="pyhpc-treats")


class _Reporter:
    """Tells the driver that a bundle has been begun, of its first batch, and then once in a while.

    Parameters
    ----------
    name : str
        Name of the bundle.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._worker = get_worker()
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
        message = {"attempt": self._name, "outcomes": dict(self._untold)}
        self._worker.log_event(TOPIC, message)
        self._untold.clear()


@cache
def _spare_collector() -> None:
    """Keep modules out of the garbage collections to come, and let there be few.

    Each would walk all modules, and by default 700 new objects call for one: records and reasons
    come by thousands, and hold no cycles.
    """
    gc.freeze()
    gc.set_threshold(50_000)
