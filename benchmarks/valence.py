"""Oxidation states, on crystals where BVAnalyzer succeeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks import data, reference
from benchmarks.harness import Comparison, Work
from pyhpc import kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymatgen.core import Structure

    from benchmarks.harness import Effort, Row
    from pyhpc import CrystalBatch
    from pyhpc.kernels import Valences

LIMIT = 0.06
"""Share of the sites that may differ: BVAnalyzer cuts its search off, ours is exact."""

N_CRYSTALS = 60
MAX_SITES = 60


def run(effort: Effort) -> Iterator[Row]:
    """Compare assignments; the error is the share of sites whose charge is not BVAnalyzer's."""
    compare = Comparison("valence", "oxidation states", "share of sites that differ", LIMIT)
    for name in data.available(quick=effort.quick):
        batch = data.sample(name, 12 if effort.quick else 2 * N_CRYSTALS).batch
        batch = batch.with_oxidation_states(np.full(len(batch.atomic_numbers), np.nan))
        batch = batch.select(data.small(batch, MAX_SITES)[: 2 * N_CRYSTALS])
        found = [charges(structure) for structure in batch.to_pymatgen()]
        keep = [k for k, theirs in enumerate(found) if theirs is not None][:N_CRYSTALS]
        theirs = np.concatenate([found[k] for k in keep])
        batch = batch.select(keep)
        ours = Work(
            "pyhpc",
            lambda batch=batch: lambda: kernels.assign_oxidation_states(batch, threads=1),
            lambda result, batch=batch, theirs=theirs: _differing(batch, result, theirs),
        )
        peer = Work("BVAnalyzer", lambda batch=batch: _bv_analyzer(batch), None, "pymatgen")
        yield from compare.rows(data.system(name, batch), effort, ours, [peer])


def charges(structure: Structure) -> np.ndarray | None:
    """Mean charge of each site by BVAnalyzer, None where it finds none."""
    from pymatgen.analysis.bond_valence import BVAnalyzer

    try:
        decorated = BVAnalyzer().get_oxi_state_decorated_structure(structure)
    except ValueError:
        return None
    return np.array(
        [
            sum(specie.oxi_state * amount for specie, amount in site.species.items())
            for site in decorated
        ]
    )


def _bv_analyzer(batch: CrystalBatch) -> Callable[[], object]:
    structures = batch.to_pymatgen()
    return lambda: [charges(structure) for structure in structures]


def _differing(batch: CrystalBatch, result: Valences, theirs: np.ndarray) -> float:
    decorated = batch.with_oxidation_states(result.oxidation_states)
    mine = reference.site_charges(decorated)
    return float(np.mean(~(np.abs(mine - theirs) < 0.01)))
