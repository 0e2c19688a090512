"""Signals that ask to leave."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from pyhpc.executors import Run

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(BaseException):
    """The user or the scheduler asked to leave.

    Parameters
    ----------
    signal : int
        Number of the signal.
    message : str
        What to tell the user.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal


class Interrupts:
    """Turns signals into a clean way out, as a context.

    Outside of a run a signal raises :class:`Interrupted`. During one, SIGINT and SIGTERM drop the
    shards that are being run, and SIGUSR1, which schedulers send ahead of the end, lets them be
    finished. A further SIGINT ends the process at once; its workers follow.

    Parameters
    ----------
    patient : bool
        Let shards be finished after SIGTERM, too: for a job of a scheduler, which kills what has
        not left in time. Nothing is lost by trying.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._drained = (signal.SIGUSR1, signal.SIGTERM) if patient else (signal.SIGUSR1,)
        self._run: Run | None = None
        self._before: dict[int, Any] = {}
        self.received: int | None = None

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def drains(self) -> bool:
        """Whether what is begun is being finished."""
        return self.received in self._drained

    def attach(self, run: Run | None) -> None:
        """From now on, cancel this run instead of raising."""
        self._run = run

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._run is None:
            raise Interrupted(number, "Interrupted.")
        if number == signal.SIGINT and self.received == signal.SIGINT:
            os._exit(128 + number)
        self.received = number
        self._run.cancel(drain=number in self._drained)
