"""A specialist that corrects a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from pyhpc.models.gates import check_covered, covered
from pyhpc.models.inner import inner_folds, out_of_fold
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.preparation import check_fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target

BASELINE_PREDICTION = "baseline_prediction"
"""Column that a stacked specialist finds the baseline's prediction in."""


@dataclass(frozen=True)
class Residual(Model):
    """The baseline, plus a specialist's model of its residual where all indicators are 1.

    Attributes
    ----------
    baseline, specialist : Model
        The two models; the specialist is fitted to covered rows alone. With
        ``baseline_prediction`` among its features it is stacked: it sees what it corrects.
    indicators : tuple of str
        Columns of 0 and 1 that say which rows are covered.
    residuals : str
        ``"out_of_fold"``: of baselines that have not seen the row. ``"in_sample"``: of the
        baseline that has, as published studies do; a flexible baseline leaves next to nothing of
        its own training rows, so the specialist learns noise.
    n_folds : int
        Folds inside the training set.
    groups : str, optional
        Column of groups that these folds keep whole.
    """

    kind: ClassVar[str] = "residual"
    baseline: Model
    specialist: Model
    indicators: tuple[str, ...]
    residuals: str = "out_of_fold"
    n_folds: int = 5
    groups: str | None = None

    def __post_init__(self) -> None:
        if self.residuals not in ("out_of_fold", "in_sample"):
            raise ValueError(f"residuals = {self.residuals!r}; allowed: out_of_fold, in_sample")
        if not self.indicators:
            raise ValueError("indicators is empty; name one at least")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        own = [name for name in self.specialist.columns if name != BASELINE_PREDICTION]
        groups = () if self.groups is None else (self.groups,)
        return tuple(dict.fromkeys((*self.baseline.columns, *own, *self.indicators, *groups)))

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedResidual:
        """Fit to a table."""
        check_fit(table, target)
        inside = covered(table, self.indicators)
        check_covered(inside, self.indicators)
        baseline = self.baseline.fit(table, target, compute)
        if self.residuals == "in_sample":
            known = baseline.predict(table)
        else:
            folds = inner_folds(table, self.n_folds, self.groups, compute.seed)
            known = out_of_fold(self.baseline, table, target, folds, compute)
        rows = np.flatnonzero(inside)
        specialist = self.specialist.fit(
            with_baseline(table, known).take(rows), target.minus(known).take(rows), compute
        )
        scatter = float((target.values - known)[rows].std())
        return FittedResidual(self, baseline, specialist, len(rows), scatter)

    def restore(self, state: State) -> FittedResidual:
        """Make the fitted model again."""
        parts, facts = state.parts, state.facts
        return FittedResidual(
            self, parts["baseline"], parts["specialist"], facts["n_covered"], facts["scatter"]
        )


@dataclass(frozen=True, eq=False)
class FittedResidual(Fitted):
    """Both models, the number of covered rows and the standard deviation of their residuals."""

    model: Residual
    baseline: Fitted
    specialist: Fitted
    n_covered: int
    scatter: float

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        told = self.explain(table)
        return told["baseline"] + told["gate"] * told["correction"]

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Say how each prediction came about."""
        first = self.baseline.predict(table)
        correction = self.specialist.predict(with_baseline(table, first))
        return {
            "gate": covered(table, self.model.indicators).astype(np.float64),
            "baseline": first,
            "specialist": first + correction,
            "correction": correction,
        }

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did."""
        return {
            "kind": self.model.kind,
            "n_covered": self.n_covered,
            "residual_std": self.scatter,
            "baseline": self.baseline.summary,
            "specialist": self.specialist.summary,
        }

    def state(self) -> State:
        """Give what the fit has found."""
        return State(
            facts={"n_covered": self.n_covered, "scatter": self.scatter},
            parts={"baseline": self.baseline, "specialist": self.specialist},
        )


def with_baseline(table: pa.Table, prediction: NDArray[np.float64]) -> pa.Table:
    """Give a table the column :data:`BASELINE_PREDICTION`."""
    if BASELINE_PREDICTION in table.column_names:
        table = table.drop_columns([BASELINE_PREDICTION])
    return table.append_column(BASELINE_PREDICTION, pa.array(prediction))
