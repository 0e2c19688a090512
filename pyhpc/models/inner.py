"""Out-of-fold predictions inside a training set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyhpc.models.cross_validation import cross_validate
from pyhpc.models.matrix import column_of
from pyhpc.models.splits import Folds, grouped_folds, random_folds

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.model import Model
    from pyhpc.models.targets import Target


def inner_folds(table: pa.Table, n_folds: int, groups: str | None, seed: int) -> Folds:
    """Folds of a training set: random, or whole groups of a column.

    Parameters
    ----------
    table : pyarrow.Table
        Training rows.
    n_folds : int
        Number of folds.
    groups : str, optional
        Column that holds each row's group.
    seed : int
        Of the folds.

    Raises
    ------
    PyhpcError
        If there are too few rows or groups, or no such column.
    """
    if groups is None:
        return random_folds(table.num_rows, n_folds, seed)
    labels = column_of(table, groups).to_numpy(zero_copy_only=False)
    return grouped_folds(labels, n_folds, seed)


def out_of_fold(
    model: Model, table: pa.Table, target: Target, folds: Folds, compute: Compute
) -> NDArray[np.float64]:
    """Predict each training row by a model that has not seen it, shape (n_rows,)."""
    return cross_validate(model, table, target, folds, compute).prediction
