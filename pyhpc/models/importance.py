"""Which features a model lives on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pyhpc.errors import PyhpcError
from pyhpc.models.boosting import FittedXGBoost
from pyhpc.models.ensembles import FittedEnsemble
from pyhpc.models.matrix import matrix
from pyhpc.models.optional import need
from pyhpc.models.preparation import Filling
from pyhpc.models.tuning import FittedTuned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.model import Fitted, Model
    from pyhpc.models.splits import Folds
    from pyhpc.models.targets import Target


def permutation_importance(
    model: Model,
    table: pa.Table,
    target: Target,
    folds: Folds,
    compute: Compute,
    *,
    clusters: Sequence[Sequence[str]] | None = None,
    n_repeats: int = 5,
) -> pa.Table:
    """Measure how much worse held-out rows are predicted when columns are shuffled among them.

    A feature whose information stands in others too loses little alone: shuffle them together,
    by :func:`correlated_clusters` (Strobl et al. 2008, doi 10.1186/1471-2105-9-307).

    Parameters
    ----------
    model : Model
        Fitted once per fold.
    table : pyarrow.Table
        Rows in the order of the folds.
    target : Target
        Of the same rows.
    folds : Folds
        Of which each one's held-out rows are shuffled.
    compute : Compute
        Of the fits; its seed is that of the shuffling, too.
    clusters : sequence of sequences of str, optional
        Columns to shuffle together; each column of the model alone, where they are not given.
    n_repeats : int
        Shuffles per fold.

    Returns
    -------
    pyarrow.Table
        ``features`` (list of str), ``importance`` (mean increase of the absolute error, in units
        of the target) and ``std`` (between folds), the most important first.
    """
    groups = [(name,) for name in model.columns] if clusters is None else clusters
    increases = np.zeros((len(groups), len(folds)))
    for k, (train, test) in enumerate(folds):
        fitted = model.fit(table.take(train), target.take(train), compute)
        held_out = table.take(test)
        truth = np.tile(target.values[test], n_repeats)
        base = float(np.abs(fitted.predict(held_out) - target.values[test]).mean())
        generator = np.random.default_rng([compute.seed, k])
        shuffles = np.concatenate([generator.permutation(len(test)) for _ in range(n_repeats)])
        repeated = held_out.take(np.tile(np.arange(len(test)), n_repeats))
        for j, names in enumerate(groups):
            shuffled = repeated
            for name in names:
                column = held_out[name].take(shuffles)
                shuffled = shuffled.set_column(shuffled.schema.get_field_index(name), name, column)
            increases[j, k] = float(np.abs(fitted.predict(shuffled) - truth).mean()) - base
    means, deviations = increases.mean(axis=1), increases.std(axis=1)
    order = np.argsort(-means, kind="stable")
    return pa.table(
        {
            "features": pa.array([list(groups[j]) for j in order], pa.list_(pa.string())),
            "importance": means[order],
            "std": deviations[order],
        }
    )


def correlated_clusters(
    table: pa.Table, columns: Sequence[str], *, correlation: float = 0.7
) -> list[tuple[str, ...]]:
    """Put columns that are correlated in rank (Spearman) together.

    Parameters
    ----------
    table : pyarrow.Table
        With the columns; missing values count as the median.
    columns : sequence of str
        What to cluster.
    correlation : float
        Average-linkage clusters are cut at this absolute correlation.

    Returns
    -------
    list of tuple of str
        In the order of their first columns; a constant column is alone.
    """
    values = matrix(table, columns)
    filled = Filling.of(values).fill(values)
    ranks = need("scipy.stats").rankdata(filled, axis=0)
    varies = np.ptp(ranks, axis=0) > 0
    labels = -np.arange(1, len(columns) + 1)
    if varies.sum() > 1:
        hierarchy = need("scipy.cluster.hierarchy")
        distances = 1 - np.abs(np.corrcoef(ranks[:, varies], rowvar=False))
        upper = np.triu_indices(int(varies.sum()), 1)
        # Rounding must not make a distance negative.
        links = hierarchy.linkage(np.maximum(distances[upper], 0.0), "average")
        labels[varies] = hierarchy.fcluster(links, 1 - correlation, "distance")
    members: dict[int, list[str]] = {}
    for label, name in zip(labels.tolist(), columns, strict=True):
        members.setdefault(label, []).append(name)
    return [tuple(names) for names in members.values()]


def shap_values(
    fitted: Fitted, table: pa.Table
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Split predictions of boosted trees among their features.

    Parameters
    ----------
    fitted : Fitted
        XGBoost, tuned or not, or an ensemble of such.
    table : pyarrow.Table
        Rows to explain.

    Returns
    -------
    values : dict of str to array, shape (n_rows,)
        SHAP values by feature, in units of the target.
    base : array, shape (n_rows,)
        What remains: base and the values of a row sum to its prediction.

    Raises
    ------
    PyhpcError
        If the model is no such.
    """
    if isinstance(fitted, FittedXGBoost):
        contributions = fitted.contributions(table)
        features = fitted.model.features
        return dict(zip(features, contributions.T, strict=False)), contributions[:, -1]
    if isinstance(fitted, FittedTuned):
        return shap_values(fitted.chosen, table)
    if isinstance(fitted, FittedEnsemble):
        values: dict[str, NDArray[np.float64]] = {}
        base = np.zeros(table.num_rows)
        for weight, member in zip(fitted.weights, fitted.members, strict=True):
            own, rest = shap_values(member, table)
            base += weight * rest
            for name, column in own.items():
                values[name] = values.get(name, 0.0) + weight * column
        return values, base
    raise PyhpcError(
        f"a model of kind {fitted.model.kind!r} has no SHAP values here",
        "Explain a part of it that is XGBoost, or use permutation_importance.",
    )
