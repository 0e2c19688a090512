"""Two models, and a gate that says how much to trust the second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.errors import PyhpcError
from pyhpc.models.inner import inner_folds, out_of_fold
from pyhpc.models.matrix import matrix, numbers
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.optional import need
from pyhpc.models.preparation import check_fit

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target

_DOUBT = 0.25
"""Standard deviation of what is believed of a weight before the data speak."""


def covered(table: pa.Table, indicators: tuple[str, ...]) -> NDArray[np.bool_]:
    """Rows in which all indicators are 1, shape (n_rows,)."""
    all_set: NDArray[np.bool_] = (matrix(table, indicators) == 1).all(axis=1)
    return all_set


def check_covered(inside: NDArray[np.bool_], indicators: tuple[str, ...]) -> None:
    """Refuse to fit a specialist to no row.

    Raises
    ------
    PyhpcError
        If no row is covered.
    """
    if not inside.any():
        names = ", ".join(indicators)
        raise PyhpcError(
            f"no training row has all of {names} at 1", "There is nothing to fit a specialist to."
        )


@dataclass(frozen=True)
class Gated(Model):
    """The specialist where all indicators are 1, the baseline elsewhere.

    Attributes
    ----------
    baseline, specialist : Model
        The two models; the specialist has features that not every row has.
    indicators : tuple of str
        Columns of 0 and 1 that say which rows have them.
    trained_on : str
        Rows that the specialist is fitted to: ``"all"``, or ``"covered"``, those where all
        indicators are 1.
    """

    kind: ClassVar[str] = "gated"
    baseline: Model
    specialist: Model
    indicators: tuple[str, ...]
    trained_on: str = "all"

    def __post_init__(self) -> None:
        if self.trained_on not in ("all", "covered"):
            raise ValueError(f"trained_on = {self.trained_on!r}; allowed: all, covered")
        if not self.indicators:
            raise ValueError("indicators is empty; name one at least")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        names = (*self.baseline.columns, *self.specialist.columns, *self.indicators)
        return tuple(dict.fromkeys(names))

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedGated:
        """Fit to a table."""
        check_fit(table, target)
        inside = covered(table, self.indicators)
        check_covered(inside, self.indicators)
        rows = np.flatnonzero(inside) if self.trained_on == "covered" else np.arange(len(inside))
        return FittedGated(
            self,
            self.baseline.fit(table, target, compute),
            self.specialist.fit(table.take(rows), target.take(rows), compute),
            int(inside.sum()),
            len(rows),
        )

    def restore(self, state: State) -> FittedGated:
        """Make the fitted model again."""
        parts, facts = state.parts, state.facts
        return FittedGated(
            self, parts["baseline"], parts["specialist"], facts["n_covered"], facts["n_fitted"]
        )


@dataclass(frozen=True, eq=False)
class FittedGated(Fitted):
    """Both models, and how many rows were covered and taken for the specialist."""

    model: Gated
    baseline: Fitted
    specialist: Fitted
    n_covered: int
    n_fitted: int

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        inside = covered(table, self.model.indicators)
        return np.where(inside, self.specialist.predict(table), self.baseline.predict(table))

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Say how each prediction came about."""
        return {
            "gate": covered(table, self.model.indicators).astype(np.float64),
            "baseline": self.baseline.predict(table),
            "specialist": self.specialist.predict(table),
        }

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did."""
        return {
            "kind": self.model.kind,
            "n_covered": self.n_covered,
            "n_fitted": self.n_fitted,
            "baseline": self.baseline.summary,
            "specialist": self.specialist.summary,
        }

    def state(self) -> State:
        """Give what the fit has found."""
        return State(
            facts={"n_covered": self.n_covered, "n_fitted": self.n_fitted},
            parts={"baseline": self.baseline, "specialist": self.specialist},
        )


@dataclass(frozen=True)
class SoftGate(Model):
    """A mean of baseline and specialist whose weight follows each row's coverage and certainty.

    The weight of the specialist is ``coverage * (a + b * certainty)``, held within 0 and 1, where
    ``coverage`` is the mean of the indicators and ``certainty = m / (m + margin_scale)`` for the
    margin m. The coefficients are not negative, and fit what out-of-fold predictions of both
    models inside the training set say of the target, starting from ``trust``. If that is no better
    than the baseline alone, by the squared error of the same predictions, the weight is 0: the
    specialist has to prove itself. Without folds, the weight is the trust times the coverage (with
    a margin: half of that, and half times certainty).

    Attributes
    ----------
    baseline, specialist : Model
        The two models; both are fitted to all rows.
    indicators : tuple of str
        Columns of 0 and 1 that say which of the specialist's features a row has.
    margin : str, optional
        Column that grows with the certainty of the specialist's features, from 0; a missing
        margin means no doubt.
    margin_scale : float
        Margin at which certainty is 1/2.
    trust : float
        Weight of the specialist in a row that is wholly covered and certain, before the data
        speak.
    n_folds : int
        Folds inside the training set; 0: the trust as it is, which fits each model once only.
    groups : str, optional
        Column of groups that these folds keep whole.
    """

    kind: ClassVar[str] = "soft_gate"
    baseline: Model
    specialist: Model
    indicators: tuple[str, ...]
    margin: str | None = None
    margin_scale: float = 1.0
    trust: float = 0.5
    n_folds: int = 5
    groups: str | None = None

    def __post_init__(self) -> None:
        if not self.indicators:
            raise ValueError("indicators is empty; name one at least")
        if self.margin_scale <= 0:
            raise ValueError(f"margin_scale = {self.margin_scale}; it must be positive")
        if not 0 <= self.trust <= 1:
            raise ValueError(f"trust = {self.trust}; it must be in [0, 1]")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        further = [name for name in (self.margin, self.groups) if name is not None]
        names = (*self.baseline.columns, *self.specialist.columns, *self.indicators, *further)
        return tuple(dict.fromkeys(names))

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedSoftGate:
        """Fit to a table."""
        check_fit(table, target)
        n_terms = len(self.reliabilities(table))
        coefficients = np.full(n_terms, self.trust / n_terms)
        if self.n_folds:
            coefficients = self._validated(table, target, compute, coefficients)
        return FittedSoftGate(
            self,
            self.baseline.fit(table, target, compute),
            self.specialist.fit(table, target, compute),
            coefficients,
        )

    def restore(self, state: State) -> FittedSoftGate:
        """Make the fitted model again."""
        parts = state.parts
        coefficients = np.array(state.facts["coefficients"])
        return FittedSoftGate(self, parts["baseline"], parts["specialist"], coefficients)

    def _validated(
        self, table: pa.Table, target: Target, compute: Compute, prior: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        folds = inner_folds(table, self.n_folds, self.groups, compute.seed)
        first = out_of_fold(self.baseline, table, target, folds, compute)
        second = out_of_fold(self.specialist, table, target, folds, compute)
        return _fit_weights(self.reliabilities(table), target.values - first, second - first, prior)

    def reliabilities(self, table: pa.Table) -> NDArray[np.float64]:
        """Give coverage and, with a margin, coverage times certainty, shape (n_terms, n_rows)."""
        coverage: NDArray[np.float64] = (matrix(table, self.indicators) == 1).mean(axis=1)
        if self.margin is None:
            return coverage.reshape(1, -1)
        margin = np.maximum(numbers(table, self.margin), 0.0)
        certainty = np.where(np.isfinite(margin), margin / (margin + self.margin_scale), 1.0)
        return np.stack([coverage, coverage * certainty])


@dataclass(frozen=True, eq=False)
class FittedSoftGate(Fitted):
    """Both models, and the coefficients of the weight, shape (n_terms,)."""

    model: SoftGate
    baseline: Fitted
    specialist: Fitted
    coefficients: NDArray[np.float64]

    def weights(self, table: pa.Table) -> NDArray[np.float64]:
        """Weight of the specialist in each row, shape (n_rows,)."""
        return _weights(self.model.reliabilities(table), self.coefficients)

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        first, weight = self.baseline.predict(table), self.weights(table)
        mixed: NDArray[np.float64] = first + weight * (self.specialist.predict(table) - first)
        return mixed

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Say how each prediction came about.

        Where both models are ensembles, ``spread`` is that of all their members together, each with
        its weight through the gate (law of total variance).
        """
        weight = self.weights(table)
        first, second = self.baseline.predict(table), self.specialist.predict(table)
        result = {"gate": weight, "baseline": first, "specialist": second}
        spreads = [part.explain(table).get("spread") for part in (self.baseline, self.specialist)]
        if spreads[0] is not None and spreads[1] is not None:
            within = (1 - weight) * spreads[0] ** 2 + weight * spreads[1] ** 2
            result["spread"] = np.sqrt(within + weight * (1 - weight) * (second - first) ** 2)
        return result

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did."""
        return {
            "kind": self.model.kind,
            "coefficients": self.coefficients.tolist(),
            "baseline": self.baseline.summary,
            "specialist": self.specialist.summary,
        }

    def state(self) -> State:
        """Give what the fit has found."""
        return State(
            facts={"coefficients": self.coefficients.tolist()},
            parts={"baseline": self.baseline, "specialist": self.specialist},
        )


def _weights(terms: NDArray[np.float64], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    total = (coefficients[:, None] * terms).sum(axis=0)
    held: NDArray[np.float64] = np.clip(total, 0.0, 1.0)
    return held


def _fit_weights(
    terms: NDArray[np.float64],
    residuals: NDArray[np.float64],
    differences: NDArray[np.float64],
    prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Coefficients of the weight that takes most of the residuals away.

    Ridge regression towards the prior, each coefficient with the standard deviation
    :data:`_DOUBT`, in the units of the residuals' scatter.
    """
    scatter = float(residuals.std())
    if scatter == 0.0:
        return np.zeros(len(terms))
    design = np.concatenate([(terms * differences).T / scatter, np.eye(len(terms)) / _DOUBT])
    aims = np.concatenate([residuals / scatter, prior / _DOUBT])
    coefficients: NDArray[np.float64] = need("scipy.optimize").nnls(design, aims)[0]
    left = residuals - _weights(terms, coefficients) * differences
    return coefficients if (left**2).sum() < (residuals**2).sum() else np.zeros(len(terms))
