"""A model of the quantity itself, where the study predicts its logarithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.errors import PyhpcError
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.preparation import check_fit

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target

_LARGEST = 300.0
"""Largest decimal logarithm whose power is taken; 10^308 is where numbers end."""
_UNCHANGED = ("gate",)
_PREDICTIONS = ("baseline", "specialist", "lower", "upper", "member_")


@dataclass(frozen=True)
class RawTarget(Model):
    """Fits a model to ``10**target`` and predicts the decimal logarithm of what it says.

    For a study of log10 x, this is a model of x, whose loss counts errors of x, scored like the
    others. Bounds become bounds of x.

    Attributes
    ----------
    model : Model
        The model of x.
    floor : float
        What is said to be less than this part of the smallest x among the training rows, or
        negative, is taken to be so much.
    """

    kind: ClassVar[str] = "raw_target"
    model: Model
    floor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.floor <= 1:
            raise ValueError(f"floor = {self.floor}; it must be in (0, 1]")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return self.model.columns

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedRawTarget:
        """Fit to a table.

        Raises
        ------
        PyhpcError
            If a target is no logarithm: its power of ten is no number.
        """
        check_fit(table, target)
        largest = int(np.argmax(np.abs(target.values)))
        if abs(target.values[largest]) > _LARGEST:
            raise PyhpcError(
                f"the target of row {largest} is {target.values[largest]:g}, too large for the "
                "logarithm of a number",
                'Use raw_target where the target is a logarithm (transform = "log10").',
            )
        raw = target.transformed(_power)
        inner = self.model.fit(table, raw, compute)
        return FittedRawTarget(self, inner, self.floor * float(raw.values.min()))

    def restore(self, state: State) -> FittedRawTarget:
        """Make the fitted model again."""
        return FittedRawTarget(self, state.parts["raw"], state.facts["least"])


@dataclass(frozen=True, eq=False)
class FittedRawTarget(Fitted):
    """The model of x, and the least x that it may say."""

    model: RawTarget
    raw: Fitted
    least: float

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        return self._log10(self.raw.predict(table))

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Say what the model of x says of itself, of the logarithm.

        Predictions as their logarithms; ``spread`` as ``log10(1 + spread / x)``, which is that of
        the logarithm where it is small; and ``gate``. Differences of x have no counterpart and are
        left out.
        """
        told = self.raw.explain(table)
        result = {name: values for name, values in told.items() if name in _UNCHANGED}
        result |= {
            name: self._log10(values)
            for name, values in told.items()
            if name.startswith(_PREDICTIONS)
        }
        if "spread" in told:
            raw = np.maximum(self.raw.predict(table), self.least)
            result["spread"] = np.log1p(told["spread"] / raw) / np.log(10)
        return result

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did."""
        return {"kind": self.model.kind, "least": self.least, "model": self.raw.summary}

    def state(self) -> State:
        """Give what the fit has found."""
        return State(facts={"least": self.least}, parts={"raw": self.raw})

    def _log10(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        logarithms: NDArray[np.float64] = np.log10(np.maximum(raw, self.least))
        return logarithms


def _power(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = 10.0**logarithms
    return powers
