"""How far labels of the same rows from several sources disagree: the noise of the label."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.models import parse_targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SHARE_OF_SPREAD = 0.25
"""Differences count as large beyond this part of the target's standard deviation."""


def compare_labels(
    labels: Mapping[str, NDArray[np.float64]], transform: str, bound: float
) -> dict[str, Any]:
    """Compare columns of labels by pairs, each over the rows that both know.

    Parameters
    ----------
    labels : dict of str to array, shape (n_rows,)
        Labels by source, NaN where unknown.
    transform : str
        ``"log10"`` or ``"none"``: what is done to the labels first.
    bound : float
        Difference beyond which two labels disagree, in the transformed unit.

    Returns
    -------
    dict
        ``bound``; ``without_logarithm``, the values of each column that were left out since they
        are not positive; ``pairs``, a list of dicts with ``first``, ``second``, ``rows`` in
        common, and of the differences ``median`` and ``mean`` (absolute), ``bias`` (mean of the
        second minus the first) and ``share_beyond`` the bound, None without a common row.
        JSON-able.
    """
    known = {name: transformed(values, transform) for name, values in labels.items()}
    skipped = {
        name: int((np.isfinite(values) & ~np.isfinite(known[name])).sum())
        for name, values in labels.items()
        if transform == "log10"
    }
    pairs = []
    for (first, one), (second, other) in combinations(known.items(), 2):
        differences = (other - one)[np.isfinite(one) & np.isfinite(other)]
        pairs.append({"first": first, "second": second} | _figures(differences, bound))
    return {"bound": bound, "without_logarithm": skipped, "pairs": pairs}


def read_labels(cells: Sequence[str]) -> NDArray[np.float64]:
    """Labels of one source as numbers, NaN where it has none, or only a bound."""
    values = np.full(len(cells), np.nan)
    found, present = parse_targets(cells)
    values[present] = np.where(found.censored, np.nan, found.values)
    return values


def transformed(labels: NDArray[np.float64], transform: str) -> NDArray[np.float64]:
    """Take labels as the study models them, NaN where they have no logarithm."""
    if transform != "log10":
        return labels
    result = np.full(len(labels), np.nan)
    return np.log10(labels, out=result, where=labels > 0)


def errors_beside(
    label: NDArray[np.float64],
    other: NDArray[np.float64],
    prediction: NDArray[np.float64],
    bound: float,
) -> dict[str, float | int | None]:
    """Size of the errors of a model on the rows that two sources know, by their agreement.

    What is wrong with a label looks like an error of the model: an error on rows whose labels
    disagree is of either.

    Parameters
    ----------
    label, other : array, shape (n_rows,)
        Label that predictions are scored against, and another, transformed; NaN where unknown.
    prediction : array, shape (n_rows,)
        By models that have not seen the row.
    bound : float
        Difference beyond which two labels disagree.

    Returns
    -------
    dict
        ``rows`` with both labels, ``disagree`` (how many of them); mean absolute errors
        ``against_label`` and ``against_other`` of all of these, and ``where_they_agree`` and
        ``where_they_disagree`` against the label, None without such a row.
    """
    both = np.isfinite(label) & np.isfinite(other) & np.isfinite(prediction)
    label, other, prediction = label[both], other[both], prediction[both]
    errors, apart = np.abs(prediction - label), np.abs(other - label) > bound

    def mean(values: NDArray[np.float64]) -> float | None:
        return float(values.mean()) if len(values) else None

    return {
        "rows": len(label),
        "disagree": int(apart.sum()),
        "against_label": mean(errors),
        "against_other": mean(np.abs(prediction - other)),
        "where_they_agree": mean(errors[~apart]),
        "where_they_disagree": mean(errors[apart]),
    }


def _figures(differences: NDArray[np.float64], bound: float) -> dict[str, Any]:
    sizes = np.abs(differences)
    if not len(sizes):
        return {"rows": 0, "median": None, "mean": None, "bias": None, "share_beyond": None}
    return {
        "rows": len(sizes),
        "median": float(np.median(sizes)),
        "mean": float(sizes.mean()),
        "bias": float(differences.mean()),
        "share_beyond": float((sizes > bound).mean()),
    }
