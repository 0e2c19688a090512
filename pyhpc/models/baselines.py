"""What every model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pyhpc.models.matrix import matrix
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.optional import need
from pyhpc.models.preparation import check_fit

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target

_CHUNK = 1024
"""Rows whose distances to all training rows are held at once."""


@dataclass(frozen=True)
class Mean(Model):
    """Predict the mean of the training targets."""

    kind: ClassVar[str] = "mean"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return ()

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedMean:
        """Fit to a table."""
        del compute
        check_fit(table, target)
        return FittedMean(self, float(target.values.mean()))

    def restore(self, state: State) -> FittedMean:
        """Make the fitted model again."""
        return FittedMean(self, float(state.facts["mean"]))


@dataclass(frozen=True, eq=False)
class FittedMean(Fitted):
    """The mean of the training targets."""

    model: Mean
    mean: float

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        return np.full(table.num_rows, self.mean)

    def state(self) -> State:
        """Give what the fit has found."""
        return State(facts={"mean": self.mean})


@dataclass(frozen=True)
class Nearest(Model):
    """Predict the target of the nearest training row.

    Attributes
    ----------
    features : tuple of str
        Columns that span the space, such as the fractions of the elements. Missing values count
        as 0.
    metric : str
        ``"cityblock"`` (the sum of absolute differences) or ``"euclidean"``.

    Rows that are equally near count equally.
    """

    kind: ClassVar[str] = "nearest"
    features: tuple[str, ...]
    metric: str = "cityblock"

    def __post_init__(self) -> None:
        if self.metric not in ("cityblock", "euclidean"):
            raise ValueError(f"metric = {self.metric!r}; allowed: cityblock, euclidean")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return self.features

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedNearest:
        """Fit to a table."""
        del compute
        check_fit(table, target)
        points = np.nan_to_num(matrix(table, self.features))
        return FittedNearest(self, points, target.values)

    def restore(self, state: State) -> FittedNearest:
        """Make the fitted model again."""
        points, values = state.arrays["points"], state.arrays["values"]
        return FittedNearest(self, points.astype(np.float32), values.astype(np.float64))


@dataclass(frozen=True, eq=False)
class FittedNearest(Fitted):
    """The training rows and their targets."""

    model: Nearest
    points: NDArray[np.float32]
    values: NDArray[np.float64]

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        cdist = need("scipy.spatial.distance").cdist
        queries = np.nan_to_num(matrix(table, self.model.features))
        result = np.empty(len(queries))
        for start in range(0, len(queries), _CHUNK):
            distances = cdist(queries[start : start + _CHUNK], self.points, self.model.metric)
            nearest = distances <= distances.min(axis=1, keepdims=True) * (1 + 1e-9)
            result[start : start + _CHUNK] = (nearest @ self.values) / nearest.sum(axis=1)
        return result

    def state(self) -> State:
        """Give what the fit has found."""
        return State(arrays={"points": self.points, "values": self.values})
