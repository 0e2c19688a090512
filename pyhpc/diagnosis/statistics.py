"""Figures with intervals, bins, and tests that many features may be put to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.models.metrics import Score
from pyhpc.models.optional import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLES = 1000
_MOST_GROUPS = 10_000
_ROWS_PER_BIN = 25
_MOST_BINS = 10


def agreement(
    truth: NDArray[np.float64], prediction: NDArray[np.float64], seed: int
) -> dict[str, Score]:
    """How predictions go with the truth, with 95 % intervals of a bootstrap over rows.

    Parameters
    ----------
    truth, prediction : array, shape (n_rows,)
        The truth must vary.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of str to Score
        ``r2``; ``rmse`` and ``bias`` (mean of prediction less truth) in units of the truth;
        ``bias_share``, the bias's share of the mean squared error; ``sd_ratio``, spread of the
        predictions over that of the truth; ``correlation``; ``slope`` of the prediction on the
        truth; ``calibration_slope`` of the truth on the prediction. NaN where predictions do not
        vary.
    """
    centre, scale = truth.mean(), truth.std()
    t, p = (truth - centre) / scale, (prediction - centre) / scale
    # Rounding errors are no spread.
    if p.std() < 1e-9 * max(1.0, float(np.abs(p).max())):
        p = np.full_like(p, p.mean())
    rows = np.stack([np.ones(len(t)), t, p, t * t, p * p, t * p])
    # Beyond so many rows, groups of them are drawn: the time no longer grows with their number.
    n_groups = min(len(t), _MOST_GROUPS)
    members = np.arange(len(t)) % n_groups
    sums = np.stack([np.bincount(members, weights=row, minlength=n_groups) for row in rows])
    generator = np.random.default_rng(seed)
    drawn = np.empty((len(sums), _SAMPLES))
    for k in range(_SAMPLES):
        times = np.bincount(generator.integers(n_groups, size=n_groups), minlength=n_groups)
        drawn[:, k] = sums @ times
    values, samples = _moments(rows.sum(axis=1, keepdims=True)), _moments(drawn)
    result = {}
    for name, value in values.items():
        unit = scale if name in ("rmse", "bias") else 1.0
        finite = samples[name][np.isfinite(samples[name])]
        lower, upper = np.quantile(finite, [0.025, 0.975]) if len(finite) else (np.nan, np.nan)
        result[name] = Score(*(float(unit * x) for x in (value[0], lower, upper)))
    return result


def _moments(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    count, t, p, tt, pp, tp = sums
    var_t, var_p, both = (
        tt / count - (t / count) ** 2,
        pp / count - (p / count) ** 2,
        tp / count - t * p / count**2,
    )
    # What cancels to less than this is a constant.
    var_p = np.where(var_p > 1e-14 * np.maximum(pp / count, 1e-300), var_p, 0.0)
    squared_error, bias = (pp - 2 * tp + tt) / count, (p - t) / count
    with np.errstate(divide="ignore", invalid="ignore"):
        varies = np.where(var_p > 0, 1.0, np.nan)
        return {
            "r2": 1 - squared_error / var_t,
            "rmse": np.sqrt(np.maximum(squared_error, 0.0)),
            "bias": bias,
            "bias_share": np.where(squared_error > 0, bias**2 / squared_error, 0.0),
            "sd_ratio": np.sqrt(var_p / var_t),
            "correlation": varies * both / np.sqrt(var_p * var_t),
            "slope": both / var_t,
            "calibration_slope": varies * both / var_p,
        }


def r2(truth: NDArray[np.float64], prediction: NDArray[np.float64]) -> float:
    """Coefficient of determination; NaN for a constant truth."""
    variance = float(np.var(truth))
    return 1 - float(np.mean((prediction - truth) ** 2)) / variance if variance > 0 else np.nan


@dataclass(frozen=True, eq=False)
class Bins:
    """Rows in bins of about equal numbers.

    Attributes
    ----------
    member : array, shape (n_rows,), int64
        Bin of each row.
    count : int
        Number of bins.
    """

    member: NDArray[np.int64]
    count: int

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of the values in each bin."""
        sums = np.bincount(self.member, weights=values, minlength=self.count)
        return np.asarray(sums / self.sizes, dtype=np.float64)

    def standard_error(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the standard error of the mean in each bin; NaN for a bin of one row."""
        deviations = (values - self.mean(values)[self.member]) ** 2
        sums = np.bincount(self.member, weights=deviations, minlength=self.count)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.sqrt(sums / (self.sizes - 1) / self.sizes), dtype=np.float64)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of rows in each bin."""
        return np.bincount(self.member, minlength=self.count)


def quantile_bins(values: NDArray[np.float64]) -> Bins:
    """Cut rows at quantiles; equal values stay together, missing ones are a bin of their own."""
    present = np.isfinite(values)
    wanted = int(np.clip(present.sum() // _ROWS_PER_BIN, 1, _MOST_BINS))
    edges = np.unique(np.quantile(values[present], np.linspace(0, 1, wanted + 1)[1:-1]))
    member = np.where(present, np.searchsorted(edges, values, side="left"), len(edges) + 1)
    # Edges that stand on the largest value, or no missing ones, leave empty bins.
    used, member = np.unique(member, return_inverse=True)
    return Bins(member.astype(np.int64), len(used))


def explained_share(values: NDArray[np.float64], bins: Bins) -> float:
    """Share of the variance that lies between bins, less what chance puts there; 0 to 1."""
    n, k = len(values), bins.count
    if k < 2 or n <= k:
        return 0.0
    share = _between(values, bins)
    return max(0.0, 1 - (1 - share) * (n - 1) / (n - k))


def bins_differ(ranks: NDArray[np.float64], bins: Bins) -> float:
    """p-value of the Kruskal-Wallis test: do the ranks differ from bin to bin."""
    if bins.count < 2:
        return 1.0
    statistic = (len(ranks) - 1) * _between(ranks, bins)
    return float(need("scipy.stats").chi2.sf(statistic, bins.count - 1))


def _between(values: NDArray[np.float64], bins: Bins) -> float:
    deviations = values - values.mean()
    total = float(deviations @ deviations)
    return float(bins.sizes @ bins.mean(deviations) ** 2) / total if total > 0 else 0.0


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank of each value; equal ones share the mean of theirs."""
    return np.asarray(need("scipy.stats").rankdata(values), dtype=np.float64)


def rank_correlation(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[float, float]:
    """Spearman's correlation and its p-value; 0 and 1 where one does not vary."""
    if len(first) < 5 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0, 1.0
    rho = float(np.corrcoef(ranks(first), ranks(second))[0, 1])
    statistic = rho * np.sqrt((len(first) - 2) / max(1 - rho**2, 1e-12))
    return rho, float(2 * need("scipy.stats").t.sf(abs(statistic), len(first) - 2))


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values so that they bound the share of false discoveries.

    Benjamini & Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x.
    """
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * n / np.arange(1, n + 1)
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def robust_scale(values: NDArray[np.float64]) -> float:
    """Estimate a standard deviation that outliers do not move, from the median deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
