"""Gaussian-process regression, Rasmussen & Williams 2006, ISBN 0-262-18253-X."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.models.covariance import correlate, most_likely, solve
from pyhpc.models.matrix import matrix
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.optional import need
from pyhpc.models.preparation import Filling, check_fit

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target


@dataclass(frozen=True)
class GaussianProcess(Model):
    """Matern-5/2 covariance of standardised features, with noise, by maximum likelihood.

    Attributes
    ----------
    features : tuple of str
        Columns; missing values become the training median.
    blocks : tuple of tuple of str
        In place of ``features``, columns that belong together: each block counts in distances by
        its weight, however many columns it has.
    weights : tuple of float
        Of the blocks, positive; empty: all equal.
    logarithms : bool
        Whether columns that are positive in all training rows are taken by their logarithms.
    max_rows : int
        The likelihood takes the cube of the rows, and many times: from larger tables, this many
        are drawn for it.
    solve_rows : int
        Rows whose targets the process passes through, with the parameters found; so many are
        drawn from larger tables. It takes the cube of them once, and 12 bytes of memory times their
        square. 0: those of the likelihood.
    """

    kind: ClassVar[str] = "gaussian_process"
    features: tuple[str, ...] = ()
    blocks: tuple[tuple[str, ...], ...] = ()
    weights: tuple[float, ...] = ()
    logarithms: bool = False
    max_rows: int = 2000
    solve_rows: int = 0

    def __post_init__(self) -> None:
        if self.max_rows < 2:
            raise ValueError(f"max_rows = {self.max_rows}; it must be at least 2")
        if self.solve_rows and self.solve_rows < self.max_rows:
            raise ValueError(f"solve_rows = {self.solve_rows}; it must be 0 or at least max_rows")
        if bool(self.features) == bool(self.blocks) or not all(self.blocks):
            raise ValueError("give either features or blocks, and no empty block")
        if self.weights and (len(self.weights) != len(self.blocks) or min(self.weights) <= 0):
            raise ValueError("weights: give a positive one for each block, or none")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return self.features or tuple(dict.fromkeys(name for b in self.blocks for name in b))

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedGaussianProcess:
        """Fit to a table."""
        check_fit(table, target)
        generator = np.random.default_rng(compute.seed)
        table, target = _drawn(table, target, max(self.max_rows, self.solve_rows), generator)
        raw = matrix(table, self.columns)
        filling = Filling.of(raw)
        filled = filling.fill(raw).astype(np.float64)
        positive = self.logarithms & (filled.min(axis=0) > 0)
        filled = np.log(filled, out=filled, where=positive)
        deviations = filled.std(axis=0)
        # A constant column tells nothing, and has no scale.
        scales = np.where(deviations > 1e-9 * np.abs(filled).max(axis=0), deviations, np.inf)
        n_live = max(int(np.isfinite(scales).sum()), 1)
        scales = scales / self._factors(np.isfinite(scales))
        center = filled.mean(axis=0)
        points = (filled - center) / scales
        mean, scale = float(target.values.mean()), float(target.values.std()) or 1.0
        targets = (target.values - mean) / scale

        likely = np.arange(len(points))
        if len(points) > self.max_rows:
            likely = np.sort(generator.choice(len(points), self.max_rows, replace=False))
        with need("threadpoolctl").threadpool_limits(compute.threads):
            guess = float(np.sqrt(n_live))
            amplitude, length, noise = most_likely(points[likely], targets[likely], guess)
            weights = solve(points, targets, length, noise / amplitude)
        return FittedGaussianProcess(
            self,
            filling,
            positive,
            center,
            scales,
            points,
            weights * scale,
            length,
            mean,
            {
                "amplitude": amplitude,
                "length": length,
                "noise": noise,
                "n_rows": len(points),
            },
        )

    def _factors(self, live: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Factor of each standardised column; their mean square is 1, over those that vary."""
        if not self.blocks:
            return np.ones(len(live))
        position = {name: k for k, name in enumerate(self.columns)}
        weights = np.array(self.weights or (1.0,) * len(self.blocks))
        squares = np.zeros(len(live))
        for block, weight in zip(self.blocks, weights, strict=True):
            inside = [position[name] for name in block if live[position[name]]]
            squares[inside] += weight**2 / max(len(inside), 1)
        total = squares.sum()
        factors: NDArray[np.float64] = np.sqrt(squares * (live.sum() / total if total else 1.0))
        # A constant column is infinitely far from telling anything, whatever its block.
        return np.where(live, factors, 1.0)

    def restore(self, state: State) -> FittedGaussianProcess:
        """Make the fitted model again."""
        arrays: dict[str, Any] = dict(state.arrays)
        return FittedGaussianProcess(
            self,
            Filling(arrays["medians"]),
            arrays["positive"],
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
    positive : array, shape (n_features,), bool
        Columns that are taken by their logarithms.
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
    positive: NDArray[np.bool_]
    center: NDArray[np.float64]
    scales: NDArray[np.float64]
    points: NDArray[np.float64]
    weights: NDArray[np.float64]
    length: float
    mean: float
    found: dict[str, float]

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        filled = self.filling.fill(matrix(table, self.model.columns)).astype(np.float64)
        # What has no logarithm, where all training rows had one, tells as much as a missing value.
        filled = np.where(self.positive & (filled <= 0), self.filling.medians, filled)
        filled = np.log(filled, out=filled, where=self.positive)
        rows = (filled - self.center) / self.scales
        # On one thread: the rounding of BLAS depends on their number.
        with need("threadpoolctl").threadpool_limits(1):
            return self.mean + correlate(rows, self.points, self.length, self.weights)

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
                "positive": self.positive,
                "center": self.center,
                "scales": self.scales,
                "points": self.points,
                "weights": self.weights,
            },
        )


def _drawn(
    table: pa.Table, target: Target, n_rows: int, generator: np.random.Generator
) -> tuple[pa.Table, Target]:
    """Draw rows, in their order; all of them if there are no more."""
    if table.num_rows <= n_rows:
        return table, target
    rows = np.sort(generator.choice(table.num_rows, n_rows, replace=False))
    return table.take(rows), target.take(rows)
