"""Whether one strategy is better than another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.errors import PyhpcError
from pyhpc.models.optional import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhpc.models.cross_validation import OutOfFold
    from pyhpc.models.targets import Target


@dataclass(frozen=True, slots=True)
class Comparison:
    """Gain of one strategy over another.

    Attributes
    ----------
    gain : float
        Mean over all folds of all repeats; positive where the second strategy is better.
    lower, upper : float
        Its interval.
    p_value : float
        Two-sided, of no difference.
    n_folds : int
        Number of paired folds.
    """

    gain: float
    lower: float
    upper: float
    p_value: float
    n_folds: int


def compare(
    target: Target,
    first: Sequence[OutOfFold],
    second: Sequence[OutOfFold],
    *,
    metric: str = "r2",
    level: float = 0.95,
) -> Comparison:
    """Compare two strategies over the same repeated folds by the corrected resampled t-test.

    Folds of repeated cross-validation share most of their training rows, so their differences are
    not independent; the variance of the mean of J differences is taken to be ``(1 / J + n_test /
    n_train) S^2``, with J - 1 degrees of freedom: Nadeau & Bengio 2003, doi
    10.1023/A:1024068626366.

    Parameters
    ----------
    target : Target
        Of all rows.
    first, second : sequence of OutOfFold
        One per repeat, made with the same folds.
    metric : str
        ``"r2"``: gain in the coefficient of determination (squared errors of a fold, over the
        variance of all predicted rows); ``"mae"`` or ``"censored_mae"``: reduction of the error.
    level : float
        Of the interval.

    Raises
    ------
    PyhpcError
        If the metric is unknown, or there are fewer than two paired folds.
    ValueError
        If the folds of a pair differ.
    """
    if metric not in ("r2", "mae", "censored_mae"):
        raise PyhpcError(f"metric = {metric!r}", "Allowed: r2, mae, censored_mae.")
    gains, ratios = [], []
    for one, other in zip(first, second, strict=True):
        if one.folds != other.folds:
            raise ValueError("the strategies were not run on the same folds")
        change = _errors(target, one, metric) - _errors(target, other, metric)
        for fold in range(len(one.folds)):
            train, test = one.folds.rows(fold)
            gains.append(float(change[one.fold == fold].mean()))
            ratios.append(len(test) / len(train))
    if len(gains) < 2:
        raise PyhpcError(f"{len(gains)} paired folds", "A comparison needs two at least.")
    values = np.array(gains)
    mean, n = float(values.mean()), len(values)
    error = float(np.sqrt((1 / n + np.mean(ratios)) * values.var(ddof=1)))
    student = need("scipy.stats").t(n - 1)
    reach = float(student.ppf((1 + level) / 2)) * error
    # Equal predictions leave neither a difference nor a scatter.
    statistic = abs(mean) / error if error > 0 else (np.inf if mean else 0.0)
    p_value = float(2 * student.sf(statistic))
    return Comparison(mean, mean - reach, mean + reach, p_value, n)


def _errors(target: Target, predicted: OutOfFold, metric: str) -> NDArray[np.float64]:
    """Error of each predicted row, as its part of the metric."""
    known = target.take(predicted.rows)
    if metric == "censored_mae":
        return known.distances(predicted.prediction)
    errors = np.abs(known.values - predicted.prediction)
    return errors if metric == "mae" else errors**2 / known.values.var()
