"""Figures of a study, as PNG bytes that are equal for equal results."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.report.figures import new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pyhpc.models import Score, Target

BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#4a5568"
_COLOURS = ("#2b6cb0", "#dd6b20", "#2f855a", "#805ad5", "#b83280", "#718096")
_MARKERS = "osD^vP"
_FAR_ABOVE = 0.4
"""Scores that are all above it are drawn without the line at 0."""


def parity(
    target: Target,
    prediction: NDArray[np.float64],
    *,
    gate: NDArray[np.float64] | None,
    half_widths: NDArray[np.float64],
    scores: Mapping[str, Score],
    label: str,
    title: str,
) -> bytes:
    """Predictions against measurements; bounds are open triangles, the band is the interval."""
    figure = new_figure(4.6, 4.5)
    # There are many of these, and a layout that is solved for takes most of their time.
    figure.set_layout_engine(None)
    figure.subplots_adjust(left=0.13, right=0.97, bottom=0.12, top=0.94)
    axes = figure.subplots()
    low = float(min(target.values.min(), prediction.min())) - 0.5
    high = float(max(target.values.max(), prediction.max())) + 0.5
    ends = np.array([low, high])
    width = float(np.median(half_widths))
    if np.isfinite(width):
        axes.fill_between(ends, ends - width, ends + width, color=GREY, alpha=0.10, lw=0)
    axes.plot(ends, ends, color=GREY, lw=1, zorder=1)
    inside = np.zeros(len(prediction), dtype=np.bool_) if gate is None else gate > 0
    for chosen, colour, name in (
        (~inside, BLUE, "baseline" if gate is not None else "measured"),
        (inside, ORANGE, "with the specialist"),
    ):
        exact = chosen & ~target.censored
        if exact.any():
            axes.scatter(
                target.values[exact],
                prediction[exact],
                s=16,
                color=colour,
                alpha=0.65,
                edgecolors="white",
                linewidths=0.4,
                label=name,
            )
    bounds = target.censored
    if bounds.any():
        axes.scatter(
            target.values[bounds],
            prediction[bounds],
            s=22,
            marker="<",
            facecolors="none",
            edgecolors="#822727",
            linewidths=0.9,
            label="known as a bound",
        )
    r2, rmse, mae = (scores[name] for name in ("r2", "rmse", "mae"))
    axes.text(
        0.03,
        0.97,
        f"R$^2$ = {r2.value:.3f}  [{r2.lower:.2f}, {r2.upper:.2f}]\n"
        f"RMSE = {rmse.value:.3f}\nMAE = {mae.value:.3f}\nn = {len(prediction)}",
        transform=axes.transAxes,
        va="top",
        fontsize=9,
    )
    axes.set(xlim=ends, ylim=ends, xlabel=f"measured: {label}", ylabel="predicted", aspect="equal")
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.legend(loc="lower right", fontsize=8, frameon=False, handletextpad=0.2)
    _plain(axes)
    return png(figure, 130)


def target_distributions(
    raw: Target, target: Target, n_train: int, *, column: str, label: str, logarithmic: bool
) -> bytes:
    """Distributions of the target before and after the transform, training and test rows."""
    figure = new_figure(9.0, 3.4)
    before, after = figure.subplots(1, 2)
    bounds = target.censored
    for axes, values, name in (
        (before, raw.values, column),
        (after, target.values, label),
    ):
        bins = np.histogram_bin_edges(values, 30)
        train, bound = values[:n_train], bounds[:n_train]
        parts = [train[~bound], train[bound]] if bound.any() else [train]
        axes.hist(
            parts,
            bins=bins,
            stacked=True,
            color=[BLUE, "#9b2c2c"][: len(parts)],
            label=["training", "training, known as a bound"][: len(parts)],
        )
        if len(values) > n_train:
            axes.hist(
                values[n_train:], bins=bins, histtype="step", color=ORANGE, lw=1.6, label="test"
            )
        axes.set(xlabel=name, ylabel="rows")
        _plain(axes)
    if logarithmic:
        before.set_yscale("log")
    before.set_title("As stated", loc="left", fontsize=10, fontweight="bold")
    after.set_title("As modelled", loc="left", fontsize=10, fontweight="bold")
    after.legend(fontsize=8, frameon=False)
    return png(figure, 140)


def feature_coverage(shares: Mapping[str, tuple[float, ...]]) -> bytes:
    """Share of the training and test rows that have a value, by kind of feature."""
    names = list(shares)
    figure = new_figure(7.2, 0.9 + 0.34 * len(names))
    axes = figure.subplots()
    places = np.arange(len(names))
    series = (("training", BLUE), ("test", ORANGE))[: len(next(iter(shares.values())))]
    for k, (name, colour) in enumerate(series):
        values = [100 * shares[kind][k] for kind in names]
        bars = axes.barh(places + 0.2 - 0.4 * k, values, 0.36, color=colour, label=name)
        axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    axes.set(xlabel="rows with a value (%)", xlim=(0, 112), yticks=places, yticklabels=names)
    axes.invert_yaxis()
    axes.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    _plain(axes)
    return png(figure, 140)


def score_dots(
    scores: Mapping[str, Mapping[str, Score]], labels: Mapping[str, str], metric: str
) -> bytes:
    """Score of each experiment on each split, with intervals; the scale shows what splits do."""
    names = list(scores)
    splits = [split for split in labels if any(split in scores[name] for name in names)]
    figure = new_figure(8.6, 1.1 + 0.42 * len(names))
    axes = figure.subplots()
    step = 0.62 / max(len(splits), 1)
    for k, split in enumerate(splits):
        places, values, below, above = [], [], [], []
        for row, name in enumerate(names):
            score = scores[name].get(split)
            if score is not None:
                places.append(row - 0.31 + (k + 0.5) * step)
                values.append(score.value)
                below.append(max(score.value - score.lower, 0.0))
                above.append(max(score.upper - score.value, 0.0))
        axes.errorbar(
            values,
            places,
            xerr=[below, above],
            fmt=_MARKERS[k % len(_MARKERS)],
            color=_COLOURS[k % len(_COLOURS)],
            ms=4.5,
            lw=1.1,
            label=labels[split],
        )
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel=metric)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for row in range(1, len(names)):
        axes.axhline(row - 0.5, color="0.92", lw=0.8, zorder=0)
    left = axes.get_xlim()[0]
    # Zero is what the mean would get; where all are far above it, it would only hide differences.
    if left < _FAR_ABOVE:
        axes.axvline(0, color="0.6", lw=0.8)
        axes.set_xlim(left=max(axes.get_xlim()[0], -0.6))
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)
    _plain(axes)
    return png(figure, 140)


def interval_coverage(
    rows: Sequence[tuple[str, Mapping[str, float]]], labels: Mapping[str, str], level: float
) -> bytes:
    """Coverage of the intervals of some experiments by split, against what was asked for."""
    figure = new_figure(8.6, 1.2 + 0.36 * len(rows))
    axes = figure.subplots()
    splits = [split for split in labels if any(split in found for _, found in rows)]
    step = 0.56 / max(len(splits), 1)
    for k, split in enumerate(splits):
        here = [row for row, (_, found) in enumerate(rows) if split in found]
        axes.scatter(
            [100 * rows[row][1][split] for row in here],
            [row - 0.28 + (k + 0.5) * step for row in here],
            marker=_MARKERS[k % len(_MARKERS)],
            color=_COLOURS[k % len(_COLOURS)],
            s=24,
            label=labels[split],
        )
    axes.axvline(100 * level, color=GREY, lw=1, ls="--")
    axes.set(yticks=range(len(rows)), yticklabels=[name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"intervals that hold the truth (%); asked for: {100 * level:.0f}")
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)
    _plain(axes)
    return png(figure, 140)


def calibration(
    levels: Sequence[float],
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> bytes:
    """Coverage against level, raw and calibrated, by experiment."""
    figure = new_figure(5.4, 4.8)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, zorder=1)
    for k, (name, (raw, calibrated)) in enumerate(curves.items()):
        colour = _COLOURS[k % len(_COLOURS)]
        axes.plot(levels, raw, color=colour, lw=1.2, ls="--")
        axes.plot(
            levels,
            calibrated,
            color=colour,
            lw=1.2,
            marker=_MARKERS[k % len(_MARKERS)],
            ms=4,
            label=name,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="level asked for", ylabel="share held")
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)
    return png(figure, 140)


def sparsification(
    kept: Sequence[float],
    curves: Mapping[str, NDArray[np.float64]],
    best: Mapping[str, NDArray[np.float64]],
) -> bytes:
    """Mean error of the rows that remain, by experiment, and the least that there could be."""
    figure = new_figure(5.8, 4.4)
    axes = figure.subplots()
    aside = [100 * (1 - share) for share in kept]
    for k, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[k % len(_COLOURS)]
        axes.plot(aside, curve, color=colour, lw=1.4, label=name)
        axes.plot(aside, best[name], color=colour, lw=1, ls=":")
    axes.set(xlabel="rows set aside (%)", ylabel="MAE of the others", xlim=(0, 90))
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)
    return png(figure, 140)


def importance(
    alone: Mapping[str, float], together: Mapping[str, float], shap: Mapping[str, float]
) -> bytes:
    """Most important features: shuffled alone, in clusters, and by mean absolute SHAP value."""
    from matplotlib.ticker import MaxNLocator

    panels = [
        ("Shuffled alone", alone, "loss of MAE"),
        ("Shuffled with what correlates", together, "loss of MAE"),
        ("SHAP", shap, "mean |SHAP value|"),
    ]
    panels = [panel for panel in panels if panel[1]]
    figure = new_figure(4.4 * len(panels), 4.6)
    for axes, (title, values, what), colour in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, _COLOURS, strict=False
    ):
        top = list(values.items())[:15]
        axes.barh(range(len(top)), [value for _, value in top], color=colour, height=0.7)
        axes.set(yticks=range(len(top)), xlabel=what)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_yticklabels([name for name, _ in top], fontsize=7.5)
        axes.invert_yaxis()
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        _plain(axes)
    return png(figure, 140)


def png(figure: Figure, dpi: int) -> bytes:
    """Bytes of a figure, without the version of the library that drew it."""
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=dpi, metadata={"Software": None})
    return sink.getvalue()


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", alpha=0.2)
