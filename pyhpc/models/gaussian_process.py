"""Gaussian-process regression, Rasmussen & Williams 2006, ISBN 0-262-18253-X."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.models.matrix import matrix
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.optional import need
from pyhpc.models.preparation import Filling, check_fit

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target

_SQRT5 = 5.0**0.5
_CHUNK = 1024
"""Rows whose covariances with all training rows are held at once."""


@dataclass(frozen=True)
class GaussianProcess(Model):
    """Matern-5/2 covariance of standardised features, with noise, by maximum likelihood.

    Attributes
    ----------
    features : tuple of str
        Columns; missing values become the training median.
    max_rows : int
        Time grows with the cube of the rows: from larger tables, this many are drawn.
    """

    kind: ClassVar[str] = "gaussian_process"
    features: tuple[str, ...]
    max_rows: int = 2000

    def __post_init__(self) -> None:
        if self.max_rows < 2:
            raise ValueError(f"max_rows = {self.max_rows}; it must be at least 2")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return self.features

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedGaussianProcess:
        """Fit to a table."""
        check_fit(table, target)
        if table.num_rows > self.max_rows:
            generator = np.random.default_rng(compute.seed)
            rows = np.sort(generator.choice(table.num_rows, self.max_rows, replace=False))
            table, target = table.take(rows), target.take(rows)
        raw = matrix(table, self.features)
        filling = Filling.of(raw)
        filled = filling.fill(raw).astype(np.float64)
        deviations = filled.std(axis=0)
        # A constant column tells nothing, and has no scale.
        scales = np.where(deviations > 1e-9 * np.abs(filled).max(axis=0), deviations, np.inf)
        center = filled.mean(axis=0)
        points = (filled - center) / scales
        mean, scale = float(target.values.mean()), float(target.values.std()) or 1.0

        kernels = need("sklearn.gaussian_process.kernels")
        length = float(np.sqrt(max(int(np.isfinite(scales).sum()), 1)))
        kernel = kernels.ConstantKernel(1.0, (1e-3, 1e4)) * kernels.Matern(
            length, (1e-2 * length, 1e3 * length), nu=2.5
        ) + kernels.WhiteKernel(0.1, (1e-6, 1e1))
        process = need("sklearn.gaussian_process").GaussianProcessRegressor(
            kernel, random_state=compute.seed
        )
        with need("threadpoolctl").threadpool_limits(compute.threads), _quiet_at_bounds():
            process.fit(points, (target.values - mean) / scale)
        matern = process.kernel_.k1
        return FittedGaussianProcess(
            self,
            filling,
            center,
            scales,
            points,
            np.ravel(process.alpha_) * matern.k1.constant_value * scale,
            float(matern.k2.length_scale),
            mean,
            {
                "amplitude": float(matern.k1.constant_value),
                "length": float(matern.k2.length_scale),
                "noise": float(process.kernel_.k2.noise_level),
                "n_rows": len(points),
            },
        )

    def restore(self, state: State) -> FittedGaussianProcess:
        """Make the fitted model again."""
        arrays: dict[str, Any] = dict(state.arrays)
        return FittedGaussianProcess(
            self,
            Filling(arrays["medians"]),
            arrays["center"],
            arrays["scales"],
            arrays["points"],
            arrays["weights"],
            state.facts["length"],
            state.facts["mean"],
            state.facts["found"],
        )


@dataclass(frozen=True, eq=False)
class FittedGaussianProcess(Fitted):
    """Training points with their weights: the mean of the process.

    Attributes
    ----------
    filling : Filling
        What replaces missing values.
    center, scales : array, shape (n_features,)
        What standardises the features; a constant one has the scale infinity.
    points : array, shape (n_train, n_features)
        Standardised training rows.
    weights : array, shape (n_train,)
        Coefficient of each one's covariance.
    length : float
        Correlation length.
    mean : float
        Prediction far from all points.
    found : dict
        Parameters of the covariance, in units of the target's variance, and the number of points.
    """

    model: GaussianProcess
    filling: Filling
    center: NDArray[np.float64]
    scales: NDArray[np.float64]
    points: NDArray[np.float64]
    weights: NDArray[np.float64]
    length: float
    mean: float
    found: dict[str, float]

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        cdist = need("scipy.spatial.distance").cdist
        filled = self.filling.fill(matrix(table, self.model.features)).astype(np.float64)
        rows = (filled - self.center) / self.scales
        result = np.empty(len(rows))
        for start in range(0, len(rows), _CHUNK):
            x = _SQRT5 * cdist(rows[start : start + _CHUNK], self.points) / self.length
            correlations = (1 + x + x**2 / 3) * np.exp(-x)
            # Sums of products rather than BLAS, whose rounding depends on its threads.
            result[start : start + _CHUNK] = (correlations * self.weights).sum(axis=1)
        return self.mean + result

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did."""
        return {"kind": self.model.kind} | self.found

    def state(self) -> State:
        """Give what the fit has found."""
        return State(
            facts={"length": self.length, "mean": self.mean, "found": self.found},
            arrays={
                "medians": self.filling.medians,
                "center": self.center,
                "scales": self.scales,
                "points": self.points,
                "weights": self.weights,
            },
        )


def _quiet_at_bounds() -> Any:
    """Silence the note that a parameter ended at its bound: noise-free and constant data do."""
    warning = need("sklearn.exceptions").ConvergenceWarning
    return warnings.catch_warnings(action="ignore", category=warning)
