"""One fit of a study: train, predict, explain."""

from __future__ import annotations

import io
import json
import math
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.errors import PyhpcError
from pyhpc.models import Compute, Folds, from_spec
from pyhpc.models.importance import correlated_clusters, permutation_importance, shap_values
from pyhpc.models.optional import need
from pyhpc.studies.table import stored_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models import Fitted, Model, Target

LIBRARIES = ("numpy", "scipy", "sklearn", "xgboost")
"""Modules whose version may change a fit."""


SEPARATOR = " + "
"""Between the names of features that were shuffled together."""

_REPEATS = 3
"""Shuffles per fold at most,"""

_SHUFFLED = 1500
"""and fewer where they have shuffled so many rows: those average as well as further shuffles."""


def fold_column(split: str, seed: int) -> str:
    """Name of the column with the fold of each row; -1: trained on in all, -2: a test row."""
    return f"fold {split} {seed}"


def library_versions() -> dict[str, str]:
    """Versions of the packages that fits depend on."""
    # Not from the metadata: XGBoost goes by several names there.
    return {name: str(need(name).__version__) for name in LIBRARIES}


def fit_one(order: Mapping[str, Any], table: pa.Table) -> dict[str, Any]:
    """Fit a model to the training rows of a fold, predict the rows that it has not seen.

    Parameters
    ----------
    order : mapping
        ``key``, ``model`` (specification), ``folds`` (column, empty for a fit to all training rows
        that predicts the test rows), ``fold``, ``target`` (``"target"`` or ``"learned"``),
        ``n_train``, ``n_auxiliary`` (rows at the end), ``n_learned`` of them to train on,
        ``coerced``, ``seed``, ``threads``, ``device``, ``importance`` (whether to measure it),
        ``keep`` (whether to give the model).
    table : pyarrow.Table
        All rows of the study, from :func:`pyhpc.studies.table.store_table`.

    Returns
    -------
    dict
        A row of :data:`pyhpc.tasks.fit.SCHEMA`, without its name.
    """
    model = from_spec(order["model"])
    compute = Compute(order["seed"], order["threads"], order["device"])
    n, n_scored = order["n_train"], table.num_rows - order["n_auxiliary"]
    target = stored_target(table, order["target"])
    known = target.coerced() if order["coerced"] else target
    auxiliary = np.arange(n_scored, table.num_rows if order["target"] == "learned" else n_scored)
    if order["folds"]:
        assignment = table[order["folds"]].to_numpy().astype(np.int64)
        train, test = Folds(order["folds"], assignment[:n]).rows(order["fold"])
        auxiliary = auxiliary[assignment[auxiliary] != order["fold"]]
    else:
        train, test = np.arange(n), np.arange(n, n_scored)
    train = np.concatenate([train, auxiliary])
    fitted = model.fit(table.take(train), known.take(train), compute)
    tested = table.take(test)
    explained = fitted.explain(tested)
    return {
        "key": order["key"],
        "prediction": fitted.predict(tested),
        "explained": [
            {"name": name, "values": np.asarray(values, dtype=np.float64)}
            for name, values in sorted(explained.items())
        ],
        "summary": json.dumps(fitted.summary, sort_keys=True),
        "contributions": _contributions(fitted, tested) if order["importance"] else [],
        "importance": (
            _importance(order, model, table, known, train, test, compute)
            if order["importance"]
            else []
        ),
        "model": _archive(fitted) if order["keep"] else b"",
    }


def _contributions(fitted: Fitted, table: pa.Table) -> list[dict[str, Any]]:
    """Mean absolute SHAP value of each feature; none for models that have no such values."""
    try:
        values, _ = shap_values(fitted, table)
    except PyhpcError:
        return []
    return [{"name": name, "value": float(np.abs(x).mean())} for name, x in values.items()]


def _importance(
    order: Mapping[str, Any],
    model: Model,
    table: pa.Table,
    target: Target,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    compute: Compute,
) -> list[dict[str, Any]]:
    """Loss of held-out rows by shuffling features, alone and by clusters of correlated ones."""
    rows = np.concatenate([test, train])
    table, target = table.take(rows), target.take(rows)
    folds = Folds(order["folds"], np.repeat([0, -1], [len(test), len(train)]))
    names = [name for name in model.columns if not name.startswith("group ")]
    clusters = correlated_clusters(table, names)
    alone = [(name,) for name in names]
    together = [cluster for cluster in clusters if len(cluster) > 1]
    measured = permutation_importance(
        model,
        table,
        target,
        folds,
        compute,
        clusters=[*alone, *together],
        n_repeats=min(_REPEATS, math.ceil(_SHUFFLED / len(test))),
    )
    return [
        {"name": SEPARATOR.join(row["features"]), "value": row["importance"]}
        for row in measured.to_pylist()
    ]


def _archive(fitted: Fitted) -> bytes:
    """Give the saved model as an uncompressed tar without times: equal models, equal bytes."""
    sink = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "model"
        fitted.save(home)
        with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(item for item in home.rglob("*") if item.is_file()):
                info = tarfile.TarInfo(path.relative_to(home).as_posix())
                info.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(info, file)
    return sink.getvalue()
