"""Forests of scikit-learn, kept as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.models.matrix import matrix
from pyhpc.models.model import Fitted, Model, State
from pyhpc.models.optional import need
from pyhpc.models.preparation import Filling, check_fit

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target

_CHUNK = 4096
"""Rows that go down all trees at once."""


@dataclass(frozen=True)
class RandomForest(Model):
    """Breiman 2001, doi 10.1023/A:1010933404324.

    Attributes
    ----------
    features : tuple of str
        Columns; missing values become the training median.
    n_trees : int
        Number of trees.
    max_features : float
        Fraction of the features among which each split is sought.
    min_samples_leaf : int
        Least number of training rows in a leaf.
    """

    kind: ClassVar[str] = "random_forest"
    features: tuple[str, ...]
    n_trees: int = 300
    max_features: float = 0.33
    min_samples_leaf: int = 1

    def __post_init__(self) -> None:
        if self.n_trees < 1 or self.min_samples_leaf < 1:
            raise ValueError("n_trees and min_samples_leaf must be at least 1")
        if not 0 < self.max_features <= 1:
            raise ValueError(f"max_features = {self.max_features}; it must be in (0, 1]")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return self.features

    def _make(self, **options: Any) -> Any:
        return need("sklearn.ensemble").RandomForestRegressor(**options)

    def fit(self, table: pa.Table, target: Target, compute: Compute) -> FittedForest:
        """Fit to a table."""
        check_fit(table, target)
        rows = matrix(table, self.features)
        filling = Filling.of(rows)
        forest = self._make(
            n_estimators=self.n_trees,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            random_state=compute.seed,
            n_jobs=compute.threads,
        ).fit(filling.fill(rows), target.values)
        return FittedForest(self, filling, Trees.of([tree.tree_ for tree in forest.estimators_]))

    def restore(self, state: State) -> FittedForest:
        """Make the fitted model again."""
        arrays: dict[str, Any] = dict(state.arrays)
        return FittedForest(self, Filling(arrays.pop("medians")), Trees(**arrays))


@dataclass(frozen=True)
class ExtraTrees(RandomForest):
    """Extremely randomized trees, Geurts et al. 2006, doi 10.1007/s10994-006-6226-1."""

    kind: ClassVar[str] = "extra_trees"

    def _make(self, **options: Any) -> Any:
        return need("sklearn.ensemble").ExtraTreesRegressor(**options)


@dataclass(frozen=True, eq=False)
class Trees:
    """Nodes of all trees, one after the other.

    Attributes
    ----------
    roots : array, shape (n_trees,), int64
        First node of each tree.
    left, right : array, shape (n_nodes,), int64
        Children; a leaf is its own child.
    features : array, shape (n_nodes,), int64
        Column that a node asks for.
    thresholds : array, shape (n_nodes,), float64
        Rows up to this go left.
    values : array, shape (n_nodes,), float64
        Mean of the targets in the node.
    """

    roots: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    features: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, trees: list[Any]) -> Trees:
        """Take the nodes of scikit-learn's trees."""
        sizes = np.array([tree.node_count for tree in trees])
        roots = np.cumsum(sizes) - sizes
        own = np.arange(sizes.sum())
        shifts = np.repeat(roots, sizes)

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(tree, name) for tree in trees])

        left, right = joined("children_left"), joined("children_right")
        leaf = left < 0
        return cls(
            roots=roots.astype(np.int64),
            left=np.where(leaf, own, left + shifts),
            right=np.where(leaf, own, right + shifts),
            features=np.where(leaf, 0, joined("feature")).astype(np.int64),
            thresholds=joined("threshold").astype(np.float64),
            values=joined("value")[:, 0, 0].astype(np.float64),
        )

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Predict with each tree, shape (n_trees, n_rows)."""
        result = np.empty((len(self.roots), len(rows)))
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            numbers = np.arange(len(part))
            nodes = np.repeat(self.roots[:, None], len(part), axis=1)
            while True:
                goes_left = part[numbers, self.features[nodes]] <= self.thresholds[nodes]
                below = np.where(goes_left, self.left[nodes], self.right[nodes])
                if np.array_equal(below, nodes):
                    break
                nodes = below
            result[:, start : start + _CHUNK] = self.values[nodes]
        return result


@dataclass(frozen=True, eq=False)
class FittedForest(Fitted):
    """The trees, and what fills missing values."""

    model: RandomForest
    filling: Filling
    trees: Trees

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row, shape (n_rows,)."""
        mean: NDArray[np.float64] = self._by_tree(table).mean(axis=0)
        return mean

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Say how each prediction came about."""
        return {"spread": self._by_tree(table).std(axis=0)}

    def state(self) -> State:
        """Give what the fit has found."""
        return State(arrays={"medians": self.filling.medians} | vars(self.trees))

    def _by_tree(self, table: pa.Table) -> NDArray[np.float64]:
        return self.trees.predict(self.filling.fill(matrix(table, self.model.features)))
