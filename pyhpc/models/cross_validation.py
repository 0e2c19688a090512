"""Predictions of rows by models that have not seen them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.model import Model
    from pyhpc.models.splits import Folds
    from pyhpc.models.targets import Target


@dataclass(frozen=True, eq=False)
class FoldPrediction:
    """What one fold's model says of the rows that it has not seen.

    Attributes
    ----------
    fold : int
        Number of the fold.
    rows : array, shape (n_tested,)
        Row numbers in the whole table.
    prediction : array, shape (n_tested,)
        Their predictions.
    explained : dict of str to array, shape (n_tested,)
        From :meth:`~pyhpc.models.model.Fitted.explain`.
    summary : dict
        From :attr:`~pyhpc.models.model.Fitted.summary`.
    """

    fold: int
    rows: NDArray[np.int64]
    prediction: NDArray[np.float64]
    explained: dict[str, NDArray[np.float64]]
    summary: dict[str, Any]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Pooled predictions of all folds.

    Attributes
    ----------
    folds : Folds
        What they were made with.
    rows : array, shape (n_tested,)
        Rows that were predicted, ascending: all, unless the folds leave some out.
    prediction : array, shape (n_tested,)
        Their predictions.
    explained : dict of str to array, shape (n_tested,)
        NaN where a fold's model did not tell.
    summaries : list of dict
        One per fold.
    """

    folds: Folds
    rows: NDArray[np.int64]
    prediction: NDArray[np.float64]
    explained: dict[str, NDArray[np.float64]]
    summaries: list[dict[str, Any]]

    @property
    def fold(self) -> NDArray[np.int64]:
        """Fold of each predicted row."""
        return self.folds.assignment[self.rows]


def predict_fold(
    model: Model, table: pa.Table, target: Target, folds: Folds, fold: int, compute: Compute
) -> FoldPrediction:
    """Fit to a fold's training rows, predict the others; the unit of work of a study."""
    train, test = folds.rows(fold)
    fitted = model.fit(table.take(train), target.take(train), compute)
    tested = table.take(test)
    return FoldPrediction(
        fold, test, fitted.predict(tested), fitted.explain(tested), fitted.summary
    )


def pool(folds: Folds, predictions: Sequence[FoldPrediction]) -> OutOfFold:
    """Put the predictions of all folds together, in the order of the rows.

    Raises
    ------
    ValueError
        If a fold is missing, or there twice.
    """
    parts = sorted(predictions, key=lambda part: part.fold)
    if [part.fold for part in parts] != list(range(len(folds))):
        raise ValueError(f"{len(folds)} folds, but predictions of {[p.fold for p in parts]}")
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows)
    explained = {}
    for name in dict.fromkeys(name for part in parts for name in part.explained):
        pieces = [part.explained.get(name, np.full(len(part.rows), np.nan)) for part in parts]
        explained[name] = np.concatenate(pieces)[order]
    return OutOfFold(
        folds,
        rows[order],
        np.concatenate([part.prediction for part in parts])[order],
        explained,
        [part.summary for part in parts],
    )


def cross_validate(
    model: Model, table: pa.Table, target: Target, folds: Folds, compute: Compute
) -> OutOfFold:
    """Predict every row of the folds out of fold.

    Parameters
    ----------
    model : Model
        What to fit, anew in each fold.
    table : pyarrow.Table
        Rows in the order of the folds.
    target : Target
        Of the same rows.
    folds : Folds
        From :mod:`pyhpc.models.splits`.
    compute : Compute
        Seed, threads and device of each fit.
    """
    parts = [predict_fold(model, table, target, folds, k, compute) for k in range(len(folds))]
    return pool(folds, parts)
