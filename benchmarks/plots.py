"""Plots of the results, as PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.features import STAGE, WHOLE
from pyhpc.report.figures import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.harness import Row
    from benchmarks.results import Results

OURS = "pyhpc"
COLORS = {
    OURS: "#c1272d",
    "vesin": "#0072b2",
    "matscipy": "#009e73",
    "ASE": "#e69f00",
    "pymatgen": "#56607a",
    "EwaldSummation": "#56607a",
    "torch-pme": "#e69f00",
    "freud (voro++)": "#0072b2",
}
MARKERS = dict(zip(COLORS, "osD^vv^s", strict=True))
CURVES = (
    ("neighbors", "NaCl", "neighbour list, 6 A"),
    ("ewald", "NaCl", "Ewald site energies, 1e-8"),
    ("voronoi", "random points", "Voronoi cells"),
)


def write(folder: Path, results: Results) -> None:
    """Draw what the results hold the data for."""
    folder.mkdir(parents=True, exist_ok=True)
    _time_per_atom(folder / "time_per_atom.png", results)
    _ratios(folder / "ratios.png", results)
    _accuracy(folder / "ewald_accuracy.png", results.rows("accuracy"))
    _stages(folder / "record_time.png", results.rows("features"))


def _time_per_atom(path: Path, results: Results) -> None:
    """Time per atom over the size of the crystal, a line for each library."""
    figure = new_figure(13.0, 4.6)
    axes = figure.subplots(1, len(CURVES))
    for panel, (part, system, title) in zip(axes, CURVES, strict=True):
        rows = [row for row in results.rows(part) if row.data == system and row.ours]
        rows = [row for row in rows if row.what.startswith(("neigh", "site", "Voronoi cells"))]
        lines: dict[str, dict[int, float]] = {OURS: {row.atoms: row.ours for row in rows}}
        for row in rows:
            if row.theirs is not None:
                lines.setdefault(row.peer, {})[row.atoms] = row.theirs
        for name, points in lines.items():
            atoms = np.array(sorted(points))
            times = np.array([points[n] for n in atoms]) / atoms * 1e6
            panel.loglog(
                atoms,
                times,
                marker=MARKERS.get(name, "x"),
                color=COLORS.get(name),
                linewidth=2.4 if name == OURS else 1.4,
                markersize=6,
                label=name,
                zorder=3 if name == OURS else 2,
            )
        panel.set_title(f"{title} ({system})", fontsize=11)
        panel.set_xlabel("atoms in the cell")
        panel.legend(frameon=False, fontsize=9)
        _grid(panel)
    axes[0].set_ylabel("time per atom, one thread (us)")
    figure.savefig(path, dpi=130)


def _ratios(path: Path, results: Results) -> None:
    """How many times faster, a bar per peer and set, with quartiles."""
    parts = (
        "features",
        "reading",
        "neighbors",
        "ewald",
        "voronoi",
        "valence",
        "bond_valence",
        "symmetry",
    )
    rows = [row for row in results.rows(*parts) if row.ratio is not None]
    kinds: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        kinds.setdefault((row.what, row.peer), []).append(row)
    figure = new_figure(9.5, 0.36 * len(kinds) + 1.6)
    panel = figure.subplots()
    systems = list(dict.fromkeys(row.data for row in rows))
    palette = ["#56607a", "#0072b2", "#c1272d", "#009e73", "#e69f00", "#cc79a7"]
    colors = dict(zip(systems, palette, strict=False))
    labels = []
    for position, ((what, peer), group) in enumerate(kinds.items()):
        labels.append(f"{what}: {peer}")
        panel.plot(
            [min(row.ratio for row in group), max(row.ratio for row in group)],
            [position] * 2,
            color="#c8ccd4",
            linewidth=3,
            solid_capstyle="round",
            zorder=1,
        )
        for row in group:
            size = 22 + 14 * np.log10(max(row.atoms / row.crystals, 1))
            color = colors.get(row.data, "black")
            panel.scatter(row.ratio, position, s=size, color=color, zorder=2, linewidths=0)
            panel.plot(
                [row.ratio_low, row.ratio_high], [position] * 2, color=color, linewidth=1, zorder=2
            )
    for system in systems:
        panel.scatter([], [], s=36, color=colors.get(system, "black"), label=system)
    panel.axvline(1.0, color="black", linewidth=1)
    panel.set_xscale("log")
    panel.set_yticks(range(len(labels)), labels, fontsize=9)
    panel.set_ylim(len(labels) - 0.4, -0.6)
    panel.set_xlabel("time of the peer over that of pyhpc, one thread")
    panel.set_title("How many times faster (larger dots: larger crystals)", fontsize=11)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=len(systems))
    panel.grid(axis="x", which="both", color="#e6e8ee", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=130)


def _accuracy(path: Path, rows: Sequence[Row]) -> None:
    """Error that is reached against the time it takes."""
    figure = new_figure(7.0, 5.0)
    panel = figure.subplots()
    lines: dict[str, dict[float, tuple[float, float]]] = {}
    for row in rows:
        if row.ours is not None and row.error is not None:
            lines.setdefault(OURS, {})[row.limit] = row.ours, row.error
        if row.theirs is not None and row.peer_error is not None:
            lines.setdefault(row.peer, {})[row.limit] = row.theirs, row.peer_error
    for name, points in lines.items():
        times, errors = np.array([points[asked] for asked in sorted(points)]).T
        color, marker = COLORS.get(name), MARKERS.get(name, "x")
        panel.loglog(times, errors, marker=marker, color=color, label=name, linewidth=1.6)
        if name == OURS:
            asked = sorted(points)
            panel.loglog(
                times, asked, ":", color=color, linewidth=1.2, label="pyhpc: what was asked for"
            )
    if rows:
        panel.set_title(f"Ewald site energies, {rows[0].data}, {rows[0].atoms} atoms", fontsize=11)
    panel.set_xlabel("time, one thread (s)")
    panel.set_ylabel("largest error of a site energy, relative")
    panel.legend(frameon=False, fontsize=9)
    _grid(panel)
    figure.savefig(path, dpi=130)


def _stages(path: Path, rows: Sequence[Row]) -> None:
    """Where the time of a record goes, from CIF text to a committed part."""
    stages = [row for row in rows if row.what.startswith(STAGE)]
    sets = list(dict.fromkeys(row.data for row in stages))
    names = list(dict.fromkeys(row.what.removeprefix(STAGE) for row in stages))
    largest = {n: max(r.ours / r.crystals for r in stages if r.what == STAGE + n) for n in names}
    names.sort(key=largest.__getitem__, reverse=True)
    figure = new_figure(9.0, 0.9 * len(sets) + 1.9)
    panel = figure.subplots()
    colors = _shades(len(names))
    left = np.zeros(len(sets))
    for name, color in zip(names, colors, strict=True):
        by_set = {r.data: 1e3 * r.ours / r.crystals for r in stages if r.what == STAGE + name}
        widths = np.array([by_set.get(one, 0.0) for one in sets])
        panel.barh(
            sets, widths, 0.6, left=left, color=color, label=name, edgecolor="white", linewidth=0.5
        )
        for y, (start, width) in enumerate(zip(left, widths, strict=True)):
            if width > 0.07 * left.max() + 0.05:
                panel.text(
                    start + width / 2, y, f"{width:.2f}", ha="center", va="center", fontsize=8
                )
        left += widths
    whole = {row.data: row for row in rows if row.what == WHOLE}
    for y, name in enumerate(sets):
        rate = whole[name].crystals / whole[name].ours
        panel.text(left[y], y, f"  {rate:,.0f} records/s", va="center", fontsize=9)
    panel.set_xlim(0, 1.22 * left.max() if len(left) else 1)
    panel.invert_yaxis()
    panel.set_xlabel(
        "ms per record, CIF text to Parquet part, one core (rate: per second of core time)"
    )
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=7)
    panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def _shades(n: int) -> list[tuple[float, ...]]:
    from matplotlib import colormaps

    palette = colormaps["tab20"]
    return [palette(k % 20) for k in range(n)]


def _grid(panel: Axes) -> None:
    panel.grid(which="major", color="#dfe2ea", linewidth=0.7)
    panel.grid(which="minor", color="#eff1f6", linewidth=0.4)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
