"""How far labels of the same rows from several sources disagree: the noise of the label."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    known, skipped = {}, {}
    for name, values in labels.items():
        usable = np.isfinite(values)
        if transform == "log10":
            skipped[name] = int((values[usable] <= 0).sum())
            usable &= values > 0
        known[name] = np.full(len(values), np.nan)
        known[name][usable] = (np.log10 if transform == "log10" else np.positive)(values[usable])
    pairs = []
    for (first, one), (second, other) in combinations(known.items(), 2):
        differences = (other - one)[np.isfinite(one) & np.isfinite(other)]
        pairs.append({"first": first, "second": second} | _figures(differences, bound))
    return {"bound": bound, "without_logarithm": skipped, "pairs": pairs}


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
