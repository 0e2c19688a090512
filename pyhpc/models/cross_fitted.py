"""Ensembles over folds, which know how far off they are on rows that they have not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.models.inner import inner_folds
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.preparation import check_fit
from pyhpc.models.residuals import BASELINE_PREDICTION, with_baseline
from pyhpc.models.targets import Target

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute

_NORMAL = 0.6351814227307391
"""What the mean logarithm of the size of a standard normal number lacks to 0: half of Euler's
constant plus log(2). Added to a mean logarithm of errors, it gives that of a standard deviation."""

_LEAST = 0.1
"""Least residual that the model of errors is shown, in medians of all: the logarithm of one that is
0 by chance would drown the others."""


@dataclass(frozen=True)
class CrossFitted(Model):
    """Mean of one model fitted to the complement of each fold, with a model of its errors.

    Each training row is predicted by the member that has not seen it. What is left over is what
    the ensemble gets wrong on new rows, and a second model learns its size from the features, so
    that intervals are wide where the errors are large and not only where the members disagree:
    normalised conformal prediction, Papadopoulos et al. 2008, and Lei et al. 2018, section 5.2,
    doi 10.1080/01621459.2017.1307116.

    Attributes
    ----------
    model : Model
        The members.
    errors : Model
        Fitted to the logarithm of the sizes of the out-of-fold residuals; it may have
        ``baseline_prediction`` among its features, the prediction of the ensemble. Rows known as
        a bound count with their distance from it.
    n_folds : int
        Folds inside the training set, and members.
    groups : str, optional
        Column of groups that these folds keep whole.
    """

    kind: ClassVar[str] = "cross_fitted"
    model: Model
    errors: Model
    n_folds: int = 5
    groups: str | None = None

    def __post_init__(self) -> None:
        if self.n_folds < 2:
            raise ValueError(f"n_folds = {self.n_folds}; it must be at least 2")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        own = [name for name in self.errors.columns if name != BASELINE_PREDICTION]
        groups = () if self.groups is None else (self.groups,)
        return tuple(dict.fromkeys((*self.model.columns, *own, *groups)))

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedCrossFitted:
        """Fit to a table."""
        check_fit(table, target)
        folds = inner_folds(table, self.n_folds, self.groups, compute.seed)
        members, unseen = [], np.empty(table.num_rows)
        for fold, (train, test) in enumerate(folds):
            own = compute.spawn(fold)
            member = self.model.fit(table.take(train), target.take(train), own)
            unseen[test] = member.predict(table.take(test))
            members.append(member)
        sizes = target.distances(unseen)
        least = _LEAST * float(np.median(sizes)) or 1.0
        errors = self.errors.fit(
            with_baseline(table, unseen),
            Target.measured(np.log(np.maximum(sizes, least))),
            compute.spawn(self.n_folds),
        )
        return FittedCrossFitted(self, members, errors, float(np.mean(sizes)))

    def restore(self, state: State) -> FittedCrossFitted:
        """Make the fitted model again."""
        members = [state.parts[f"member_{k}"] for k in range(self.n_folds)]
        return FittedCrossFitted(self, members, state.parts["errors"], state.facts["mean_error"])


@dataclass(frozen=True, eq=False)
class FittedCrossFitted(Fitted):
    """The members, the model of their errors, and the mean size of these on unseen rows."""

    model: CrossFitted
    members: list[Fitted]
    errors: Fitted
    mean_error: float

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        mean: NDArray[np.float64] = self.member_predictions(table).mean(axis=0)
        return mean

    def member_predictions(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict with each member, shape (n_members, n_rows)."""
        return np.stack([member.predict(table) for member in self.members])

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Say how each prediction came about.

        ``spread`` is the standard deviation of the error that is expected, were it normal.
        """
        told = [member.explain(table) for member in self.members]
        shared = [name for name in told[0] if all(name in one for one in told)]
        result: dict[str, NDArray[np.float64]] = {
            name: np.mean([one[name] for one in told], axis=0)
            for name in shared
            if not name.startswith("member_")
        }
        expected = self.errors.predict(with_baseline(table, self.predict(table)))
        return result | {"spread": np.exp(expected + _NORMAL)}

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did."""
        return {
            "kind": self.model.kind,
            "mean_error": self.mean_error,
            "members": [member.summary for member in self.members],
            "errors": self.errors.summary,
        }

    def state(self) -> State:
        """Give what the fit has found."""
        members = {f"member_{k}": member for k, member in enumerate(self.members)}
        return State(facts={"mean_error": self.mean_error}, parts=members | {"errors": self.errors})
