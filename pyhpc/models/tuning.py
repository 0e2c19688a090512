"""Choice of parameters inside the training set."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from pyhpc.models.inner import inner_folds, out_of_fold
from pyhpc.models.metrics import metrics
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.preparation import check_fit
from pyhpc.models.registry import from_spec, to_spec

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target

Grid: TypeAlias = tuple[tuple[str, tuple[Any, ...]], ...]
"""Values to try by name of the parameter; ``a.b`` is the parameter b of the model a inside."""


@dataclass(frozen=True)
class Tuned(Model):
    """A model with the parameters that do best on folds inside its training set.

    Put inside of a cross-validation this is nested: the rows that score a fold have no part in
    the choice (Cawley & Talbot 2010, https://jmlr.org/papers/v11/cawley10a.html).

    Attributes
    ----------
    model : Model
        What to fit; its own parameters are tried first, and kept on a tie.
    grid : Grid
        Values of parameters; every combination is tried.
    n_samples : int
        From a larger grid, this many combinations are drawn; 0: all are tried.
    score : str
        Metric that decides: ``"rmse"``, ``"mae"`` or ``"censored_mae"``.
    n_folds : int
        Folds inside the training set.
    groups : str, optional
        Column of groups that these folds keep whole.
    """

    kind: ClassVar[str] = "tuned"
    model: Model
    grid: Grid
    n_samples: int = 0
    score: str = "rmse"
    n_folds: int = 5
    groups: str | None = None

    def __post_init__(self) -> None:
        if self.score not in ("rmse", "mae", "censored_mae"):
            raise ValueError(f"score = {self.score!r}; allowed: rmse, mae, censored_mae")
        for name, values in self.grid:
            if not values:
                raise ValueError(f"grid.{name} is empty; name a value at least")
            _changed(self.model, name, values[0])

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        groups = () if self.groups is None else (self.groups,)
        return tuple(dict.fromkeys((*self.model.columns, *groups)))

    def candidates(self, seed: int) -> list[Model]:
        """List the models to try, that without changes first."""
        names = [name for name, _ in self.grid]
        combinations = list(itertools.product(*(values for _, values in self.grid)))
        if 0 < self.n_samples < len(combinations):
            generator = np.random.default_rng(seed)
            drawn = np.sort(generator.choice(len(combinations), self.n_samples, replace=False))
            combinations = [combinations[k] for k in drawn]
        models = [self.model]
        for values in combinations:
            model = self.model
            for name, value in zip(names, values, strict=True):
                model = _changed(model, name, value)
            if model not in models:
                models.append(model)
        return models

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedTuned:
        """Fit to a table."""
        check_fit(table, target)
        folds = inner_folds(table, self.n_folds, self.groups, compute.seed)
        candidates = self.candidates(compute.seed)
        scores = [
            metrics(target, out_of_fold(model, table, target, folds, compute))[self.score]
            for model in candidates
        ]
        chosen = candidates[int(np.argmin(scores))]
        return FittedTuned(self, chosen.fit(table, target, compute), scores)

    def restore(self, state: State) -> FittedTuned:
        """Make the fitted model again."""
        return FittedTuned(self, state.parts["chosen"], state.facts["scores"])


@dataclass(frozen=True, eq=False)
class FittedTuned(Fitted):
    """The model with the chosen parameters, and the scores of all that were tried."""

    model: Tuned
    chosen: Fitted
    scores: list[float]

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        return self.chosen.predict(table)

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Say how each prediction came about."""
        return self.chosen.explain(table)

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did."""
        parameters = {name: _value(to_spec(self.chosen.model), name) for name, _ in self.model.grid}
        return {
            "kind": self.model.kind,
            "chosen": parameters,
            "scores": self.scores,
            "model": self.chosen.summary,
        }

    def state(self) -> State:
        """Give what the fit has found."""
        return State(facts={"scores": self.scores}, parts={"chosen": self.chosen})


def _changed(model: Model, name: str, value: object) -> Model:
    """Model with another value of a parameter, which may be one of a model inside."""
    first, _, rest = name.partition(".")
    if first not in getattr(model, "__dataclass_fields__", {}):
        allowed = ", ".join(model.__dataclass_fields__)  # type: ignore[attr-defined]
        raise ValueError(f"grid: {model.kind} has no parameter {first!r}; allowed: {allowed}")
    if rest:
        inside = getattr(model, first)
        if not isinstance(inside, Model):
            raise ValueError(f"grid: {first!r} is no model, so it has no parameter {rest!r}")
        value = _changed(inside, rest, value)
    return from_spec(to_spec(model) | {first: value}, "grid")


def _value(spec: dict[str, Any], name: str) -> Any:
    for part in name.split("."):
        spec = spec[part]
    return spec
