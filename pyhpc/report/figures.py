"""Figures from tables of features; matplotlib is imported on use (extra ``ml``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

_MARKERS = "osD^vP*Xph<>"

_LABEL_OFFSETS = [
    (reach * dx, reach * dy)
    for reach in (9, 16, 26, 40)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
]
"""Where a label may stand, in points from its point, the best place first."""


def new_figure(width: float, height: float) -> Figure:
    """Figure in inches that needs no display.

    Raises
    ------
    PyhpcError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        remedy = "Install it with: pip install 'pyhpc-crystals[ml]'"
        raise PyhpcError("figures need matplotlib, which is not installed", remedy) from None
    return Figure(figsize=(width, height), layout="constrained")


def scatter_by_family(
    path: Path,
    x: ArrayLike,
    y: ArrayLike,
    families: Sequence[str],
    labels: Sequence[str],
    sizes: ArrayLike,
    *,
    x_label: str,
    y_label: str,
    title: str,
    size_note: str,
) -> None:
    """Write a scatter plot as PNG, one colour and marker per family, labels beside the points.

    A label that finds no free place near its point is left out.

    Parameters
    ----------
    path : Path
        PNG to write.
    x, y : array, shape (n,)
        Coordinates of the points.
    families : sequence of str, length n
        Group of each point; the legend lists them by size.
    labels : sequence of str, length n
        Text beside each point, empty for none.
    sizes : array, shape (n,)
        Marker areas in points squared.
    x_label, y_label, title : str
        Texts of the axes and above them.
    size_note : str
        What the marker size means, written below the legend's title.
    """
    x, y, sizes = (np.asarray(values, dtype=float) for values in (x, y, sizes))
    figure = new_figure(11.0, 6.5)
    axes = figure.subplots()
    names, counts = np.unique(np.asarray(families), return_counts=True)
    members = np.asarray(families)
    for k, name in enumerate(names[np.argsort(-counts, kind="stable")]):
        chosen = members == name
        axes.scatter(
            x[chosen],
            y[chosen],
            s=sizes[chosen],
            marker=_MARKERS[k % len(_MARKERS)],
            color=f"C{k % 10}",
            alpha=0.8,
            edgecolors="white",
            linewidths=0.7,
            label=name,
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.08)
    figure.legend(
        *axes.get_legend_handles_labels(),
        title=f"family\n({size_note})",
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        title_fontsize=9,
    )
    _label_points(figure, axes, x, y, labels)
    figure.savefig(path, dpi=160)


def _label_points(
    figure: Figure, axes: Axes, x: np.ndarray, y: np.ndarray, labels: Sequence[str]
) -> None:
    """Write labels beside points, each where it covers no point and no other label, if it can."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    points = axes.transData.transform(np.column_stack([x, y]))
    placed = [Bbox.from_extents(u - 6, v - 6, u + 6, v + 6) for u, v in points]
    for k in np.argsort(-y, kind="stable"):
        if not labels[k]:
            continue
        for dx, dy in _LABEL_OFFSETS:
            text = axes.annotate(
                labels[k],
                (x[k], y[k]),
                xytext=(dx, dy),
                textcoords="offset points",
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                va="center",
                fontsize=8,
                color="0.25",
                arrowprops={"arrowstyle": "-", "color": "0.7", "lw": 0.5, "shrinkA": 0},
            )
            extent = text.get_window_extent()
            others = (box for j, box in enumerate(placed) if j != k)
            if not any(extent.overlaps(box) for box in others):
                break
            text.remove()
        else:
            continue
        placed.append(extent)
