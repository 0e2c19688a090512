"""Intervals that hold what they promise.

From residuals of rows that the model has not seen: Lei et al. 2018, doi
10.1080/01621459.2017.1307116; with out-of-fold residuals as in CV+, Barber et al. 2021, doi
10.1214/20-AOS1965. For exchangeable rows the intervals hold the truth with the asked probability;
rows of new groups are not exchangeable with old ones, so report the coverage for each scheme of
folds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.models.cross_validation import OutOfFold
    from pyhpc.models.targets import Target


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far predictions are off.

    Attributes
    ----------
    quantile : float
        Of the residuals, or of residual over ``spread + floor``; infinite if there were too few
        rows for the level.
    floor : float
        Added to the spread, so that an ensemble that agrees by chance is not taken to be sure:
        the median spread of the rows that it was calibrated on.
    normalized : bool
        Whether the width follows the spread.
    level : float
        Probability of an interval to hold the truth.
    """

    quantile: float
    floor: float
    normalized: bool
    level: float

    def half_widths(
        self, n_rows: int, spread: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Half the width of each row's interval, shape (n_rows,).

        Parameters
        ----------
        n_rows : int
            Number of rows.
        spread : array, shape (n_rows,), optional
            Of the ensemble, where the calibration is normalised.
        """
        if not self.normalized:
            return np.full(n_rows, self.quantile)
        if spread is None:
            raise ValueError("a normalised calibration needs the spread of each row")
        return self.quantile * (spread + self.floor)


def calibrate(
    target: Target,
    prediction: NDArray[np.float64],
    spread: NDArray[np.float64] | None = None,
    *,
    level: float = 0.9,
) -> Calibration:
    """Learn the intervals from out-of-fold predictions.

    Parameters
    ----------
    target : Target
        A row known as a bound counts as missed by its distance from the bound.
    prediction : array, shape (n_rows,)
        By models that have not seen the row.
    spread : array, shape (n_rows,), optional
        Of an ensemble; with it, the width of an interval follows it.
    level : float
        Probability of an interval to hold the truth.
    """
    scores, floor = target.distances(prediction), 0.0
    if spread is not None:
        floor = float(np.median(spread))
        # An ensemble whose members all agree tells nothing: the intervals have one width.
        floor = floor if floor > 0 else 1.0
        scores = scores / (spread + floor)
    rank = math.ceil((len(scores) + 1) * level)
    quantile = float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf
    return Calibration(quantile, floor, spread is not None, level)


def cross_conformal(
    target: Target,
    predicted: OutOfFold,
    spread: NDArray[np.float64] | None = None,
    *,
    level: float = 0.9,
) -> NDArray[np.float64]:
    """Half-width of each out-of-fold row's interval, calibrated on the other folds.

    Parameters
    ----------
    target : Target
        Of all rows of the table.
    predicted : OutOfFold
        Its predictions.
    spread : array, shape (n_tested,), optional
        As in :func:`calibrate`, of the predicted rows.
    level : float
        Probability of an interval to hold the truth.

    Returns
    -------
    array, shape (n_tested,)
        The interval of row i is ``prediction[i] -+ half_width[i]``.
    """
    known, fold = target.take(predicted.rows), predicted.fold
    result = np.empty(len(fold))
    for k in range(len(predicted.folds)):
        inside, others = fold == k, fold != k
        own = None if spread is None else spread[inside]
        learned = calibrate(
            known.take(others),
            predicted.prediction[others],
            None if spread is None else spread[others],
            level=level,
        )
        result[inside] = learned.half_widths(int(inside.sum()), own)
    return result


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often intervals hold the truth.

    Attributes
    ----------
    overall : float
        Fraction of all rows.
    most_uncertain : float
        Fraction of the fifth of the rows with the largest spread.
    mean_width : float
        Of the intervals, in units of the target.
    median_width : float
        The width that half of the intervals do not reach: where widths follow the row, a few wide
        intervals raise the mean, and the median says what a usual row gets.
    """

    overall: float
    most_uncertain: float
    mean_width: float
    median_width: float


def coverage(
    target: Target,
    prediction: NDArray[np.float64],
    half_widths: NDArray[np.float64],
    uncertainty: NDArray[np.float64],
) -> Coverage:
    """Measure the coverage of intervals.

    Parameters
    ----------
    target : Target
        A row known as a bound is held by an interval that reaches its open side.
    prediction, half_widths : array, shape (n_rows,)
        The intervals.
    uncertainty : array, shape (n_rows,)
        What the rows are sorted by, such as the ensemble's spread.
    """
    held = target.distances(prediction) <= half_widths
    n_worst = max(1, round(len(held) / 5))
    worst = np.argsort(-uncertainty, kind="stable")[:n_worst]
    return Coverage(
        overall=float(held.mean()),
        most_uncertain=float(held[worst].mean()),
        mean_width=float(2 * half_widths.mean()),
        median_width=float(2 * np.median(half_widths)),
    )
