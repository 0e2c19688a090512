"""Interleaved repetitions, medians, ratios with their spread, and errors beside the times.

Times are the processor time of the process (all its threads), which other work on the machine
hardly touches; where threads are compared it is the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

Clock = Callable[[], float]
Run = Callable[[], Any]

SHORTEST = 2e-3
"""Seconds: what takes less is called several times in a row, and the mean taken."""

TRIES = 10
"""How often a repetition is made again at most that was disturbed; the last one stands."""

PAUSE = 0.5
"""Seconds before the next of these tries."""


def undisturbed() -> bool:
    """Take every repetition as it comes."""
    return True


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes
    ----------
    quick : bool
        A few small shipped crystals, to see that everything runs and is right.
    seconds : float
        Time that the repetitions of one work may take together.
    repetitions : int
        Most repetitions of one work.
    longest : float
        Seconds that one call of a work may take; larger systems are left out by extrapolation.
    """

    quick: bool
    seconds: float
    repetitions: int
    longest: float


QUICK = Effort(quick=True, seconds=0.05, repetitions=3, longest=1.0)
FULL = Effort(quick=False, seconds=2.0, repetitions=9, longest=12.0)


@dataclass(frozen=True)
class Work:
    """One way to compute the same.

    Attributes
    ----------
    name : str
        Library, and the function where it has several.
    prepare : callable
        Gives the function that is timed; what it does before is not. Imports belong here.
    error : callable, optional
        Error of a result of that function against the reference.
    module : str, optional
        What has to be installed.
    rounds : int, default 1
        How many times over one call computes it; its time is divided by this.
    """

    name: str
    prepare: Callable[[], Run]
    error: Callable[[Any], float] | None = None
    module: str | None = None
    rounds: int = 1

    @property
    def is_installed(self) -> bool:
        """Whether it can be run."""
        return self.module is None or find_spec(self.module) is not None


@dataclass(frozen=True)
class System:
    """What is computed on.

    Attributes
    ----------
    data : str
        Name of the set or of the synthetic crystal.
    crystals, atoms : int
        Crystals, and sites of all of them together.
    """

    data: str
    crystals: int
    atoms: int


@dataclass(frozen=True)
class Row:
    """One comparison; times in seconds for the whole system.

    Attributes
    ----------
    part, what : str
        Part of the suite, and what is computed.
    data, crystals, atoms
        As of :class:`System`.
    ours, theirs : float or None
        Medians; None where not run.
    peer : str
        Who else.
    ratio, ratio_low, ratio_high : float or None
        Median and quartiles, over repetitions, of the peer's time over ours.
    runs : int
        Repetitions of the peer.
    error, peer_error : float or None
        Against the reference of the part, in `unit`.
    unit : str
        Of the errors.
    limit : float or None
        Our error may not exceed this.
    note : str
        Why something is missing.
    """

    part: str
    what: str
    data: str
    crystals: int
    atoms: int
    ours: float | None
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    runs: int = 0
    error: float | None = None
    peer_error: float | None = None
    unit: str = ""
    limit: float | None = None
    note: str = ""

    @property
    def is_violated(self) -> bool:
        """Whether our error exceeds its limit, or should be there and is not."""
        return self.limit is not None and not (self.error is not None and self.error <= self.limit)


@dataclass(frozen=True)
class Comparison:
    """One thing to compare on one system.

    Attributes
    ----------
    part, what, unit, limit
        As of :class:`Row`.
    clock : callable
        Gives the time in seconds.
    is_steady : callable
        Called after each repetition, which is made again where it says no.
    """

    part: str
    what: str
    unit: str = ""
    limit: float | None = None
    clock: Clock = time.process_time
    is_steady: Callable[[], bool] = undisturbed

    def rows(
        self, system: System, effort: Effort, ours: Work, peers: Sequence[Work]
    ) -> Iterator[Row]:
        """Time our work and that of the peers in turns; a row per peer, or one without."""
        installed = [peer for peer in peers if peer.is_installed]
        runs = [(work.name, work.prepare()) for work in (ours, *installed)]
        timed = interleave(runs, effort, self.clock, self.is_steady)
        for work in (ours, *installed):
            timed[work.name].times = [time / work.rounds for time in timed[work.name].times]
        mine = timed[ours.name]
        base = {
            "part": self.part,
            "what": self.what,
            "data": system.data,
            "crystals": system.crystals,
            "atoms": system.atoms,
            "ours": median(mine.times),
            "error": _error(ours, mine),
            "unit": self.unit,
            "limit": self.limit,
        }
        if not peers:
            yield Row(**base)
        for peer in peers:
            if peer.name not in timed:
                yield Row(**base, peer=peer.name, note=f"{peer.module} is not installed")
                continue
            theirs = timed[peer.name]
            if theirs.failure:
                yield Row(**base, peer=peer.name, note=theirs.failure)
                continue
            low, middle, high = ratios(mine.times, theirs.times)
            yield Row(
                **base,
                peer=peer.name,
                theirs=median(theirs.times),
                ratio=middle,
                ratio_low=low,
                ratio_high=high,
                runs=len(theirs.times),
                peer_error=_error(peer, theirs),
            )

    def left_out(self, system: System, peer: str, note: str) -> Row:
        """Row that says why a system was not run."""
        return Row(
            self.part, self.what, system.data, system.crystals, system.atoms, None, peer, note=note
        )


@dataclass
class Timed:
    """What came of running one work: its first result, its times, or why it failed."""

    result: Any
    times: list[float]
    failure: str = ""


def interleave(
    runs: Sequence[tuple[str, Run]],
    effort: Effort,
    clock: Clock = time.process_time,
    is_steady: Callable[[], bool] = undisturbed,
) -> dict[str, Timed]:
    """Run several works in turns.

    The first call of each is a warm-up that gives its result, and counts as its one repetition
    where it took longer than all repetitions may. The first work must not fail; of the others a
    failure is noted.
    """
    found: dict[str, Timed] = {}
    plans: dict[str, tuple[Run, int, int]] = {}
    for name, run in runs:
        start = clock()
        try:
            result = run()
        except Exception as error:
            if not found:
                raise
            found[name] = Timed(None, [], f"failed: {type(error).__name__}: {error}"[:200])
            continue
        first = clock() - start
        found[name] = Timed(result, [first] if first > effort.seconds else [])
        calls = max(1, int(SHORTEST / max(first, 1e-7)))
        wanted = int(effort.seconds / max(first * calls, 1e-7))
        plans[name] = run, calls, min(effort.repetitions, wanted)
    for repetition in range(max(wanted for _, _, wanted in plans.values())):
        due = {name: (run, n) for name, (run, n, wanted) in plans.items() if repetition < wanted}
        for attempt in range(TRIES):
            if attempt > 0:
                time.sleep(PAUSE)
            times = {name: _mean(run, calls, clock) for name, (run, calls) in due.items()}
            if is_steady():
                break
        for name, seconds in times.items():
            found[name].times.append(seconds)
    for name, (run, _, _) in plans.items():
        if not found[name].times:
            start = clock()
            run()
            found[name].times.append(clock() - start)
    return found


def _mean(run: Run, calls: int, clock: Clock) -> float:
    start = clock()
    for _ in range(calls):
        run()
    return (clock() - start) / calls


def median(times: Sequence[float]) -> float:
    """Median of at least one time."""
    return float(np.median(times))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of their time over ours.

    Repetitions that ran side by side are divided by one another; where one of the works ran less
    often, its median stands for the missing ones.
    """
    n = max(len(ours), len(theirs))
    mine = [*ours, *[median(ours)] * (n - len(ours))]
    other = [*theirs, *[median(theirs)] * (n - len(theirs))]
    low, middle, high = np.quantile(np.divide(other, mine), [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


class Ladder:
    """Which works can be afforded on the next larger system.

    Parameters
    ----------
    effort : Effort
        Bounds the time of one call.
    power : float
        Growth of the time with the number of atoms that is reckoned with, until two sizes show it.
    """

    def __init__(self, effort: Effort, power: float) -> None:
        self._longest = effort.longest
        self._power = power
        self._known: dict[str, list[tuple[int, float]]] = {}

    def note(self, name: str, atoms: int, seconds: float | None) -> None:
        """Remember how long a work took; None if it failed."""
        known = self._known.setdefault(name, [])
        if (atoms, seconds) not in known:
            known.append((atoms, float("inf") if seconds is None else seconds))

    def expected(self, name: str, atoms: int) -> float:
        """Seconds that a work will take; 0 for one that has not been run."""
        known = self._known.get(name, [])
        if not known:
            return 0.0
        last, seconds = known[-1]
        power = self._power
        if len(known) > 1 and np.isfinite(seconds):
            before, earlier = known[-2]
            power = max(1.0, float(np.log(seconds / earlier) / np.log(last / before)))
        return seconds * (atoms / last) ** power

    def affords(self, name: str, atoms: int) -> bool:
        """Tell whether a work is expected to end in time."""
        return self.expected(name, atoms) <= self._longest


def _error(work: Work, timed: Timed) -> float | None:
    return None if work.error is None else float(work.error(timed.result))
