"""The predictions that are judged, and what is known of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

_FEWEST_ROWS = 5
"""With fewer rows than this nothing can be said."""


_LARGEST = 1e100
"""Beyond this a number is what a diverged fit leaves, and squares overflow."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows that have a truth and a prediction.

    Attributes
    ----------
    truth, prediction : array, shape (n_rows,), float64
        Finite; in log10 where ``log``.
    ids : list of str
        Names of the rows.
    features : dict of str to array, shape (n_rows,), float64
        NaN where missing.
    formulas : list of str, or None
        Chemical formulas, empty where there is none.
    folds : array, shape (n_rows,), or None
        Each row was predicted by a model that was fitted to the rows of the other folds.
    without_truth, without_prediction : int
        Rows that were left out; those without a truth count as the former.
    log : bool
        Whether logarithms are judged.
    """

    truth: NDArray[np.float64]
    prediction: NDArray[np.float64]
    ids: list[str]
    features: dict[str, NDArray[np.float64]]
    formulas: list[str] | None
    folds: NDArray[np.int64] | None
    without_truth: int
    without_prediction: int
    log: bool

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def residual(self) -> NDArray[np.float64]:
        """Prediction less truth."""
        return self.prediction - self.truth


def usable(values: ArrayLike) -> NDArray[np.float64]:
    """Make float64 of numbers, NaN where they are not finite or beyond all sense."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(numbers) < _LARGEST, numbers, np.nan)


def make_sample(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    ids: Sequence[object] | None,
    features: Mapping[str, ArrayLike] | None,
    formulas: Sequence[str] | None,
    folds: ArrayLike | None,
    log: bool,
) -> Sample:
    """Check the rows and leave out those that lack a truth or a prediction.

    Raises
    ------
    PyhpcError
        If lengths differ, too few rows are left, the truth is constant, or there is no logarithm.
    """
    values, predicted = usable(truth), usable(prediction)
    names = np.arange(len(values)) if ids is None else np.asarray(ids, dtype=object)
    columns = {name: usable(column) for name, column in (features or {}).items()}
    labels = None if folds is None else np.unique(np.asarray(folds), return_inverse=True)[1]
    lengths = {"predictions": predicted, "ids": names} | columns
    if labels is not None:
        lengths["folds"] = labels
    if formulas is not None:
        lengths["formulas"] = np.asarray(formulas, dtype=object)
    for name, column in lengths.items():
        if column.shape != values.shape:
            raise PyhpcError(
                f"{name}: shape {column.shape}, but the truth has {values.shape}",
                "Pass one value per row.",
            )
    known, predicted_too = np.isfinite(values), np.isfinite(predicted)
    kept = known & predicted_too
    if kept.sum() < _FEWEST_ROWS:
        raise PyhpcError(
            f"only {kept.sum()} of {len(values)} rows have a truth and a prediction",
            f"At least {_FEWEST_ROWS} are needed; check the columns.",
        )
    if log:
        for what, column in (("truth", values), ("prediction", predicted)):
            bad = np.flatnonzero(kept & (column <= 0))
            if len(bad):
                raise PyhpcError(
                    f"the {what} of {names[bad[0]]} is {column[bad[0]]:g}, which has no logarithm "
                    f"({len(bad)} such rows)",
                    "Leave out --log, or leave out these rows.",
                )
        values, predicted = (
            np.log10(np.where(kept, column, 1.0)) for column in (values, predicted)
        )
    values, predicted = values[kept], predicted[kept]
    if np.ptp(values) < 1 / _LARGEST:
        raise PyhpcError(
            f"the truth is {values[0]:g} in all {len(values)} rows",
            "Check the column of the truth.",
        )
    return Sample(
        truth=values,
        prediction=predicted,
        ids=[str(name) for name in names[kept]],
        features={name: column[kept] for name, column in columns.items()},
        formulas=None if formulas is None else [formulas[k] for k in np.flatnonzero(kept).tolist()],
        folds=None if labels is None else labels[kept].astype(np.int64),
        without_truth=int((~known).sum()),
        without_prediction=int((known & ~predicted_too).sum()),
        log=log,
    )
