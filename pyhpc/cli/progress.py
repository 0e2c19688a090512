"""How far it is: a live bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from pyhpc.records import Outcome

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Task as Bar

    from pyhpc.executors import Status

LINE_SECONDS = 15.0
"""Time between lines where there is no terminal."""


def duration(seconds: float) -> str:
    """Write a time as ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


class Counter:
    """Count of records as they are packed, as a context."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0
        self._console = Console(stderr=True, highlight=False)
        self._status = self._console.status("")
        self._next = 0.0

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def add(self, count: int = 1) -> None:
        """Count one, or several."""
        self._count += count
        now = time.monotonic()
        if now >= self._next:
            rate = self._count / max(now - self._started, 1e-6)
            text = f"{self._what}: {self._count:,} records, {rate:,.0f}/s"
            if self._console.is_terminal:
                self._status.update(text)
                self._next = now + 0.2
            else:
                if self._next:
                    self._console.print(text)
                self._next = now + LINE_SECONDS


class RunProgress:
    """Progress of a run, as a context; :meth:`show` takes its status."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            _Figures(),
            console=self._console,
            auto_refresh=False,
            disable=not self._console.is_terminal,
        )
        self._bar = self._progress.add_task("records", total=None, text="")
        self._next = 0.0

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._next = self._started + LINE_SECONDS
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def show(self, status: Status) -> None:
        """Show how far it is."""
        done = status.records_done + status.records_running
        text = figures(status, self.seconds)
        if self._console.is_terminal:
            self._progress.update(self._bar, completed=done, total=status.records, text=text)
            self._progress.refresh()
        elif time.monotonic() >= self._next:
            self._console.print(f"{done:,} of {status.records:,} records, {text}")
            self._next = time.monotonic() + LINE_SECONDS


class _Figures(TextColumn):
    """The figures behind the bar, as they are: nothing in them is markup."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Bar) -> Text:
        return Text(task.fields["text"])


def figures(status: Status, seconds: float) -> str:
    """Say the rate, the failures and the time left."""
    done = status.records_done + status.records_running
    rate = (done - status.records_before) / seconds if seconds > 0 else 0.0
    failures = status.outcomes.get(Outcome.QUARANTINED, 0)
    left = duration((status.records - done) / rate) if rate > 0 else "?"
    lost = f", {status.lost} attempts lost" if status.lost else ""
    return f"{rate:,.0f} records/s, {failures:,} failed, {left} left{lost}"
