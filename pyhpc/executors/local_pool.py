"""Worker processes on this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from threading import Lock, Thread
from typing import TYPE_CHECKING, Self

from pyhpc.errors import PyhpcError
from pyhpc.executors.environment import ENVIRONMENT
from pyhpc.executors.local_worker import Ended, Told, Withdrawal, work
from pyhpc.executors.memory import resident_bytes
from pyhpc.executors.pool import WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from pyhpc.executors.pool import Answer, Hear, Order

MEMORY_SECONDS = 0.5
"""Time between looks at how much memory the workers have."""

MEMORY_SHARE = 0.95
"""Share of its memory after which a worker is ended, before the kernel ends one that it chooses
itself."""

END_SECONDS = 5.0
"""Time in which a worker ends by itself, once it is let go."""


@dataclass(eq=False, slots=True)
class _Worker:
    """A process, and what it was asked to do."""

    process: SpawnProcess
    connection: Connection
    orders: dict[str, Future[Answer]] = field(default_factory=dict)


class LocalPool:
    """Worker processes on this machine, as a context. Nothing listens: they are asked by pipes.

    A worker is started when there is an order for it, and again when there is one after it died.
    It ends itself as soon as this process is gone.

    Parameters
    ----------
    workers : int
        Number of processes.
    memory_bytes : int
        Memory after which a worker is ended.
    hear : callable
        Takes what workers tell.
    """

    def __init__(self, workers: int, memory_bytes: int, hear: Hear) -> None:
        self._places: list[_Worker | None] = [None] * workers
        self._most_bytes = MEMORY_SHARE * memory_bytes
        self._hear = hear
        self._lock = Lock()
        self._is_ending = False
        # A message to the thread that listens: there is another worker, or the end.
        self._woken, self._wake = multiprocessing.Pipe(duplex=False)
        self._listener = Thread(target=self._listen, name="pyhpc-listens", daemon=True)

    def __enter__(self) -> Self:
        with _shielded_children():
            self._listener.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_ending = True
        self._wake.send_bytes(b"")
        self._listener.join()
        workers = [worker for worker in self._places if worker is not None]
        for worker in workers:
            worker.connection.close()
        until = time.monotonic() + END_SECONDS
        for worker in workers:
            worker.process.join(max(until - time.monotonic(), 0.0))
            worker.process.kill()
            worker.process.join()
        self._wake.close()
        self._woken.close()

    def count(self) -> int:
        """Give the number of workers."""
        return len(self._places)

    def submit(self, order: Order) -> Future[Answer]:
        """Give an order to a worker.

        Raises
        ------
        PyhpcError
            If a worker can't be started.
        """
        future: Future[Answer] = Future()
        with self._lock:
            place = min(range(len(self._places)), key=self._load)
            worker = self._places[place] or self._start()
            self._places[place] = worker
            worker.orders[order.name] = future
            # Where it is dead by now, that is found by who listens.
            with contextlib.suppress(OSError):
                worker.connection.send(order)
        return future

    def _load(self, place: int) -> int:
        worker = self._places[place]
        return 0 if worker is None else len(worker.orders)

    def withdraw(self, orders: Sequence[Order]) -> None:
        """Take orders back that are not begun."""
        with self._lock:
            for worker in self._places:
                for order in orders:
                    if worker is not None and worker.orders.pop(order.name, None) is not None:
                        with contextlib.suppress(OSError):
                            worker.connection.send(Withdrawal(order.name))

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        # Not a daemon: those may have no children, and a worker isolates records in processes.
        process = context.Process(target=work, args=(theirs,), name="pyhpc-worker", daemon=False)
        try:
            with _shielded_children(), _environment():
                process.start()
        except OSError as error:
            ours.close()
            raise PyhpcError(
                f"the workers did not start: {error}",
                "Is this machine out of memory or processes? Then call the same again, or with "
                "--workers 0 to do without.",
            ) from error
        finally:
            theirs.close()
        self._wake.send_bytes(b"")
        return _Worker(process, ours)

    def _listen(self) -> None:
        """Take what workers send, until the end."""
        looked = time.monotonic()
        while not self._is_ending:
            with self._lock:
                found = [worker for worker in self._places if worker is not None]
            workers: dict[object, _Worker] = {worker.connection: worker for worker in found}
            for ready in wait([self._woken, *(w.connection for w in found)], MEMORY_SECONDS):
                if ready is self._woken:
                    self._woken.recv_bytes()
                else:
                    self._take(workers[ready])
            if time.monotonic() - looked >= MEMORY_SECONDS:
                for worker in found:
                    if resident_bytes(worker.process.pid or 0) > self._most_bytes:
                        worker.process.kill()
                looked = time.monotonic()

    def _take(self, worker: _Worker) -> None:
        """Take a message of a worker, or note its death."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        except Exception:
            # What can't be read must not end this thread, on which the run waits.
            worker.process.kill()
            self._bury(worker)
            return
        if isinstance(message, Told):
            self._hear(message.name, message.outcomes)
        elif isinstance(message, Ended):
            with self._lock:
                future = worker.orders.pop(message.name, None)
            if future is None:
                return
            if isinstance(message.result, BaseException):
                future.set_exception(message.result)
            else:
                future.set_result(message.result)

    def _bury(self, worker: _Worker) -> None:
        # It may have closed the pipe a moment before its end.
        worker.process.join()
        with self._lock:
            self._places[self._places.index(worker)] = None
            orders = list(worker.orders.values())
        worker.connection.close()
        for future in orders:
            future.set_exception(WorkerDiedError(f"exit code {worker.process.exitcode}"))


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Start processes with the variables of workers."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _shielded_children() -> Iterator[None]:
    """Keep from worker processes the signals that this process answers for all of them.

    A terminal sends Ctrl-C, and some schedulers SIGUSR1, to every process of a group. Threads and
    processes inherit the mask of the thread that starts them.
    """
    signals = {signal.SIGINT, signal.SIGUSR1}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    # The tracker, too, is to be shielded. Its start unblocks SIGINT in the thread that starts it,
    # which must not be one that starts workers.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
