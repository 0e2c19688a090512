"""Models of any table, their strategies and honest scores.

A :class:`Model` (made by its class, or from JSON or TOML by :func:`from_spec`) is fitted to a
table; what comes out predicts, explains, and saves itself without pickle. Strategies are models
that hold models. :mod:`~pyhpc.models.splits` makes folds, :func:`cross_validate` predicts out of
fold, :func:`bootstrap` scores.

Needs the extra ``ml``: ``pip install 'pyhpc-crystals[ml]'``.
"""

from pyhpc.models.clusters import feature_clusters
from pyhpc.models.comparison import Comparison, compare
from pyhpc.models.compute import Compute, best_device
from pyhpc.models.conformal import Calibration, Coverage, calibrate, coverage, cross_conformal
from pyhpc.models.cross_validation import (
    FoldPrediction,
    OutOfFold,
    cross_validate,
    pool,
    predict_fold,
)
from pyhpc.models.importance import correlated_clusters, permutation_importance, shap_values
from pyhpc.models.leaks import Leak, audit
from pyhpc.models.matrix import matrix, ordinal
from pyhpc.models.metrics import METRICS, Score, bootstrap, metrics
from pyhpc.models.model import Fitted, Model, load
from pyhpc.models.registry import KINDS, from_spec, to_spec
from pyhpc.models.splits import Folds
from pyhpc.models.targets import Target, parse_targets

__all__ = [
    "KINDS",
    "METRICS",
    "Calibration",
    "Comparison",
    "Compute",
    "Coverage",
    "Fitted",
    "FoldPrediction",
    "Folds",
    "Leak",
    "Model",
    "OutOfFold",
    "Score",
    "Target",
    "audit",
    "best_device",
    "bootstrap",
    "calibrate",
    "compare",
    "correlated_clusters",
    "coverage",
    "cross_conformal",
    "cross_validate",
    "feature_clusters",
    "from_spec",
    "load",
    "matrix",
    "metrics",
    "ordinal",
    "parse_targets",
    "permutation_importance",
    "pool",
    "predict_fold",
    "shap_values",
    "to_spec",
]
