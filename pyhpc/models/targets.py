"""Targets that may be known only as a bound."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

_MEASUREMENT = re.compile(r"\s*(<=?|>=?|~)?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be predicted: one number per row, or bounds on it.

    Attributes
    ----------
    values : array, shape (n_rows,), float64
        The number; for a row known only as a bound, the bound. This is what a model sees that
        knows nothing of bounds, and what the usual metrics compare with.
    lower, upper : array, shape (n_rows,), float64
        Interval that holds the number: equal to ``values`` where it was measured, ``-inf`` or
        ``inf`` on the open side of a bound.
    """

    values: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.values) == len(self.lower) == len(self.upper):
            raise ValueError("values, lower and upper differ in length")
        if not np.isfinite(self.values).all():
            row = int(np.flatnonzero(~np.isfinite(self.values))[0])
            raise PyhpcError(
                f"the target of row {row} is {self.values[row]}",
                "Leave out the rows without a target.",
            )
        if (self.lower > self.values).any() or (self.upper < self.values).any():
            raise ValueError("a value lies outside of its bounds")

    @classmethod
    def measured(cls, values: ArrayLike) -> Target:
        """Take numbers that are all known."""
        known = np.asarray(values, dtype=np.float64)
        return cls(known, known, known)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def censored(self) -> NDArray[np.bool_]:
        """Rows that are known only as a bound."""
        bounds: NDArray[np.bool_] = self.lower != self.upper
        return bounds

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Target:
        """Targets of some rows, by number or by mask."""
        return Target(self.values[rows], self.lower[rows], self.upper[rows])

    def coerced(self) -> Target:
        """Take each bound for a measurement, as many published studies do."""
        return Target.measured(self.values)

    def minus(self, prediction: NDArray[np.float64]) -> Target:
        """Subtract a prediction; bounds move along."""
        return Target(self.values - prediction, self.lower - prediction, self.upper - prediction)

    def transformed(
        self, increasing: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> Target:
        """Apply an increasing function to values and bounds."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return Target(*(increasing(part) for part in (self.values, self.lower, self.upper)))

    def log10(self) -> Target:
        """Decimal logarithm of a positive target.

        Raises
        ------
        PyhpcError
            If a value is not positive.
        """
        if (self.values <= 0).any():
            row = int(np.flatnonzero(self.values <= 0)[0])
            raise PyhpcError(
                f"the target of row {row} is {self.values[row]:g}, which has no logarithm",
                "Leave out the row, or do not take the logarithm.",
            )
        # An open lower side of a positive quantity reaches down to 0, and its logarithm to -inf.
        return Target(self.values, np.maximum(self.lower, 0.0), self.upper).transformed(np.log10)

    def distances(self, prediction: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far a prediction lies outside of what is known, shape (n_rows,).

        The absolute error of a measured row; for a bound, 0 on its open side and the distance to
        the bound on the other.
        """
        return np.maximum(np.maximum(self.lower - prediction, prediction - self.upper), 0.0)


def parse_targets(texts: Sequence[str | float | None]) -> tuple[Target, NDArray[np.bool_]]:
    """Read numbers and bounds, such as ``1.5e-6``, ``<1E-10``, ``>= 3``.

    Parameters
    ----------
    texts : sequence of str, float or None
        Cells of a table. Empty ones and ``nan`` are missing; ``~`` is read as a measurement.

    Returns
    -------
    target : Target
        Of the rows that have one; a bound such as ``<1E-10`` has the value 1e-10 and no lower
        end.
    present : array, shape (n_rows,), bool
        Rows that have a target.

    Raises
    ------
    PyhpcError
        If a cell can be read as neither.
    """
    values, lower, upper, present = [], [], [], []
    for row, text in enumerate(texts):
        cell = "" if text is None else str(text).strip()
        present.append(cell.lower() not in ("", "nan"))
        if not present[-1]:
            continue
        match = _MEASUREMENT.fullmatch(cell)
        if match is None:
            raise PyhpcError(
                f"the target of row {row} is {cell!r}",
                "Write a number, or a bound such as '<1E-10'.",
            )
        sign, value = match[1] or "", float(match[2])
        values.append(value)
        lower.append(-np.inf if sign.startswith("<") else value)
        upper.append(np.inf if sign.startswith(">") else value)
    target = Target(np.array(values), np.array(lower), np.array(upper))
    return target, np.array(present, dtype=np.bool_)
