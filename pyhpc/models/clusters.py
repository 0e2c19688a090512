"""Clusters of rows that are alike in their features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.models.matrix import matrix
from pyhpc.models.optional import need
from pyhpc.models.preparation import Filling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray


def feature_clusters(
    table: pa.Table, columns: Sequence[str], n_clusters: int = 10, seed: int = 0
) -> NDArray[np.int64]:
    """Cluster rows by k-means, for folds that leave a cluster out.

    A model is asked there what it knows of materials unlike those it has seen: Meredig et al.
    2018, doi 10.1039/C8ME00012C.

    Parameters
    ----------
    table : pyarrow.Table
        With the columns; missing values count as the median.
    columns : sequence of str
        Standardised before clustering.
    n_clusters, seed : int
        Number of clusters, and the seed of their first centres.

    Returns
    -------
    array, shape (n_rows,), int64
        Cluster of each row, numbered by size, the largest first.
    """
    values = matrix(table, columns)
    filled = Filling.of(values).fill(values).astype(np.float64)
    deviations = filled.std(axis=0)
    points = (filled - filled.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
    with need("threadpoolctl").threadpool_limits(1):
        means = need("sklearn.cluster").KMeans(n_clusters, n_init=10, random_state=seed)
        labels: NDArray[np.int64] = means.fit_predict(points).astype(np.int64)
    sizes = np.bincount(labels, minlength=n_clusters)
    rank = np.empty(n_clusters, dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(n_clusters)
    ranked: NDArray[np.int64] = rank[labels]
    return ranked
