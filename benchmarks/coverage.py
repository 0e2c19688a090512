"""How many of the Li crystals of OBELiX get features, and valences like BVAnalyzer's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import reference, valence
from benchmarks.data import available, sample
from pyhpc import featurize, kernels
from pyhpc.kernels import ValenceMethod

if TYPE_CHECKING:
    from benchmarks.data import Sample
    from benchmarks.harness import Effort

LITHIUM = 3


@dataclass(frozen=True)
class Count:
    """One figure.

    Attributes
    ----------
    what : str
        What is counted, or of what it is the share.
    value : float
        The figure.
    """

    what: str
    value: float

    @property
    def is_violated(self) -> bool:
        """Counts have no limits."""
        return False


def run(effort: Effort) -> list[Count]:
    """Measure coverage and agreement on OBELiX; on the shipped crystals where it is not there."""
    name = available(quick=effort.quick)[min(1, len(available(quick=effort.quick)) - 1)]
    chosen = sample(name, 24 if effort.quick else None)
    batch = chosen.batch
    holds_ion = np.zeros(len(batch), dtype=bool)
    species_crystals = batch.site_crystals[batch.species_sites]
    holds_ion[species_crystals[batch.atomic_numbers == LITHIUM]] = True
    valences = kernels.assign_oxidation_states(batch)
    table = featurize(batch, ["physics"])
    found: dict[str, float] = {
        f"records of {name}": len(chosen.records),
        "crystals": len(batch),
        "with lithium": int(holds_ion.sum()),
        "with lithium, valences": int(np.sum(holds_ion & (valences.status == 0))),
    }
    for column in ("has_bv", "has_ewald", "has_voronoi"):
        found[f"with lithium, {column}"] = int(table[column].to_numpy()[holds_ion].sum())
    for method in ValenceMethod:
        chosen_method = (valences.method == method) & (valences.status == 0)
        found[f"valences by {method.name.lower()}"] = int(chosen_method.sum())
    found |= agreement(chosen, valences.oxidation_states)
    return [Count(what, value) for what, value in found.items()]


def agreement(chosen: Sample, oxidation_states: np.ndarray) -> dict[str, float]:
    """Compare mean charges of sites with those that BVAnalyzer assigns, where it succeeds."""
    batch = chosen.batch
    crystals, sites, same = 0, 0, 0
    for k in range(len(batch)):
        one = batch.with_oxidation_states(np.full(len(oxidation_states), np.nan)).select([k])
        theirs = valence.charges(one.to_pymatgen()[0])
        if theirs is None:
            continue
        ours = batch.with_oxidation_states(oxidation_states).select([k])
        crystals += 1
        sites += ours.n_sites
        same += int(np.sum(np.abs(reference.site_charges(ours) - theirs) < 0.01))
    return {
        "BVAnalyzer succeeds": crystals,
        "its sites": sites,
        "sites with the same charge": same,
        "share of its sites": same / sites if sites else float("nan"),
    }
