"""Bond-valence sums with pymatgen's parameters, where its rule of signs finds the same bonds."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import data
from benchmarks.harness import Comparison, Work
from pyhpc import kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Effort, Row
    from pyhpc import CrystalBatch

CUTOFF = 4.0
B = 0.31
LIMIT = 1e-9
N_CRYSTALS = 40
MAX_SITES = 60


def run(effort: Effort) -> Iterator[Row]:
    """Compare sums; the error is the largest deviation from pymatgen's."""
    compare = Comparison("bond_valence", "bond-valence sums, 4 A", "relative", LIMIT)
    for name in data.available(quick=effort.quick):
        batch = data.charged(name, 24 if effort.quick else 5 * N_CRYSTALS)
        singles = data.split(batch.select(data.small(batch, MAX_SITES)))
        singles = [one for one in singles if is_comparable(one)][:N_CRYSTALS]
        batch = data.CrystalBatch.concatenate(singles)
        theirs = calculate_bv_sum(singles)()
        ours = Work(
            "pyhpc",
            lambda batch=batch: lambda: bond_valence_sums(batch),
            lambda found, theirs=theirs: relative_error(found, theirs),
        )
        peer = Work(
            "calculate_bv_sum", lambda singles=singles: calculate_bv_sum(singles), None, "pymatgen"
        )
        yield from compare.rows(data.system(name, batch), effort, ours, [peer])


def bond_valence_sums(batch: CrystalBatch) -> np.ndarray:
    """Our sums with pymatgen's parameters."""
    found = kernels.bond_valence_sums(
        batch, cutoff=CUTOFF, parameters="okeeffe_brese", b=B, threads=1
    )
    return found.sums


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest relative deviation; sums of about 0 count as absolute."""
    return float((np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-3)).max())


def calculate_bv_sum(singles: list[CrystalBatch]) -> Callable[[], np.ndarray]:
    """Give the function that sums with pymatgen over the sites of ordered crystals."""
    from pymatgen.analysis import bond_valence

    neutral = [
        one.with_oxidation_states(np.full(len(one.atomic_numbers), np.nan)) for one in singles
    ]
    structures = [one.to_pymatgen()[0] for one in neutral]
    return lambda: np.array(
        [
            abs(bond_valence.calculate_bv_sum(site, structure.get_neighbors(site, CUTOFF)))
            for structure in structures
            for site in structure
        ]
    )


def is_comparable(one: CrystalBatch) -> bool:
    """Whether an ordered crystal has sums, over the bonds that pymatgen sees.

    That is if the charges pair the elements as their electronegativities do.
    """
    from pymatgen.analysis.bond_valence import ELECTRONEG
    from pymatgen.core import Element

    if not data.is_ordered(one)[0]:
        return False
    kinds = sorted(set(zip(one.atomic_numbers.tolist(), one.oxidation_states, strict=True)))
    for (z1, q1), (z2, q2) in itertools.combinations_with_replacement(kinds, 2):
        first, second = Element.from_Z(z1), Element.from_Z(z2)
        bonded = first != second and (first in ELECTRONEG or second in ELECTRONEG)
        if bonded != (q1 * q2 < 0) or (bonded and (first.X < second.X) != (q1 > 0)):
            return False
    return bool(np.isfinite(bond_valence_sums(one)).all())
