"""Boosted trees that say how sure they are: quantiles of the target, given the features."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.models.boosting import FittedXGBoost, XGBoost
from pyhpc.models.losses import Squared

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.targets import Target

_MEDIAN = 1
"""Number of the median among the levels."""


@dataclass(frozen=True)
class QuantileTrees(XGBoost):
    """Boosted trees for the median and a quantile on each side of it.

    One set of trees per level (``reg:quantileerror``, Koenker & Bassett 1978, doi
    10.2307/1913643), all in one booster. The quantiles are those of the training rows and hold
    less than they promise on others: calibrate them (:mod:`pyhpc.models.conformal`), which keeps
    their relative widths (Romano et al. 2019, arXiv:1905.03222).

    Attributes
    ----------
    levels : tuple of float
        Three: below 0.5, 0.5, and above it.
    """

    kind: ClassVar[str] = "quantile_trees"
    levels: tuple[float, ...] = (0.05, 0.5, 0.95)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss != Squared():
            raise ValueError(
                f"loss = {self.loss.kind!r}; the loss of quantile_trees is that of its levels"
            )
        match self.levels:
            case (lower, 0.5, upper) if 0 < lower < 0.5 < upper < 1:
                pass
            case _:
                raise ValueError(
                    f"levels = {list(self.levels)}; they must be three: one between 0 and 0.5, "
                    "0.5, one between 0.5 and 1"
                )

    def _objective(self) -> dict[str, Any]:
        return {
            "objective": "reg:quantileerror",
            "quantile_alpha": list(self.levels),
            "base_score": 0.0,
        }

    def _labels(self, target: Target) -> tuple[dict[str, NDArray[np.float64]], float, float]:
        center = float(np.median(target.values))
        return {"label": target.values - center}, center, 1.0

    def _fitted(
        self, booster: Any, center: float, scale: float, n_trees: int
    ) -> FittedQuantileTrees:
        return FittedQuantileTrees(self, booster, center, scale, n_trees)


@dataclass(frozen=True, eq=False)
class FittedQuantileTrees(FittedXGBoost):
    """A booster with an output per level."""

    model: QuantileTrees

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict the median of each row, shape (n_rows,)."""
        return self._quantiles(table)[:, _MEDIAN]

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Give the quantiles around each prediction.

        ``lower`` and ``upper``, which the median does not lie outside of, and ``spread``, the
        standard deviation of a normal distribution whose quantiles of these levels are so far
        apart.
        """
        quantiles = self._quantiles(table)
        # Each level has trees of its own, so that where rows are few they may cross.
        lower, upper = quantiles.min(axis=1), quantiles.max(axis=1)
        first, _, last = (NormalDist().inv_cdf(level) for level in self.model.levels)
        return {"lower": lower, "upper": upper, "spread": (upper - lower) / (last - first)}

    def contributions(self, table: pa.Table) -> NDArray[np.float64]:
        """SHAP values for the median, as :meth:`FittedXGBoost.contributions`."""
        return super().contributions(table)[:, _MEDIAN]

    def _quantiles(self, table: pa.Table) -> NDArray[np.float64]:
        return self._outputs(table).reshape(-1, len(self.model.levels))
