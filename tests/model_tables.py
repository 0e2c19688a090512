"""Synthetic tables for the tests of models."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pyhpc.models import Target

FEATURES = ("x0", "x1", "x2", "x3")
PHYSICS = (*FEATURES, "p")
SMALL = {
    "kind": "xgboost",
    "features": list(FEATURES),
    "n_trees": 25,
    "max_depth": 3,
    "learning_rate": 0.15,
}
SMALL_PHYSICS = SMALL | {"features": list(PHYSICS)}
NEAREST = {"kind": "nearest", "features": ["row"]}


def covered_table(n_rows=240, seed=0, strength=1.5):
    """Rows whose column ``p``, known for 60% of them, adds ``strength * p`` to the target."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=n_rows) for name in FEATURES}
    has = rng.random(n_rows) < 0.6
    p = rng.normal(size=n_rows)
    noise = 0.3 * rng.normal(size=n_rows)
    values = columns["x0"] + np.sin(2 * columns["x1"]) + strength * p * has + noise
    columns |= {
        "p": np.where(has, p, np.nan),
        "has_p": has.astype(np.int8),
        "margin": rng.exponential(size=n_rows),
        "group": rng.integers(40, size=n_rows),
        "row": np.arange(n_rows),
    }
    return pa.table(columns), Target.measured(values)
