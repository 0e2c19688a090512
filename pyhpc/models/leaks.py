"""Features that know the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.models.matrix import numbers
from pyhpc.models.optional import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.targets import Target

_RANK_CORRELATION = 0.98
"""Beyond this, a feature is the target in other units."""

_SEPARATION = 0.95
"""Beyond this area under the curve, a feature tells bounds from measurements."""

_FEWEST_BOUNDS = 5
"""With fewer bounds than this, many a feature separates them by chance."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A feature that is suspected to be made from the target.

    Attributes
    ----------
    feature : str
        Column.
    evidence : str
        What speaks for it, with the number.
    """

    feature: str
    evidence: str


def audit(table: pa.Table, target: Target, features: Sequence[str]) -> list[Leak]:
    """Look for features that are made from the target.

    Two traces are looked for: a feature that rises or falls with the target almost without
    exception, and one that tells which targets are known only as bounds, which nothing that was
    measured independently can know. The latter includes features that are missing for all of
    them, or for none but them. A feature without a trace may still leak; how it was made
    decides.

    Parameters
    ----------
    table : pyarrow.Table
        With the features.
    target : Target
        Of the same rows, with its bounds.
    features : sequence of str
        Columns to look at.

    Returns
    -------
    list of Leak
        In the order of the features.
    """
    leaks = []
    censored = target.censored
    telling = min(int(censored.sum()), int((~censored).sum())) >= _FEWEST_BOUNDS
    for name in features:
        values = numbers(table, name)
        present = np.isfinite(values)
        correlation = _rank_correlation(values[present], target.values[present])
        if abs(correlation) >= _RANK_CORRELATION:
            leaks.append(Leak(name, f"rank correlation {correlation:+.3f} with the target"))
        elif telling:
            separation = max(
                _separation(np.nan_to_num(values, nan=-np.inf), censored),
                _separation(np.nan_to_num(values, nan=np.inf), censored),
            )
            if separation >= _SEPARATION:
                evidence = f"tells bounds from measurements (area under the curve {separation:.3f})"
                leaks.append(Leak(name, evidence))
    return leaks


def _rank_correlation(values: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    if len(values) < 3 or np.ptp(values) == 0 or np.ptp(target) == 0:
        return 0.0
    ranks = need("scipy.stats").rankdata(np.stack([values, target]), axis=1)
    return float(np.corrcoef(ranks)[0, 1])


def _separation(values: NDArray[np.float64], marked: NDArray[np.bool_]) -> float:
    """Area under the curve of telling the marked rows by the values, in either direction."""
    ranks = need("scipy.stats").rankdata(values)
    n_marked, n_others = int(marked.sum()), int((~marked).sum())
    above = ranks[marked].sum() - n_marked * (n_marked + 1) / 2
    area = float(above / (n_marked * n_others))
    return max(area, 1 - area)
