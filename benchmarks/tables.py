"""Results as Markdown, written between markers of the README."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.coverage import Count
from benchmarks.features import STAGE, WHOLE
from benchmarks.harness import Row
from benchmarks.limits import Limit
from benchmarks.memory import MIB, Memory
from benchmarks.parity import Deviation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.results import AnyRow, Results

BEGIN = "<!-- measured: begin; written by python -m benchmarks -->"
END = "<!-- measured: end -->"

COMPARED = (
    ("features", "Whole featurization"),
    ("reading", "Reading"),
    ("neighbors", "Neighbour lists"),
    ("ewald", "Ewald sums"),
    ("voronoi", "Voronoi cells"),
    ("valence", "Oxidation states"),
    ("bond_valence", "Bond-valence sums"),
    ("symmetry", "Symmetry"),
    ("accuracy", "Ewald sums: error against time"),
    ("threads", "Threads"),
)
HEADINGS: dict[type, Sequence[str]] = {
    Row: (
        "what",
        "system",
        "crystals",
        "atoms",
        "pyhpc",
        "peer",
        "its time",
        "ratio",
        "error",
        "its error",
        "error is",
    ),
    Memory: ("what", "system", "atoms", "time", "output, MiB", "beyond, MiB", "beyond, bytes/atom"),
    Deviation: ("what", "peer", "system", "compared", "worst", "median", "unit", "differing"),
    Count: ("what", ""),
    Limit: ("what", "system", "atoms", "time", "Mflop", "MB", "by", "where the rest goes"),
}


def line(row: AnyRow) -> str:
    """One row as a line of a Markdown table."""
    return "| " + " | ".join(_cells(row)) + " |"


def write(readme: Path, results: Results) -> None:
    """Put the tables between the markers of a README, which is made if it is not there."""
    text = readme.read_text() if readme.exists() else f"{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(before + BEGIN + "\n" + "\n".join(_lines(results)) + "\n" + END + after)


def seconds(value: float | None) -> str:
    """Time with a unit, three digits."""
    if value is None:
        return ""
    units = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6))
    unit, size = next((u for u in units if value >= u[1]), units[-1])
    return f"{value / size:.3g} {unit}"


def _lines(results: Results) -> Iterable[str]:
    yield from _machine(results)
    for part, title in COMPARED:
        rows = results.rows(part)
        if rows:
            yield from _heading(results, part, title)
            yield from _table([row for row in rows if not row.what.startswith(STAGE)])
        if part == "features" and rows:
            yield from _stages(rows)
    if "limits" in results.parts:
        yield from _limits(results.parts["limits"], results.peak)
    for part, title in (
        ("memory", "Memory"),
        ("parity", "Parity"),
        ("coverage", "Coverage"),
        ("executors", "What a run costs beside its kernels"),
    ):
        if part in results.parts:
            yield from _heading(results, part, title)
            yield from _table(results.parts[part])


def _heading(results: Results, part: str, title: str) -> Iterable[str]:
    yield from ("", f"### {title}", "")
    if part in results.elsewhere:
        yield from (f"Measured on another machine: {results.elsewhere[part]}.", "")


def _machine(results: Results) -> Iterable[str]:
    facts = "; ".join(f"{key}: {value}" for key, value in results.machine.items() if value)
    yield from ("", f"Machine: {facts}.", "")
    peaks = "; ".join(f"{key}: {value:g}" for key, value in results.peak.items())
    yield from (
        (f"Peak rates in the same run, of one core unless said: {peaks}.", "") if peaks else ()
    )
    peers = ", ".join(f"{k} {v or '(not installed)'}" for k, v in results.versions.items())
    yield f"Peers: {peers}."


def _table(rows: Sequence[AnyRow]) -> Iterable[str]:
    headings = HEADINGS[type(rows[0])]
    yield "| " + " | ".join(headings) + " |"
    yield "| " + " | ".join(["---"] * len(headings)) + " |"
    yield from map(line, rows)


def _stages(rows: Sequence[Row]) -> Iterable[str]:
    """Where the time of a record goes."""
    whole = {row.data: row for row in rows if row.what == WHOLE}
    stages = [row for row in rows if row.what.startswith(STAGE)]
    names = list(dict.fromkeys(row.what.removeprefix(STAGE) for row in stages))
    times = {(row.data, row.what.removeprefix(STAGE)): row.ours or 0.0 for row in stages}
    yield from (
        "",
        "Where the time of a record goes (wall clock, the least of the repetitions):",
        "",
    )
    yield "| stage | " + " | ".join(whole) + " |"
    yield "| --- |" + " --- |" * len(whole)
    for name in names:
        cells = []
        for data, row in whole.items():
            total = sum(value for (other, _), value in times.items() if other == data)
            each = times.get((data, name), 0.0)
            cells.append(f"{seconds(each / row.crystals)}, {each / total:.0%}")
        yield f"| {name} | " + " | ".join(cells) + " |"
    rates = [f"{row.crystals / row.ours:,.0f}" for row in whole.values() if row.ours]
    yield "| records per second of core time | " + " | ".join(rates) + " |"


def _limits(rows: Sequence[Limit], peak: Mapping[str, float]) -> Iterable[str]:
    """How near the kernels come to the peak rates."""
    yield from (
        "",
        "### Limits of the machine",
        "",
        "What each kernel can't do without, the time that this would take at the peak rates (of "
        "operations or bytes, whichever is longer), and its share of the measured time:",
        "",
    )
    head, note = HEADINGS[Limit][:-1], HEADINGS[Limit][-1]
    yield "| " + " | ".join((*head, "at peak", "share", note)) + " |"
    yield "| " + " | ".join(["---"] * (len(head) + 3)) + " |"
    for row in rows:
        least = row.least(peak)
        cells = ("", "") if least is None else (seconds(least), f"{least / row.seconds:.0%}")
        *others, last = _cells(row)
        yield "| " + " | ".join((*others, *cells, last)) + " |"


def _cells(row: AnyRow) -> Sequence[str]:
    if isinstance(row, Memory):
        return (
            row.what,
            row.data,
            f"{row.atoms:,}",
            seconds(row.seconds) if row.seconds else "",
            f"{row.output / MIB:.1f}",
            f"{row.working / MIB:.1f}",
            f"{row.working / row.atoms:.0f}" if row.output else "",
        )
    if isinstance(row, Deviation):
        worst, median = f"{row.worst:.1e}", f"{row.median:.1e}"
        compared = f"{row.compared}"
        return row.what, row.peer, row.data, compared, worst, median, row.unit, f"{row.differing}"
    if isinstance(row, Limit):
        by = row.way.removesuffix(", GB/s")
        flop, moved = f"{row.flop * 1e-6:.3g}", f"{row.bytes * 1e-6:.3g}"
        time = seconds(row.seconds)
        return row.what, row.system, f"{row.atoms:,}", time, flop, moved, by, row.note
    if isinstance(row, Count):
        return row.what, f"{row.value:.4g}"
    n = max(row.crystals, 1)
    return (
        row.what,
        row.data,
        f"{row.crystals:,}",
        f"{row.atoms / n:,.4g}" if row.atoms / n < 1e4 else f"{row.atoms / n:,.0f}",
        "" if row.ours is None else seconds(row.ours / n),
        row.peer,
        row.note if row.theirs is None else seconds(row.theirs / n),
        _ratio(row),
        _error(row.error),
        _error(row.peer_error),
        row.unit,
    )


def _ratio(row: Row) -> str:
    if row.ratio is None or row.ratio_low is None or row.ratio_high is None:
        return ""
    digits = 3 if row.ratio < 1000 else 4
    return f"{row.ratio:.{digits}g} ({row.ratio_low:.2g} to {row.ratio_high:.2g})"


def _error(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"
