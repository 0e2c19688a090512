"""Models of any table, their strategies and honest scores.

A :class:`Model` (made by its class, or from JSON or TOML by :func:`from_spec`) is fitted to a
table; what comes out predicts, explains, and saves itself without pickle. Strategies are models
that hold models. :mod:`~pyhpc.models.splits` makes folds, :func:`cross_validate` predicts out of
fold, :func:`bootstrap` scores.

Needs the extra ``ml``: ``pip install 'pyhpc-crystals[ml]'``.
"""

from pyhpc.models.compute import Compute, best_device
from pyhpc.models.cross_validation import (
    FoldPrediction,
    OutOfFold,
    cross_validate,
    pool,
    predict_fold,
)
from pyhpc.models.matrix import matrix, ordinal
from pyhpc.models.metrics import METRICS, Score, bootstrap, metrics
from pyhpc.models.model import Fitted, Model, load
from pyhpc.models.registry import KINDS, from_spec, to_spec
from pyhpc.models.splits import Folds
from pyhpc.models.targets import Target, parse_targets

__all__ = [
    "KINDS",
    "METRICS",
    "Compute",
    "Fitted",
    "FoldPrediction",
    "Folds",
    "Model",
    "OutOfFold",
    "Score",
    "Target",
    "best_device",
    "bootstrap",
    "cross_validate",
    "from_spec",
    "load",
    "matrix",
    "metrics",
    "ordinal",
    "parse_targets",
    "pool",
    "predict_fold",
    "to_spec",
]
