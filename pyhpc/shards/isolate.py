"""Find the record that kills its process, and let the others live."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pyhpc.records import Outcome, Reason
from pyhpc.shards.batch import BatchResult, run_batch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from types import TracebackType

    from pyhpc.records import Record
    from pyhpc.shards.plan import Guard
    from pyhpc.shards.task import Task

SINGLY = 16
"""So few records are run one by one: each death costs a process, or the whole time limit."""

KILLS = 3
"""So often must a process with one record be killed from outside before it is the record's fault:
who reclaims memory or nodes may have meant another."""

IDLE = 10
"""A process that computes is ended by its core time, which a busy machine does not stretch; one
that only waits, after so many times as much."""


class DeathError(Exception):
    """The process that ran some records is gone, or could not go on."""

    def __init__(self, code: str, message: str, *, from_outside: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.from_outside = from_outside


class Isolation:
    """Runs batches in a process with bounded time and memory, as a context.

    A batch of which the process dies is halved until the record that kills it stands alone and is
    quarantined as ``worker_crash``, ``worker_timeout`` or ``worker_memory``. The results of the
    others are what :func:`~pyhpc.shards.batch.run_batch` gives.

    Parameters
    ----------
    task : Task
        What to run.
    guard : Guard
        What one record may use.
    threads : int
        Threads of the kernels.
    """

    def __init__(self, task: Task, guard: Guard, *, threads: int) -> None:
        self._task = task
        self._guard = guard
        self._threads = threads
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        # Without a name: nothing is left of it, whatever ends this process.
        self._stderr = tempfile.TemporaryFile()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        self._stderr.close()

    def __call__(self, records: Sequence[Record]) -> BatchResult:
        """Run a batch."""
        try:
            return self._run(records)
        except DeathError as death:
            if len(records) > 1:
                step = 1 if len(records) <= SINGLY else (len(records) + 1) // 2
                parts = [records[k : k + step] for k in range(0, len(records), step)]
                return BatchResult.join([self(part) for part in parts])
            last = death
            for _ in range(KILLS - 1):
                if not last.from_outside:
                    break
                try:
                    return self._run(records)
                except DeathError as again:
                    last = again
            reason = Reason(last.code, "worker", Outcome.QUARANTINED, last.message)
            return BatchResult.quarantined(self._task.schema, reason)

    def _run(self, records: Sequence[Record]) -> BatchResult:
        connection = self._start()
        try:
            connection.send(records)
            answer = connection.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if isinstance(answer, MemoryError):
            self._stop()
            raise self._out_of_memory()
        if isinstance(answer, Exception):
            raise answer
        result: BatchResult = answer
        return result

    def _start(self) -> Connection:
        if self._connection is None:
            # Forked off a server that has imported all but started no thread: a fresh interpreter
            # for each death would take a second, and a fork of this process might hang.
            context = multiprocessing.get_context("forkserver")
            # pandas, where it is installed, since pyarrow imports it at its first conversion.
            context.set_forkserver_preload([__name__, type(self._task).__module__, "pandas"])
            self._connection, theirs = context.Pipe()
            stderr = Path(f"/proc/{os.getpid()}/fd/{self._stderr.fileno()}")
            self._process = context.Process(
                target=_serve,
                args=(theirs, self._task, self._guard, self._threads, stderr),
                name="pyhpc-isolation",
            )
            self._process.start()
            theirs.close()
        return self._connection

    def _stop(self) -> int | None:
        if self._connection is None or self._process is None:
            return None
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        exitcode = self._process.exitcode
        self._process.close()
        self._process = self._connection = None
        return exitcode

    def _death(self) -> DeathError:
        exitcode = self._stop()
        seconds = self._guard.record_seconds
        if exitcode == -signal.SIGPROF:
            message = f"took more than {seconds:g} s of core time by itself"
            return DeathError("worker_timeout", message)
        if exitcode == -signal.SIGALRM:
            message = f"was not done after {IDLE * seconds:g} s by itself"
            return DeathError("worker_timeout", message)
        self._stderr.seek(0)
        if b"memory allocation of" in self._stderr.read():
            return self._out_of_memory()
        if exitcode is not None and exitcode < 0:
            name = signal.Signals(-exitcode).name
            return DeathError(
                "worker_crash",
                f"the process that ran it by itself died of {name}",
                from_outside=-exitcode in (signal.SIGKILL, signal.SIGTERM),
            )
        return DeathError(
            "worker_crash", f"the process that ran it by itself ended with status {exitcode}"
        )

    def _out_of_memory(self) -> DeathError:
        mebibytes = f"{self._guard.record_bytes / 2**20:.0f} MiB"
        return DeathError("worker_memory", f"needed more than {mebibytes} of memory by itself")


def _serve(connection: Connection, task: Task, guard: Guard, threads: int, stderr: Path) -> None:
    """Run what comes through the connection until it closes."""
    descriptor = os.open(stderr, os.O_WRONLY | os.O_TRUNC)
    os.dup2(descriptor, sys.__stderr__.fileno() if sys.__stderr__ else 2)
    os.close(descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Left to the system, the alarms end the process even when it is stuck in compiled code.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What is imported or set up at the first use is no record's fault, in time or memory.
    task.run([], threads=threads)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + guard.record_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        try:
            records = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, guard.record_seconds * threads)
        signal.setitimer(signal.ITIMER_REAL, guard.record_seconds * IDLE)
        answer: BatchResult | Exception
        try:
            answer = run_batch(task, records, threads=threads)
        except MemoryError:
            # Not the error itself: it holds on to what filled the memory.
            answer = MemoryError()
        except Exception as error:
            answer = error
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(answer)
