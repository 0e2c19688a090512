"""How well a stated uncertainty goes with the errors."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def normal_half_widths(spread: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Half-widths that a spread would give if errors were normal with it, shape (n_rows,).

    They are what one has before calibration, and seldom hold what they promise: the members of an
    ensemble agree on what all of them do not know.
    """
    widths: NDArray[np.float64] = NormalDist().inv_cdf((1 + level) / 2) * spread
    return widths


def coverage_curve(
    errors: NDArray[np.float64], spread: NDArray[np.float64], levels: Sequence[float]
) -> NDArray[np.float64]:
    """Share of the rows within the half-widths of :func:`normal_half_widths`, by level.

    Parameters
    ----------
    errors : array, shape (n_rows,)
        Sizes of the errors, not negative.
    spread : array, shape (n_rows,)
        In units of the errors.
    levels : sequence of float
        Probabilities.
    """
    held = [(errors <= normal_half_widths(spread, level)).mean() for level in levels]
    return np.array(held, dtype=np.float64)


def sparsification(
    errors: NDArray[np.float64], uncertainty: NDArray[np.float64], kept: Sequence[float]
) -> NDArray[np.float64]:
    """Mean error of the rows that remain when the most uncertain are taken away.

    With the errors themselves for uncertainty, it is the curve that no uncertainty can better:
    Ilg et al. 2018, doi 10.1007/978-3-030-01234-2_40.

    Parameters
    ----------
    errors : array, shape (n_rows,)
        Sizes of the errors, not negative.
    uncertainty : array, shape (n_rows,)
        Of any unit: only its order counts.
    kept : sequence of float
        Shares of the rows that remain, above 0.
    """
    ascending = errors[np.argsort(uncertainty, kind="stable")]
    means = np.cumsum(ascending) / np.arange(1, len(errors) + 1)
    last = [max(1, round(share * len(errors))) - 1 for share in kept]
    return np.asarray(means[last], dtype=np.float64)
