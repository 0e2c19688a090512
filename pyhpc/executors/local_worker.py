"""What a worker process on this machine does."""

from __future__ import annotations

import contextlib
import os
import traceback
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from pyhpc.errors import PyhpcError
from pyhpc.executors.run_order import EarlyFiles, run_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from pyhpc.executors.pool import Answer, Order


class Withdrawal(NamedTuple):
    """An order that is not to be begun."""

    name: str


class Told(NamedTuple):
    """What was treated of an order lately."""

    name: str
    outcomes: dict[str, int]


class Ended(NamedTuple):
    """What came of an order."""

    name: str
    result: Answer | BaseException


def work(connection: Connection) -> None:
    """Run orders in this process, until the other end of the connection is gone.

    One is treated at a time, in a thread that treats all: the allocator gives each thread memory of
    its own, which costs its first shard up to 150 ms, page by page, and is never given back.
    """
    _Worker(connection).serve()
    # The driver is gone, or drops what is under way: at once, like a process that is killed.
    os._exit(0)


class _Worker:
    """A worker that has the other end of a connection give it orders."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = Lock()
        self._files = EarlyFiles()
        self._waiting: set[str] = set()
        # Held by the order that is being treated. The one before may still be committed meanwhile.
        self._turn = Lock()
        self._orders = ThreadPoolExecutor(2, thread_name_prefix="pyhpc-orders")
        self._treating = ThreadPoolExecutor(1, thread_name_prefix="pyhpc-treats")

    def serve(self) -> None:
        """Take orders until there is nobody to give any."""
        while True:
            try:
                message: Order | Withdrawal = self._connection.recv()
            except (EOFError, OSError):
                return
            if isinstance(message, Withdrawal):
                self._waiting.discard(message.name)
            else:
                self._waiting.add(message.name)
                self._files.expect(message.bundle[0].index)
                self._orders.submit(self._run, message)

    def _run(self, order: Order) -> None:
        result: Answer | BaseException
        with contextlib.ExitStack() as turn:
            turn.enter_context(self._turn)
            if order.name not in self._waiting:
                return
            self._waiting.discard(order.name)

            def treat_aside(treat: Callable[[], None]) -> None:
                self._treating.submit(treat).result()
                turn.close()

            try:
                result = run_order(order, self._files, self._tell, treat_aside)
            except BaseException as error:
                result = _told_of(error)
        self._send(Ended(order.name, result))

    def _tell(self, name: str, outcomes: dict[str, int]) -> None:
        self._send(Told(name, outcomes))

    def _send(self, message: Told | Ended) -> None:
        with self._sending:
            self._connection.send(message)


def _told_of(error: BaseException) -> BaseException:
    """Give an error that can be sent, with the place where it was raised if that is a bug."""
    if isinstance(error, PyhpcError):
        return error
    if isinstance(error, MemoryError):
        return MemoryError(str(error))
    return RuntimeError("a worker failed:\n" + "".join(traceback.format_exception(error)))
