"""How long a fit takes, roughly: to balance shards, and to say beforehand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_PER_TREE = 5e-4
_PER_CELL = 4e-9
"""With half of the columns for each tree, in proportion to them."""
_PER_COLUMN_TREE = 3e-6
"""With 256 bins, in proportion to the bins."""
_PER_CELL_FOREST = {"random_forest": 5e-8, "extra_trees": 2e-8}
"""Trees of forests are grown to single rows."""
_OVERHEAD = 0.02


def estimate_seconds(spec: Mapping[str, Any], n_rows: int) -> float:
    """Estimate the time of a fit on one core of a current machine, in seconds.

    Parameters
    ----------
    spec : mapping
        Specification of the model.
    n_rows : int
        Rows of the table.
    """
    # A loss has a kind, too, and is fitted with its trees.
    values = [value for name, value in spec.items() if name != "loss"]
    inner = [value for value in values if isinstance(value, dict) and "kind" in value]
    inner += [
        item
        for value in values
        if isinstance(value, list)
        for item in value
        if isinstance(item, dict) and "kind" in item
    ]
    parts = sum(estimate_seconds(part, n_rows) for part in inner)
    if inner:
        return parts * _repeats(spec)
    n_columns = len(spec.get("features") or [x for block in spec.get("blocks", ()) for x in block])
    if spec["kind"] in ("mean", "nearest"):
        return _OVERHEAD
    if spec["kind"] == "gaussian_process":
        rows = min(n_rows, spec.get("max_rows", 2000))
        solved = min(n_rows, spec.get("solve_rows", 0) or rows)
        solution = 4e-12 * solved**3 + 3e-11 * solved**2 * n_columns
        return _OVERHEAD + float(8e-10 * rows**3 + solution)
    cells = n_rows * n_columns
    if spec["kind"] in _PER_CELL_FOREST:
        per_tree = _PER_TREE + _PER_CELL_FOREST[spec["kind"]] * cells
    else:
        bins = _PER_COLUMN_TREE * spec.get("max_bin", 256) / 256
        drawn = spec.get("colsample_bytree", 0.5) / 0.5
        per_tree = _PER_TREE + _PER_CELL * cells * drawn + bins * n_columns
    return _OVERHEAD + float(spec.get("n_trees", 400)) * per_tree


def _repeats(spec: Mapping[str, Any]) -> float:
    """How often a strategy fits its parts."""
    if spec["kind"] == "bagged":
        return int(spec.get("n", 10))
    if spec["kind"] in ("soft_gate", "residual", "cross_fitted"):
        return int(spec.get("n_folds", 5)) + 1
    if spec["kind"] == "tuned":
        tried = spec.get("n_samples", 0) or math.prod(map(len, dict(spec["grid"]).values()))
        return (tried + 1) * int(spec.get("n_folds", 5)) + 1
    return 1
