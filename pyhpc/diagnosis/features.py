"""Do the errors depend on a feature, which then knows something that the model does not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.diagnosis.check import Check, Verdict
from pyhpc.diagnosis.statistics import (
    benjamini_hochberg,
    bins_differ,
    explained_share,
    quantile_bins,
    rank_correlation,
    ranks,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyhpc.diagnosis.sample import Sample
    from pyhpc.models.metrics import Score

_LISTED = 20
_FALSE_DISCOVERIES = 0.01
_FEWEST_VALUES = 10


@dataclass(frozen=True, slots=True)
class Dependence:
    """How the errors depend on a feature.

    Attributes
    ----------
    feature : str
        Column.
    share : float
        Of the errors' variance, that lies between bins of the feature, less what chance puts there.
    rank_correlation : float
        Spearman's, of the rows that have the feature.
    adjusted_p_value : float
        Of the Kruskal-Wallis test between bins, by Benjamini and Hochberg.
    present : int
        Rows that have the feature.
    """

    feature: str
    share: float
    rank_correlation: float
    adjusted_p_value: float
    present: int


def features_check(sample: Sample, scores: Mapping[str, Score]) -> Check:
    """Test the errors against each feature, alone."""
    title = "Errors against features"
    tested = dependences(sample)
    if not tested:
        return Check("features", title, Verdict.FINE, ["No feature varies among these rows."])
    found = [one for one in tested if one.adjusted_p_value < _FALSE_DISCOVERIES]
    found.sort(key=lambda one: (-one.share, one.feature))
    numbers = {
        "tested": len(tested),
        "found": len(found),
        "listed": [asdict(one) for one in found[:_LISTED]],
    }
    if not found or found[0].share < 0.05:
        text = [f"None of {len(tested)} features tells much about the errors."]
        return Check("features", title, Verdict.FINE, text, numbers=numbers)
    best, share = found[0], found[0].share
    # By the lower end of its interval: the best of many features is so by luck, too.
    strong = share - 2 * np.sqrt(4 * share * (1 - share) ** 2 / len(sample)) > 0.25
    text = [
        f"{best.feature} explains {100 * share:.0f} % of the error's variance (rank correlation "
        f"{best.rank_correlation:+.2f}); {len(found)} of {len(tested)} features have a part."
    ]
    advice = [
        f"Give {best.feature} to the model, if it is not among its inputs.",
        "If it is: the model underfits. Look for an input that is scaled away, clipped or masked; "
        "allow deeper trees, more rounds or less regularization.",
        "If only some of its values err, look for rows of another kind (another source, missing "
        "values that were filled in).",
    ]
    if scores["sd_ratio"].value < 0.25:
        text.append(
            "As the predictions hardly vary, this is what the feature alone knows of the truth: "
            "the data are good, and the model does not use them."
        )
        advice = ["Mend first what keeps the predictions from varying."]
    verdict = Verdict.SERIOUS if strong else Verdict.WATCH
    return Check("features", title, verdict, text, advice, numbers)


def dependences(sample: Sample) -> list[Dependence]:
    """Measure how the errors depend on each feature that varies, in the order of the features."""
    residual = sample.residual
    residual_ranks = ranks(residual)
    tested = []
    for name, values in sample.features.items():
        present = np.isfinite(values)
        if present.sum() < _FEWEST_VALUES or np.ptp(values[present]) == 0:
            continue
        bins = quantile_bins(values)
        tested.append(
            Dependence(
                name,
                explained_share(residual, bins),
                rank_correlation(values[present], residual[present])[0],
                bins_differ(residual_ranks, bins),
                int(present.sum()),
            )
        )
    adjusted = benjamini_hochberg(np.array([one.adjusted_p_value for one in tested]))
    return [
        replace(one, adjusted_p_value=float(value))
        for one, value in zip(tested, adjusted, strict=True)
    ]
