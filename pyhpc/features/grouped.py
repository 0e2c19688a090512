"""Sums, means and extremes of values that belong to crystals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bin_sums(
    bins: NDArray[np.int64], values: NDArray[np.float64], n_bins: int
) -> NDArray[np.float64]:
    """Sum the values of each bin, in their order.

    A bin's sum does not depend on the values of other bins, bit for bit, as it would with the
    blocked sums of a matrix product.
    """
    return np.asarray(np.bincount(bins, weights=values, minlength=n_bins), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Grouped:
    """Items that each belong to one crystal, in ascending order of the crystals.

    Every reduction takes the items of a crystal in their order, so that its result does not depend
    on the other crystals, bit for bit, and gives one value per crystal, NaN (0 for sums) where a
    crystal has no item.

    Attributes
    ----------
    crystals : array, shape (n_items,)
        Crystal of each item.
    n_crystals : int
        Number of crystals.
    """

    crystals: NDArray[np.int64]
    n_crystals: int

    def counts(self) -> NDArray[np.int64]:
        """Items of each crystal."""
        return np.bincount(self.crystals, minlength=self.n_crystals)

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the values."""
        return bin_sums(self.crystals, values, self.n_crystals)

    def means(
        self, values: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Weighted mean of the values."""
        total = self.sums(weights)
        return self.sums(weights * values) / np.where(total > 0, total, np.nan)

    def deviations(
        self, values: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Weighted standard deviation of the values (of the population)."""
        centred = values - self.means(values, weights)[self.crystals]
        return np.sqrt(self.means(centred**2, weights))

    def minima(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Smallest value that is not NaN; NaN counts only where there is nothing else."""
        return self._extremes(np.fmin, values)

    def maxima(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest value that is not NaN; NaN counts only where there is nothing else."""
        return self._extremes(np.fmax, values)

    def _extremes(self, ufunc: np.ufunc, values: NDArray[np.float64]) -> NDArray[np.float64]:
        extremes = np.full(self.n_crystals, np.nan)
        present, starts = np.unique(self.crystals, return_index=True)
        if len(present):
            extremes[present] = ufunc.reduceat(values, starts)
        return extremes
