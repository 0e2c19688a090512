"""Run shards on the workers of a Dask cluster, whoever made it."""

from __future__ import annotations

import queue
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distributed import CancelledError, KilledWorker, get_worker

from pyhpc.errors import PyhpcError
from pyhpc.executors.run import Tally
from pyhpc.shards.attempts import AttemptTakenError, last_words
from pyhpc.shards.files import new_attempt
from pyhpc.shards.run import run_shard

if TYPE_CHECKING:
    from collections.abc import Callable
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
"""Shards per worker that are with the scheduler, one to run and one to wait, so that a million of
them cost it nothing."""


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt at a shard."""

    index: int
    attempt: str
    deaths: int = 0
    false_starts: int = 0
    isolated: bool = False


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
        self._again: deque[_Try] = deque()
        self._later: deque[_Try] = deque()
        self._in_flight: dict[Future[ShardDone], _Try] = {}
        self._ended: queue.SimpleQueue[tuple[Future[ShardDone], ShardDone | Exception]]
        self._ended = queue.SimpleQueue()
        self._started: set[str] = set()
        self._cancelled = False
        self._dropped = False

    def status(self) -> Status:
        """Say how far it is."""
        return self._tally.status()

    def cancel(self, *, drain: bool) -> None:
        """Stop: start no more shards, and finish (drain) or drop those that run."""
        self._cancelled = True
        self._dropped |= not drain

    def wait(self, on_status: Callable[[Status], None] = lambda status: None) -> Status:
        """Run until all shards are done or the run is cancelled."""
        with self._connect() as client:
            client.subscribe_topic(TOPIC, self._hear)
            while not self._dropped:
                self._fill(client)
                if not self._in_flight:
                    break
                self._collect()
                status = self.status()
                self._tend(status)
                on_status(status)
        return self.status()

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if any(trial.attempt == message["attempt"] for trial in list(self._in_flight.values())):
            self._started.add(message["attempt"])
            self._tally.treated(message["attempt"], message["outcomes"])

    def _fill(self, client: Client) -> None:
        if self._cancelled:
            self._withdraw(client)
            return
        room = PER_WORKER * max(len(client.nthreads()), 1) - len(self._in_flight)
        for _ in range(room):
            trial = self._next()
            if trial is None:
                return
            future = client.submit(
                _run_on_worker,
                self._job.output,
                self._job.task,
                self._job.packing,
                self._threads,
                trial.index,
                trial.attempt,
                trial.isolated,
                key=f"shard-{trial.index}-{trial.attempt}",
                pure=False,
            )
            self._in_flight[future] = trial
            future.add_done_callback(self._note)

    def _next(self) -> _Try | None:
        if self._again:
            return self._again.popleft()
        trial = next(self._trials, None)
        if trial is None:
            return self._later.popleft() if self._later else None
        return _Try(trial.index, trial.attempt, isolated=trial.isolated)

    def _withdraw(self, client: Client) -> None:
        """Take back what waits for a worker."""
        self._again.clear()
        self._later.clear()
        waiting = [f for f, trial in self._in_flight.items() if trial.attempt not in self._started]
        for future in waiting:
            del self._in_flight[future]
        if waiting:
            client.cancel(waiting, reason="the run was cancelled")

    def _collect(self) -> None:
        """Take note of all that has ended, waiting a moment for the first."""
        ended = []
        try:
            ended.append(self._ended.get(timeout=0.2))
            while True:
                ended.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        for future, result in ended:
            trial = self._in_flight.pop(future, None)
            if trial is None:
                continue
            if isinstance(result, AttemptTakenError):
                self._tally.given_up(trial.attempt)
                # Its name is known here alone, unless it is of a share: Dask has moved it off a
                # worker that left ahead of its time limit, and may finish it in the time it has.
                if self._job.share is None:
                    self._later.append(replace(trial, attempt=new_attempt()))
            elif isinstance(result, Exception):
                self._again.append(self._retry(trial, result))
            else:
                self._tally.committed(trial.attempt, result)
            self._started.discard(trial.attempt)
            future.release()

    def _note(self, future: Future[ShardDone]) -> None:
        """Fetch a result, in Dask's thread for callbacks.

        It may have to be computed again, where its worker died just now, and until then the thread
        that minds signals must not be stuck.
        """
        result: ShardDone | Exception
        try:
            result = future.result()
        except Exception as error:
            result = error
        self._ended.put((future, result))

    def _retry(self, trial: _Try, error: Exception) -> _Try:
        """Say how to go on with a shard of which a worker died, or give up."""
        log = self._job.output.attempt(trial.index, trial.attempt)
        if trial.attempt not in self._started and not log.exists():
            return self._false_start(trial, error)
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


def _run_on_worker(
    output: Output,
    task: Task,
    packing: Path | None,
    threads: int,
    index: int,
    attempt: str,
    isolated: bool,
) -> ShardDone:
    worker = get_worker()

    def tell(outcomes: dict[str, int]) -> None:
        worker.log_event(TOPIC, {"attempt": attempt, "outcomes": outcomes})

    tell({})
    return run_shard(
        output,
        index,
        task,
        attempt=attempt,
        threads=threads,
        packing=packing,
        expendable=True,
        isolated=isolated,
        on_batch=tell,
    )
