"""Figures of a diagnosis, as PNG bytes that are equal for equal diagnoses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.diagnosis.statistics import quantile_bins
from pyhpc.report.figures import new_figure
from pyhpc.report.study_figures import BLUE, GREY, ORANGE, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pyhpc.diagnosis.neighbours import Neighbours
    from pyhpc.diagnosis.sample import Sample

_MOST_POINTS = 20_000


def parity(sample: Sample) -> bytes:
    """Predictions against the truth, and how both are distributed."""
    figure = new_figure(9.6, 4.4)
    left, right = figure.subplots(1, 2)
    both = np.concatenate([sample.truth, sample.prediction])
    margin = 0.04 * np.ptp(both)
    ends = np.array([both.min() - margin, both.max() + margin])
    left.plot(ends, ends, color=GREY, lw=1, zorder=1)
    left.axhline(sample.truth.mean(), color=ORANGE, lw=1, ls="--", label="mean of the truth")
    _points(left, sample.truth, sample.prediction)
    left.set(xlim=ends, ylim=ends, xlabel="truth", ylabel="prediction", aspect="equal")
    left.legend(fontsize=8, frameon=False, loc="upper left")
    bins = np.linspace(ends[0], ends[1], 41)
    right.hist(sample.truth, bins=bins, color=GREY, alpha=0.35, label="truth")
    right.hist(
        sample.prediction, bins=bins, histtype="step", color=BLUE, lw=1.6, label="prediction"
    )
    right.set(xlabel="value", ylabel="rows")
    right.legend(fontsize=8, frameon=False)
    return _finish(figure)


def by_range(sample: Sample) -> bytes:
    """Mean error in ranges of the prediction, and of the truth."""
    figure = new_figure(9.6, 3.8)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, values, name in (
        (panels[0], sample.prediction, "prediction"),
        (panels[1], sample.truth, "truth"),
    ):
        _points(axes, values, sample.residual, alpha=0.25)
        _binned(axes, values, sample.residual)
        axes.set_xlabel(name)
    panels[0].set_ylabel("prediction less truth")
    panels[0].set_title("By prediction: should be flat", loc="left", fontsize=10)
    panels[1].set_title("By truth: falls for every model", loc="left", fontsize=10)
    return _finish(figure)


def by_feature(sample: Sample, feature: str) -> bytes:
    """Errors against one feature."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    values = sample.features[feature]
    present = np.isfinite(values)
    _points(axes, values[present], sample.residual[present], alpha=0.35)
    _binned(axes, values[present], sample.residual[present])
    axes.set(xlabel=feature, ylabel="prediction less truth")
    return _finish(figure)


def by_distance(sample: Sample, neighbours: Neighbours) -> bytes:
    """Size of the errors against the distance to the nearest training row."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    error = np.abs(sample.residual[neighbours.rows])
    _points(axes, neighbours.distance, error, alpha=0.35)
    _binned(axes, neighbours.distance, error)
    axes.set(
        xlabel="distance to the nearest training row (1: two rows at random)",
        ylabel="absolute error",
    )
    return _finish(figure)


def _points(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], alpha: float = 0.5) -> None:
    step = -(-len(x) // _MOST_POINTS)
    axes.scatter(x[::step], y[::step], s=10, color=BLUE, alpha=alpha, lw=0, zorder=2)


def _binned(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Means in bins, with 95 % intervals, on a line at 0."""
    bins = quantile_bins(x)
    axes.axhline(0, color=GREY, lw=0.8, zorder=1)
    axes.errorbar(
        bins.mean(x),
        bins.mean(y),
        yerr=1.96 * np.nan_to_num(bins.standard_error(y)),
        fmt="o-",
        color=ORANGE,
        ms=5,
        lw=1.4,
        zorder=3,
    )


def _finish(figure: Figure) -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.2)
    return png(figure, 130)
