"""Space groups, orbits and Wyckoff letters of ordered crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks import data
from benchmarks.harness import Comparison, Work
from pyhpc import kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Effort, Row
    from pyhpc import CrystalBatch

SYMPREC = 1e-2
LIMIT = 0.03
"""Share of crystals, some of which are at the edge of the tolerance."""

WHAT = {"symmetry": True, "groups and orbits": False}
"""What is computed, and whether Wyckoff letters are part of it; the peers always find them."""

N_CRYSTALS = 100
MAX_SITES = 100


def run(effort: Effort) -> Iterator[Row]:
    """Compare searches; the error is the share of space groups that are not spglib's."""
    for name in data.available(quick=effort.quick):
        batch = data.sample(name, 12 if effort.quick else 2 * N_CRYSTALS).batch
        batch = data.ordered(batch, MAX_SITES)
        batch = batch.select(range(min(len(batch), N_CRYSTALS)))
        spglib = np.array(_spacegroup_analyzer(batch)())

        def differing(numbers: np.ndarray, spglib: np.ndarray = spglib) -> float:
            return float(np.mean(numbers != spglib))

        peers = [
            Work(
                "SpacegroupAnalyzer",
                lambda batch=batch: _spacegroup_analyzer(batch),
                None,
                "pymatgen",
            ),
            Work("moyopy", lambda batch=batch: _moyopy(batch), differing, "moyopy"),
        ]
        for what, wyckoffs in WHAT.items():
            compare = Comparison("symmetry", what, "share of groups that differ", LIMIT)
            ours = Work(
                "pyhpc",
                lambda batch=batch, wyckoffs=wyckoffs: (
                    lambda: kernels.symmetry(batch, SYMPREC, wyckoffs=wyckoffs, threads=1)
                ),
                lambda found, differing=differing: differing(found.numbers),
            )
            yield from compare.rows(data.system(name, batch), effort, ours, peers)


def _spacegroup_analyzer(batch: CrystalBatch) -> Callable[[], list[int]]:
    from pymatgen.symmetry import analyzer

    structures = batch.to_pymatgen()

    def run() -> list[int]:
        # It remembers the last cells, which here come again.
        analyzer._get_symmetry_dataset.cache_clear()
        return [
            analyzer.SpacegroupAnalyzer(one, symprec=SYMPREC).get_symmetry_dataset().number
            for one in structures
        ]

    return run


def _moyopy(batch: CrystalBatch) -> Callable[[], np.ndarray]:
    import moyopy

    cells = [
        moyopy.Cell(one.lattices[0].tolist(), one.frac_coords.tolist(), one.atomic_numbers.tolist())
        for one in data.split(batch)
    ]
    return lambda: np.array([moyopy.MoyoDataset(cell, symprec=SYMPREC).number for cell in cells])
