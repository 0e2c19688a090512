"""How much a score owes to rows that the model may know from training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.diagnosis.check import Verdict
from pyhpc.diagnosis.statistics import r2, rank_correlation

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEWEST_ROWS = 10
_SURE = 1e-3


@dataclass(frozen=True, slots=True)
class Flattery:
    """Scores with and without the rows that may be known.

    Attributes
    ----------
    share : float
        Of rows that may be known.
    rmse, rmse_known, rmse_others : float
        Of all rows, of those, and of the rest.
    r2, r2_others : float
        Of all rows and of the rest.
    p_value : float
        Of the rank test whether errors of the two differ.
    """

    share: float
    rmse: float
    rmse_known: float
    rmse_others: float
    r2: float
    r2_others: float
    p_value: float

    @property
    def verdict(self) -> Verdict:
        """Whether the score rests on rows that may be known."""
        if self.p_value >= _SURE or self.rmse_known >= 0.7 * self.rmse_others:
            return Verdict.FINE
        return Verdict.SERIOUS if self.rmse_others > 1.15 * self.rmse else Verdict.WATCH

    def sentence(self, what: str) -> str:
        """Say that so many rows have such a thing, and what the score is without them."""
        times = self.rmse_others / max(self.rmse_known, 1e-300)
        return (
            f"{100 * self.share:.0f} % of the rows have {what} among the training rows, and an "
            f"error {times:.3g} times smaller: without them R2 is {self.r2_others:.3f} instead of "
            f"{self.r2:.3f}, and the RMSE {self.rmse_others:.4g} instead of {self.rmse:.4g}."
        )

    def numbers(self, prefix: str) -> dict[str, float]:
        """All figures, for the numbers of a check."""
        return {f"{prefix}_{name}": value for name, value in asdict(self).items()}


def flattery(
    known: NDArray[np.bool_], truth: NDArray[np.float64], prediction: NDArray[np.float64]
) -> Flattery | None:
    """Compare rows that may be known with the rest; None where either are fewer than ten."""
    if min(known.sum(), (~known).sum()) < _FEWEST_ROWS:
        return None
    error = np.abs(prediction - truth)
    return Flattery(
        share=float(known.mean()),
        rmse=_rms(error),
        rmse_known=_rms(error[known]),
        rmse_others=_rms(error[~known]),
        r2=r2(truth, prediction),
        r2_others=r2(truth[~known], prediction[~known]),
        p_value=rank_correlation(known.astype(np.float64), error)[1],
    )


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))
