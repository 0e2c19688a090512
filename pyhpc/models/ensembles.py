"""Means of several models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.preparation import check_fit

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target


@dataclass(frozen=True)
class Blend(Model):
    """Weighted mean of different models.

    Attributes
    ----------
    models : tuple of Model
        Members.
    weights : tuple of float
        One per member, not negative, of any sum; empty: all equal.
    """

    kind: ClassVar[str] = "blend"
    models: tuple[Model, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("models is empty; name one at least")
        if self.weights and len(self.weights) != len(self.models):
            raise ValueError(f"{len(self.weights)} weights for {len(self.models)} models")
        if self.weights and (min(self.weights) < 0 or sum(self.weights) == 0):
            raise ValueError(f"weights = {self.weights}; none may be negative, nor all 0")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return tuple(dict.fromkeys(name for model in self.models for name in model.columns))

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedEnsemble:
        """Fit to a table."""
        members = [
            model.fit(table, target, compute.spawn(k)) for k, model in enumerate(self.models)
        ]
        return FittedEnsemble(self, members, _normalized(self.weights, len(members)))

    def restore(self, state: State) -> FittedEnsemble:
        """Make the fitted model again."""
        members = list(_in_order(state))
        return FittedEnsemble(self, members, _normalized(self.weights, len(members)))


@dataclass(frozen=True)
class Bagged(Model):
    """Mean of one model fitted with several seeds.

    Attributes
    ----------
    model : Model
        The model.
    n : int
        How often it is fitted.
    resample : bool
        Whether each fit draws its own rows, with replacement (Breiman 1996, doi
        10.1007/BF00058655), or sees all of them and differs by its seed alone.
    """

    kind: ClassVar[str] = "bagged"
    model: Model
    n: int = 10
    resample: bool = False

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n = {self.n}; it must be at least 1")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return self.model.columns

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedEnsemble:
        """Fit to a table."""
        check_fit(table, target)
        members = []
        for k in range(self.n):
            own = compute.spawn(k)
            if self.resample:
                generator = np.random.default_rng(own.seed)
                rows = np.sort(generator.integers(table.num_rows, size=table.num_rows))
                members.append(self.model.fit(table.take(rows), target.take(rows), own))
            else:
                members.append(self.model.fit(table, target, own))
        return FittedEnsemble(self, members, _normalized((), self.n))

    def restore(self, state: State) -> FittedEnsemble:
        """Make the fitted model again."""
        return FittedEnsemble(self, list(_in_order(state)), _normalized((), self.n))


@dataclass(frozen=True, eq=False)
class FittedEnsemble(Fitted):
    """Fitted members and their weights."""

    model: Blend | Bagged
    members: list[Fitted]
    weights: NDArray[np.float64]

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        mean: NDArray[np.float64] = self.weights @ self.member_predictions(table)
        return mean

    def member_predictions(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict with each member, shape (n_members, n_rows)."""
        return np.stack([member.predict(table) for member in self.members])

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Say how each prediction came about."""
        predictions = self.member_predictions(table)
        mean = self.weights @ predictions
        # What the members say of themselves in the same words is said of their mean.
        told = [member.explain(table) for member in self.members]
        shared = [name for name in told[0] if all(name in one for one in told)]
        result = {
            name: self.weights @ np.stack([one[name] for one in told])
            for name in shared
            if not name.startswith("member_")
        }
        result["spread"] = np.sqrt(self.weights @ (predictions - mean) ** 2)
        if isinstance(self.model, Blend):
            result |= {f"member_{k}": row for k, row in enumerate(predictions)}
        return result

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did."""
        members = [member.summary for member in self.members]
        return {"kind": self.model.kind, "weights": self.weights.tolist(), "members": members}

    def state(self) -> State:
        """Give what the fit has found."""
        return State(parts={f"member_{k}": member for k, member in enumerate(self.members)})


def _normalized(weights: tuple[float, ...], n: int) -> NDArray[np.float64]:
    values = np.array(weights or (1.0,) * n, dtype=np.float64)
    normalized: NDArray[np.float64] = values / values.sum()
    return normalized


def _in_order(state: State) -> list[Fitted]:
    return [state.parts[f"member_{k}"] for k in range(len(state.parts))]
