"""Losses of errors, with the gradients and curvatures that boosting takes steps by.

An error is prediction minus target. The value of a loss is a mean over rows, or the root of one;
gradients and Hessians are those of the number of rows times the value, so that a row adds the same
whether there are few or many.

Boosting gives a leaf the step ``- sum(gradient) / sum(curvature)``. With the Hessian as curvature
this is Newton's step, which overshoots without bound where a loss is nearly straight: its Hessian
is next to 0 there, its gradient is not. For losses that grow no faster than the square the
curvature is therefore ``gradient / error``, that of the parabola that touches the loss at the error
and lies above it everywhere else. A step to the lowest point of such parabolas, or part of the way
there, never raises the loss (majorization-minimization: Lange, Hunter & Yang 2000, doi
10.1080/10618600.2000.10474858), and is minus a weighted mean of the errors in the leaf, so it never
goes beyond the largest of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

_NORMAL_MEDIAN = 0.6745
"""Median absolute value of a standard normal variable."""


class Loss(ABC):
    """What errors cost; subclasses are frozen dataclasses, listed in :data:`LOSSES`."""

    kind: ClassVar[str]
    """Key in :data:`LOSSES`."""

    @abstractmethod
    def value(self, errors: Floats, targets: Floats) -> float:
        """Loss of all rows.

        Parameters
        ----------
        errors : array, shape (n_rows,)
            Prediction minus target, in units of the target.
        targets : array, shape (n_rows,)
            For losses that treat targets of different size differently.
        """

    @abstractmethod
    def gradient(self, errors: Floats, targets: Floats) -> Floats:
        """Slope of ``n_rows * value`` by the error of each row, shape (n_rows,)."""

    @abstractmethod
    def hessian(self, errors: Floats, targets: Floats) -> Floats:
        """Second derivative of ``n_rows * value`` by the error of each row, shape (n_rows,)."""

    def curvature(self, errors: Floats, targets: Floats) -> Floats:
        """Give what boosting divides by, not negative, shape (n_rows,): the Hessian by default."""
        return self.hessian(errors, targets)

    def step(self, errors: Floats, targets: Floats) -> tuple[Floats, Floats]:
        """Gradient and curvature of each row, both over the mean curvature.

        The factor changes no minimum. It makes ``min_child_weight`` and ``reg_lambda`` count rows,
        as they do for squared errors, whatever the unit of the target, the slope of the loss and
        the size of the errors that are left.
        """
        curvature = self.curvature(errors, targets)
        scale = curvature.mean() or 1.0
        return self.gradient(errors, targets) / scale, curvature / scale


class _Power(Loss):
    """Mean of ``|e|^p / p``.

    The curvature is the Hessian, ``(p - 1) |e|^(p - 2)``: a step goes 1 / (p - 1) of the way to a
    weighted mean of the errors in the leaf.
    """

    power: ClassVar[int]

    def value(self, errors: Floats, targets: Floats) -> float:
        return float((np.abs(errors) ** self.power).mean() / self.power)

    def gradient(self, errors: Floats, targets: Floats) -> Floats:
        slopes: Floats = errors * np.abs(errors) ** (self.power - 2)
        return slopes

    def hessian(self, errors: Floats, targets: Floats) -> Floats:
        second: Floats = (self.power - 1) * np.abs(errors) ** (self.power - 2)
        return second


@dataclass(frozen=True)
class Squared(_Power):
    """``e^2 / 2``: its best prediction is the mean."""

    kind: ClassVar[str] = "squared"
    power: ClassVar[int] = 2


@dataclass(frozen=True)
class Cubic(_Power):
    """``|e|^3 / 3``: weighs large errors more than the square does."""

    kind: ClassVar[str] = "cubic"
    power: ClassVar[int] = 3


@dataclass(frozen=True)
class Quartic(_Power):
    """``e^4 / 4``: hardly anything but the largest errors counts."""

    kind: ClassVar[str] = "quartic"
    power: ClassVar[int] = 4


class _RootMean(Loss):
    """``r = mean(|e|^p)^(1/p)``, in units of the target.

    The gradient of ``n r`` is ``sign(e) (|e| / r)^(p - 1)``. The root couples the rows: its Hessian
    has the factor ``1 - |e|^p / (n r^p)``, which vanishes for a row that bears the whole loss. The
    curvature leaves it out: the root lies below its tangents, so that what is left is the Hessian
    of a loss above this one.

    The minimum is that of the mean beneath the root, and so are the steps, but for their scale.
    This one is left as it is, 1 / r: ``min_child_weight`` and ``reg_lambda`` count rows times the
    unit of the target, and weigh the less the smaller the errors become.
    """

    power: ClassVar[int]

    def value(self, errors: Floats, targets: Floats) -> float:
        return float((np.abs(errors) ** self.power).mean() ** (1 / self.power))

    def gradient(self, errors: Floats, targets: Floats) -> Floats:
        ratios = errors / self._scale(errors, targets)
        slopes: Floats = ratios * np.abs(ratios) ** (self.power - 2)
        return slopes

    def hessian(self, errors: Floats, targets: Floats) -> Floats:
        shares = np.abs(errors / self._scale(errors, targets)) ** self.power / len(errors)
        second: Floats = self.curvature(errors, targets) * (1 - shares)
        return second

    def curvature(self, errors: Floats, targets: Floats) -> Floats:
        scale = self._scale(errors, targets)
        weights = np.abs(errors / scale) ** (self.power - 2)
        result: Floats = (self.power - 1) / scale * weights
        return result

    def step(self, errors: Floats, targets: Floats) -> tuple[Floats, Floats]:
        return self.gradient(errors, targets), self.curvature(errors, targets)

    def _scale(self, errors: Floats, targets: Floats) -> float:
        # Without any error there is nothing to divide.
        return self.value(errors, targets) or 1.0


@dataclass(frozen=True)
class RootMeanSquared(_RootMean):
    """``mean(e^2)^(1/2)``."""

    kind: ClassVar[str] = "root_mean_squared"
    power: ClassVar[int] = 2


@dataclass(frozen=True)
class RootMeanCubic(_RootMean):
    """``mean(|e|^3)^(1/3)``."""

    kind: ClassVar[str] = "root_mean_cubic"
    power: ClassVar[int] = 3


@dataclass(frozen=True)
class RootMeanQuartic(_RootMean):
    """``mean(e^4)^(1/4)``."""

    kind: ClassVar[str] = "root_mean_quartic"
    power: ClassVar[int] = 4


@dataclass(frozen=True)
class Quantile(Loss):
    """``(1 - level) e`` above the target, ``- level e`` below it.

    Its best prediction is the quantile of this level: Koenker & Bassett 1978, doi 10.2307/1913643.
    It has no curvature; XGBoost's own objective sets each leaf to the quantile of its errors.

    Attributes
    ----------
    level : float
        Between 0 and 1.
    """

    kind: ClassVar[str] = "quantile"
    level: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"level = {self.level}; it must lie between 0 and 1")

    def value(self, errors: Floats, targets: Floats) -> float:
        """Loss of all rows, in units of the target."""
        return float((errors * self.gradient(errors, targets)).mean())

    def gradient(self, errors: Floats, targets: Floats) -> Floats:
        """Slope; 0 where there is no error."""
        return np.where(errors > 0, 1 - self.level, np.where(errors < 0, -self.level, 0.0))

    def hessian(self, errors: Floats, targets: Floats) -> Floats:
        """0."""
        return np.zeros_like(errors)


@dataclass(frozen=True)
class Absolute(Loss):
    """``|e|``: its best prediction is the median.

    As :class:`Quantile`, it is left to XGBoost's own objective.
    """

    kind: ClassVar[str] = "absolute"

    def value(self, errors: Floats, targets: Floats) -> float:
        """Loss of all rows, in units of the target."""
        return float(np.abs(errors).mean())

    def gradient(self, errors: Floats, targets: Floats) -> Floats:
        """Sign of the error."""
        return np.sign(errors)

    def hessian(self, errors: Floats, targets: Floats) -> Floats:
        """0."""
        return np.zeros_like(errors)


@dataclass(frozen=True)
class PseudoHuber(Loss):
    """``d^2 (sqrt(1 + (e/d)^2) - 1)``: ``e^2 / 2`` of small errors, ``d |e|`` of large ones.

    Charbonnier et al. 1997, doi 10.1109/83.551699. XGBoost's objective of this name divides by the
    Hessian, ``(1 + (e/d)^2)^(-3/2)``, by which the step of an error e is ``e (1 + (e/d)^2)``.

    Attributes
    ----------
    slope : float
        d, in units of the target: the slope far out, and about where it is reached.
    """

    kind: ClassVar[str] = "pseudo_huber"
    slope: float = 1.0

    def __post_init__(self) -> None:
        if self.slope <= 0:
            raise ValueError(f"slope = {self.slope}; it must be positive")

    def value(self, errors: Floats, targets: Floats) -> float:
        """Loss of all rows, in squared units of the target."""
        # The difference of the root and 1, without its cancellation.
        return float((errors**2 / (1 + np.hypot(1, errors / self.slope))).mean())

    def gradient(self, errors: Floats, targets: Floats) -> Floats:
        """``e / sqrt(1 + (e/d)^2)``."""
        return errors * self.curvature(errors, targets)

    def hessian(self, errors: Floats, targets: Floats) -> Floats:
        """``(1 + (e/d)^2)^(-3/2)``."""
        second: Floats = self.curvature(errors, targets) ** 3
        return second

    def curvature(self, errors: Floats, targets: Floats) -> Floats:
        """``1 / sqrt(1 + (e/d)^2)``."""
        weights: Floats = 1 / np.hypot(1, errors / self.slope)
        return weights


@dataclass(frozen=True)
class TailHuber(Loss):
    """Huber's loss of the rows whose absolute error is at or above a quantile; 0 of the others.

    Huber 1964, doi 10.1214/aoms/1177703732: ``e^2 / 2`` up to d, ``d (|e| - d/2)`` from there. What
    the worst rows suffer is lessened, at the cost of all others.

    Attributes
    ----------
    quantile : float
        Fraction of the rows that lie below, from 0 to below 1; 0: Huber's loss of all rows.
    slope : float
        d, in units of the target.
    """

    kind: ClassVar[str] = "tail_huber"
    quantile: float = 0.9
    slope: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.quantile < 1:
            raise ValueError(f"quantile = {self.quantile}; it must be 0 or more, and below 1")
        if self.slope <= 0:
            raise ValueError(f"slope = {self.slope}; it must be positive")

    def value(self, errors: Floats, targets: Floats) -> float:
        """Loss of all rows, in squared units of the target."""
        return float((_huber(errors, self.slope) * self.tail(errors)).mean())

    def gradient(self, errors: Floats, targets: Floats) -> Floats:
        """Error in the tail, cut at d; 0 below."""
        slopes: Floats = np.clip(errors, -self.slope, self.slope) * self.tail(errors)
        return slopes

    def hessian(self, errors: Floats, targets: Floats) -> Floats:
        """1 in the tail up to d, 0 elsewhere."""
        return ((np.abs(errors) <= self.slope) & self.tail(errors)).astype(np.float64)

    def curvature(self, errors: Floats, targets: Floats) -> Floats:
        """``min(1, d / |e|)`` of all rows.

        Those below the tail share the leaves of those in it and are moved along: were they not
        counted, a single bad row would move its whole leaf by its own error.
        """
        return _huber_weights(errors, self.slope)

    def tail(self, errors: Floats) -> NDArray[np.bool_]:
        """Tell the rows that count, shape (n_rows,)."""
        sizes = np.abs(errors)
        inside: NDArray[np.bool_] = sizes >= np.quantile(sizes, self.quantile)
        return inside


@dataclass(frozen=True)
class StratHuber(Loss):
    """Huber's loss whose d is that of the row's stratum of the target.

    Where errors grow with the target, one d for all takes most large targets for outliers and no
    small one. The strata are equally large, by quantiles of the targets; d is ``width`` robust
    standard deviations of the errors in the stratum (median of ``|e|`` over 0.6745), found anew
    each time. Gradients and Hessians are those for given d.

    Attributes
    ----------
    n_strata : int
        Number of strata.
    width : float
        With 1.345, means are 95% as precise as those of squares where errors are normal: Holland &
        Welsch 1977, doi 10.1080/03610927708827533.
    """

    kind: ClassVar[str] = "strat_huber"
    n_strata: int = 5
    width: float = 1.345

    def __post_init__(self) -> None:
        if self.n_strata < 1:
            raise ValueError(f"n_strata = {self.n_strata}; it must be at least 1")
        if self.width <= 0:
            raise ValueError(f"width = {self.width}; it must be positive")

    def value(self, errors: Floats, targets: Floats) -> float:
        """Loss of all rows, in squared units of the target."""
        return float(_huber(errors, self.deltas(errors, targets)).mean())

    def gradient(self, errors: Floats, targets: Floats) -> Floats:
        """Error, cut at d."""
        deltas = self.deltas(errors, targets)
        return np.clip(errors, -deltas, deltas)

    def hessian(self, errors: Floats, targets: Floats) -> Floats:
        """1 up to d, 0 beyond."""
        return (np.abs(errors) <= self.deltas(errors, targets)).astype(np.float64)

    def curvature(self, errors: Floats, targets: Floats) -> Floats:
        """``min(1, d / |e|)``."""
        return _huber_weights(errors, self.deltas(errors, targets))

    def deltas(self, errors: Floats, targets: Floats) -> Floats:
        """Find d of each row, in units of the target, shape (n_rows,).

        A stratum whose median error is 0 has no scale: there d is the largest error, and the loss
        that of squares.
        """
        sizes = np.abs(errors)
        edges = np.quantile(targets, np.arange(1, self.n_strata) / self.n_strata)
        strata = np.searchsorted(edges, targets, side="right")
        result = np.empty_like(sizes)
        for stratum in np.unique(strata):
            rows = strata == stratum
            scale = np.median(sizes[rows]) / _NORMAL_MEDIAN
            result[rows] = self.width * scale or sizes[rows].max() or 1.0
        return result


def _huber(errors: Floats, deltas: float | Floats) -> Floats:
    sizes = np.abs(errors)
    inner = np.minimum(sizes, deltas)
    costs: Floats = inner * (sizes - inner / 2)
    return costs


def _huber_weights(errors: Floats, deltas: float | Floats) -> Floats:
    weights: Floats = deltas / np.maximum(np.abs(errors), deltas)
    return weights


LOSSES: dict[str, type[Loss]] = {
    loss.kind: loss
    for loss in (
        Squared,
        RootMeanSquared,
        PseudoHuber,
        Absolute,
        Quantile,
        TailHuber,
        StratHuber,
        Cubic,
        Quartic,
        RootMeanCubic,
        RootMeanQuartic,
    )
}
"""Losses by kind."""
