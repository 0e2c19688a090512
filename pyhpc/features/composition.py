"""Features of the composition alone: fractions of elements and Magpie statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.features.catalogue import COMPOSITION, SMACT_ELEMENTS, STATISTICS
from pyhpc.features.elements import ANIONS, PROPERTIES, SYMBOLS, VALUES
from pyhpc.features.grouped import bin_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.features.contents import Contents
    from pyhpc.features.findings import Findings

_EQUAL_FRACTIONS = 1e-5
"""Relative difference below which two elements are equally abundant; rounding of occupancies and
of sums must not decide which element is the most abundant one."""


def columns(contents: Contents, findings: Findings) -> dict[str, NDArray[np.generic]]:
    """Compute the features of the group ``composition``."""
    # One row per element, so that each feature is contiguous in memory.
    fractions = np.ascontiguousarray((contents.amounts / contents.n_atoms[:, None]).T)
    result: dict[str, NDArray[np.generic]] = {
        f"{contents.prefix}_fraction": fractions[contents.ion_number - 1],
        "anion_fraction": fractions[ANIONS].cumsum(axis=0)[-1],
        "total_elements": (contents.amounts > 0).sum(axis=1).astype(np.int16),
    }
    result |= {f"smact_stoich_{k}": fractions[k] for k in range(SMACT_ELEMENTS)}
    statistics = magpie_statistics(fractions)
    result |= {f"magpie_emb_{k}": row for k, row in enumerate(statistics["mean"])}
    for statistic in STATISTICS:
        for name, row in zip(PROPERTIES, statistics[statistic], strict=True):
            result[f"magpie_{statistic}_{name}"] = row

    findings.failure(
        np.isnan(contents.n_atoms), COMPOSITION, "no_atoms", "the occupancies do not sum to an atom"
    )
    _report_missing(contents.amounts > 0, findings)
    return result


def magpie_statistics(fractions: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Statistics of the elements' properties over compositions.

    Parameters
    ----------
    fractions : array, shape (118, n_crystals)
        Fractions of the elements; columns of NaN give NaN.

    Returns
    -------
    dict of str to array, shape (22, n_crystals)
        ``"mean"`` and the statistics of :data:`~pyhpc.features.catalogue.STATISTICS`. NaN where
        an element that takes part has no value.
    """
    n_properties, n_crystals = len(PROPERTIES), fractions.shape[1]
    # The product of the sparse compositions with the table: one entry per crystal and element,
    # crystal after crystal, elements ascending.
    crystals, elements = np.nonzero(fractions.T > 0)
    weights = fractions[elements, crystals]
    values = VALUES[elements].T
    bins = (np.arange(n_properties)[:, None] * n_crystals + crystals).ravel()

    def weighted_sums(terms: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = bin_sums(bins, (weights * terms).ravel(), n_properties * n_crystals)
        return sums.reshape(n_properties, n_crystals)

    present, starts = np.unique(crystals, return_index=True)
    empty = np.ones(n_crystals, dtype=np.bool_)
    empty[present] = False

    def extremes(ufunc: np.ufunc, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.full((*terms.shape[:-1], n_crystals), np.nan)
        if len(present):
            result[..., present] = ufunc.reduceat(terms, starts, axis=-1)
        return result

    mean = weighted_sums(values)
    avg_dev = weighted_sums(np.abs(values - mean[:, crystals]))
    mean[:, empty] = avg_dev[:, empty] = np.nan
    smallest, largest = extremes(np.minimum, values), extremes(np.maximum, values)
    abundant = weights >= extremes(np.maximum, weights)[crystals] * (1 - _EQUAL_FRACTIONS)
    return {
        "mean": mean,
        "min": smallest,
        "max": largest,
        "range": largest - smallest,
        "avg_dev": avg_dev,
        "mode": extremes(np.minimum, np.where(abundant, values, np.inf)),
    }


def _report_missing(present: NDArray[np.bool_], findings: Findings) -> None:
    """Say which elements have no value of which properties."""
    without = np.isnan(VALUES)
    for z in np.flatnonzero(without.any(axis=1)):
        names = [name for name, gap in zip(PROPERTIES, without[z], strict=True) if gap]
        message = f"no value for {SYMBOLS[z]}: {', '.join(names)}"
        findings.failure(present[:, z], COMPOSITION, "missing_element_data", message)
