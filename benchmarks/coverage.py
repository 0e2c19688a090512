"""How many of the Li crystals of OBELiX get features, and valences like BVAnalyzer's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import sample
from pyhpc import featurize, kernels
from pyhpc.kernels import ValenceMethod

if TYPE_CHECKING:
    from benchmarks.data import Sample

LITHIUM = 3


def run(name: str = "obelix", step: int = 1) -> dict[str, float]:
    """Measure coverage and agreement on one set.

    Returns
    -------
    dict
        Counts and fractions by what they are.
    """
    warnings.simplefilter("ignore")
    chosen = sample(name, step)
    batch = chosen.batch
    holds_ion = np.zeros(len(batch), dtype=bool)
    species_crystals = batch.site_crystals[batch.species_sites]
    holds_ion[species_crystals[batch.atomic_numbers == LITHIUM]] = True
    valences = kernels.assign_oxidation_states(batch)
    table = featurize(batch, ["physics"])
    found: dict[str, float] = {
        "records": len(chosen.records),
        "crystals": len(batch),
        "with lithium": int(holds_ion.sum()),
        "with lithium, valences": int(np.sum(holds_ion & (valences.status == 0))),
    }
    for column in ("has_bv", "has_ewald", "has_voronoi"):
        found[f"with lithium, {column}"] = int(table[column].to_numpy()[holds_ion].sum())
    for method in ValenceMethod:
        chosen_method = (valences.method == method) & (valences.status == 0)
        found[f"valences by {method.name.lower()}"] = int(chosen_method.sum())
    return found | agreement(chosen, valences.oxidation_states)


def agreement(chosen: Sample, oxidation_states: np.ndarray) -> dict[str, float]:
    """Compare mean charges of sites with those that BVAnalyzer assigns, where it succeeds."""
    from pymatgen.analysis.bond_valence import BVAnalyzer

    batch = chosen.batch
    crystals, sites, same = 0, 0, 0
    for k in range(len(batch)):
        one = batch.with_oxidation_states(np.full(len(oxidation_states), np.nan)).select([k])
        try:
            decorated = BVAnalyzer().get_oxi_state_decorated_structure(one.to_pymatgen()[0])
        except ValueError:
            continue
        theirs = [
            sum(specie.oxi_state * amount for specie, amount in site.species.items())
            for site in decorated
        ]
        ours = batch.with_oxidation_states(oxidation_states).select([k])
        charges = np.bincount(
            ours.species_sites, ours.occupancies * ours.oxidation_states, minlength=ours.n_sites
        )
        crystals += 1
        sites += ours.n_sites
        same += int(np.sum(np.abs(charges - theirs) < 0.01))
    return {
        "BVAnalyzer succeeds": crystals,
        "its sites": sites,
        "sites with the same charge": same,
        "share of its sites": same / sites if sites else float("nan"),
    }
