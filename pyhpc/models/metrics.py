"""How good predictions are, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pyhpc.models.targets import Target

METRICS = ("r2", "rmse", "mae", "censored_mae")
"""Names of the metrics: the first three take bounds for measurements, the last knows them."""


@dataclass(frozen=True, slots=True)
class Score:
    """A metric with its interval.

    Attributes
    ----------
    value, lower, upper : float
        The figure, and the ends of its interval.
    """

    value: float
    lower: float
    upper: float


def metrics(target: Target, prediction: NDArray[np.float64]) -> dict[str, float]:
    """Compute all :data:`METRICS`.

    Parameters
    ----------
    target : Target
        What is known.
    prediction : array, shape (n_rows,)
        Of the same rows.

    Returns
    -------
    dict of str to float
        ``r2`` (coefficient of determination; NaN for a constant target), ``rmse``, ``mae`` on
        the values, and ``censored_mae``: a bound's error is its distance from the prediction on
        the closed side, and 0 on the open one.
    """
    counted = _contributions(target, prediction).sum(axis=1, keepdims=True)
    return {name: float(value[0]) for name, value in _from_sums(counted).items()}


def bootstrap(
    target: Target,
    prediction: NDArray[np.float64],
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
    n_samples: int = 2000,
    seed: int = 0,
) -> dict[str, Score]:
    """Compute all metrics with percentile intervals of a bootstrap over groups.

    Rows of one group (one paper, one family) are not independent, so groups are drawn, not rows:
    Field & Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x.

    Parameters
    ----------
    target : Target
        What is known.
    prediction : array, shape (n_rows,)
        Of the same rows.
    groups : array, shape (n_rows,), optional
        Group of each row; without it, each row is its own.
    level : float
        Of the intervals.
    n_samples, seed : int
        Number of samples and their seed.

    Returns
    -------
    dict of str to Score
        By metric.
    """
    rows = _contributions(target, prediction)
    labels = np.arange(len(target)) if groups is None else np.asarray(groups)
    members = np.unique(labels, return_inverse=True)[1]
    n_groups = int(members.max()) + 1
    sums = np.stack([np.bincount(members, weights=row, minlength=n_groups) for row in rows])
    generator = np.random.default_rng(seed)
    drawn = np.empty((len(sums), n_samples))
    for k in range(n_samples):
        times = np.bincount(generator.integers(n_groups, size=n_groups), minlength=n_groups)
        drawn[:, k] = sums @ times
    samples = _from_sums(drawn)
    ends = [(1 - level) / 2, (1 + level) / 2]
    result = {}
    for name, value in metrics(target, prediction).items():
        finite = samples[name][np.isfinite(samples[name])]
        lower, upper = np.quantile(finite, ends) if len(finite) else (np.nan, np.nan)
        result[name] = Score(value, float(lower), float(upper))
    return result


def _contributions(target: Target, prediction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what each row adds to the sums that metrics are made of, shape (6, n_rows)."""
    errors = target.values - prediction
    # Around a fixed origin, lest the variance drown in the mean's square.
    values = target.values - target.values.mean()
    return np.stack(
        [
            np.ones(len(target)),
            values,
            values**2,
            errors**2,
            np.abs(errors),
            target.distances(prediction),
        ]
    )


def _from_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    count, total, squares, squared_errors, absolute_errors, distances = sums
    deviations = squares - total**2 / count
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(deviations > 0, 1 - squared_errors / deviations, np.nan)
    return {
        "r2": r2,
        "rmse": np.sqrt(squared_errors / count),
        "mae": absolute_errors / count,
        "censored_mae": distances / count,
    }
