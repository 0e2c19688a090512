"""Rounds of an array run: which shards are to be done, and by which task in which order.

A round is one submission: a number of tasks, started whenever the scheduler pleases, that talk to
nobody. A task does its own share first, front to back, and then helps others with theirs, back to
front. What has been begun in a round is not begun by a second task: the log of the attempt, which
is named after the round, can be created once. That is a courtesy that saves work. Correctness does
not hang on it but on the commit, and what a dead task had begun is for the next round.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Self, overload

from pyhpc.errors import PyhpcError
from pyhpc.shards.files import create, to_json
from pyhpc.shards.run import Trial

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pyhpc.shards.output import Output


class Spans(Sequence[int]):
    """Ascending numbers, kept as ranges: a million shards of which few are missing are few ranges.

    Parameters
    ----------
    ranges : iterable of range
        Ascending, with step 1, not empty.
    """

    def __init__(self, ranges: Iterable[range]) -> None:
        self.ranges = tuple(ranges)
        self._ends = list(accumulate(len(one) for one in self.ranges))

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Self:
        """Make it from ascending numbers."""
        ranges: list[range] = []
        for number in numbers:
            if ranges and ranges[-1].stop == number:
                ranges[-1] = range(ranges[-1].start, number + 1)
            else:
                ranges.append(range(number, number + 1))
        return cls(ranges)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, position: int) -> int: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[int]: ...
    def __getitem__(self, position: int | slice) -> int | Sequence[int]:
        """Give the number at a position, or those at some, looked up when they are asked for."""
        if isinstance(position, slice):
            return _Slice(self, range(len(self))[position])
        position = range(len(self))[position]
        k = bisect_right(self._ends, position)
        return self.ranges[k][position - self._ends[k] + len(self.ranges[k])]


class _Slice(Sequence[int]):
    """Numbers at some positions of a sequence."""

    def __init__(self, numbers: Spans, positions: range) -> None:
        self._numbers = numbers
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, position: int) -> int: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[int]: ...
    def __getitem__(self, position: int | slice) -> int | Sequence[int]:
        if isinstance(position, slice):
            return _Slice(self._numbers, self._positions[position])
        return self._numbers[self._positions[position]]


@dataclass(frozen=True)
class Round:
    """One submission of an array run.

    Attributes
    ----------
    name : str
        Its name, which no other round has; the attempts of its tasks are named after it.
    number : int
        1 for the first round of a run.
    shards : Spans
        The shards that are to be done.
    isolated : frozenset of int
        Of these, the ones whose records are run in processes of their own.
    tasks : int
        Number of tasks that share them.
    """

    name: str
    number: int
    shards: Spans
    isolated: frozenset[int]
    tasks: int

    def encode(self) -> bytes:
        """Content of the file."""
        body: dict[str, Any] = {
            "name": self.name,
            "number": self.number,
            "shards": [[one.start, one.stop] for one in self.shards.ranges],
            "isolated": sorted(self.isolated),
            "tasks": self.tasks,
        }
        return to_json(body)

    def create(self, path: Path) -> None:
        """Write the file."""
        create(path, self.encode(), self.name)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file.

        Raises
        ------
        PyhpcError
            If there is none, or it is damaged.
        """
        try:
            body = json.loads(path.read_bytes())
            return cls(
                name=body["name"],
                number=body["number"],
                shards=Spans(range(start, stop) for start, stop in body["shards"]),
                isolated=frozenset(body["isolated"]),
                tasks=body["tasks"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PyhpcError(
                f"round file {path} is missing or damaged ({type(error).__name__})",
                "Give the command again that submitted the run: what is committed is kept.",
            ) from None

    def share(self, task: int) -> Sequence[int]:
        """Shards of a task: every so many, so that shares cost about the same."""
        return self.shards[task :: self.tasks]


@dataclass(frozen=True)
class Share:
    """What one task of a round has to do, and in which order.

    Attributes
    ----------
    output : Output
        Output folder.
    round : Round
        The round.
    task : int
        Number of the task, from 0.
    restarts : int
        How often the scheduler has started this task again.
    """

    output: Output
    round: Round
    task: int
    restarts: int = 0

    def __iter__(self) -> Iterator[Trial]:
        """Give the attempts to make, each looked for when it is asked for."""
        yield from self._own()
        for step in range(1, self.round.tasks):
            yield from self._help(self.round.share((self.task + step) % self.round.tasks))

    def _own(self) -> Iterator[Trial]:
        # A former self had begun the shards at the front, and is gone. What was begun behind the
        # first untouched one was begun by others.
        again = self.restarts > 0
        for index in self.round.share(self.task):
            if self._is_done(index):
                continue
            if not self._is_begun(index):
                again = False
                yield self._trial(index, self.round.name)
            elif again:
                yield self._trial(index, f"{self.round.name}.{self.restarts}")

    def _help(self, share: Sequence[int]) -> Iterator[Trial]:
        end: int | None = len(share)
        while end is not None:
            while end and not self._is_touched(share[end - 1]):
                end -= 1
                yield self._trial(share[end], self.round.name)
            end = self._last_untouched(share, end)

    def _last_untouched(self, share: Sequence[int], end: int) -> int | None:
        """End of the untouched stretch before a position, None where there seems to be none.

        Its owner works forward and others backward, so it lies between; it is looked for by
        steps that double and then halve, since a look costs a call to the file system.
        """
        touched, step = end, 1
        while True:
            at = end - step
            if at < 0:
                return None
            if not self._is_touched(share[at]):
                break
            touched, step = at, 2 * step
        while touched - at > 1:
            middle = (at + touched) // 2
            if self._is_touched(share[middle]):
                touched = middle
            else:
                at = middle
        return at + 1

    def _trial(self, index: int, attempt: str) -> Trial:
        return Trial(index, attempt, isolated=index in self.round.isolated)

    def _is_done(self, index: int) -> bool:
        return self.output.manifest(index).exists()

    def _is_begun(self, index: int) -> bool:
        return self.output.attempt(index, self.round.name).exists()

    def _is_touched(self, index: int) -> bool:
        return self._is_begun(index) or self._is_done(index)
