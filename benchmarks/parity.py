"""How far pyhpc is from pymatgen and ASE on the same crystals: worst and median deviation."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import available, sample
from pyhpc import CrystalBatch, kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.data import Sample

STEPS = {"gallery": 1, "obelix": 1, "mp": 60}
"""Every how manieth record of a set is compared."""

GENERIC_CRYSTALS = 300
"""Crystals made at random whose coordination numbers are compared."""

MAX_PEER_SITES = 60
"""Larger crystals take the peers too long where time grows faster than the number of sites."""


@dataclass(frozen=True)
class Deviation:
    """One comparison over one set."""

    what: str
    peer: str
    data: str
    compared: int
    unit: str
    worst: float
    median: float
    differing: int

    @classmethod
    def of(
        cls, what: str, peer: str, data: str, values: list[float], unit: str, tolerance: float
    ) -> Deviation:
        """Sum up deviations; those above the tolerance count as differing."""
        found = np.asarray(values) if values else np.array([np.nan])
        differing = int(np.sum(found > tolerance))
        worst, median = float(found.max()), float(np.median(found))
        return cls(what, peer, data, len(values), unit, worst, median, differing)


def run(limit: int | None = None) -> Iterator[Deviation]:
    """Compare all that is compared, on all sets that are there."""
    warnings.simplefilter("ignore")
    for name in available():
        chosen = sample(name, STEPS[name], limit)
        valences = kernels.assign_oxidation_states(chosen.batch)
        charged = chosen.batch.with_oxidation_states(valences.oxidation_states)
        known = np.flatnonzero(valences.status == 0)
        yield expansion(chosen)
        yield neighbors(chosen)
        yield ewald(chosen, charged, known)
        yield bond_valence(chosen, charged, known)
        yield voronoi(chosen)
        yield space_groups(chosen)
    yield voronoi_generic(limit or GENERIC_CRYSTALS)


def expansion(chosen: Sample) -> Deviation:
    """Sites and amounts of the elements in the unit cell, against ``CifParser``."""
    values = []
    for k, structure in _structures(chosen):
        one = chosen.batch.select([k])
        amounts = np.bincount(one.atomic_numbers, one.occupancies, minlength=119)
        for element, amount in structure.composition.element_composition.items():
            amounts[element.Z] -= amount
        sites = abs(one.n_sites - len(structure))
        values.append(float(max(sites, np.abs(amounts).max())))
    return Deviation.of(
        "sites and contents", "pymatgen CifParser", chosen.name, values, "atoms", 1e-2
    )


def neighbors(chosen: Sample, cutoff: float = 4.0) -> Deviation:
    """Pairs and their distances within 4 A, against ASE; another set of pairs counts as 1 A."""
    from ase.neighborlist import neighbor_list

    values = []
    for k in _small(chosen.batch, 4 * MAX_PEER_SITES):
        one = chosen.batch.select([k])
        ours = kernels.neighbor_list(one, cutoff)
        i, j, shifts, distances = neighbor_list("ijSd", _points(one), cutoff)
        mine = np.lexsort((*ours.shifts.T, ours.j, ours.i))
        theirs = np.lexsort((*shifts.T, j, i))
        key_a = np.column_stack([ours.i, ours.j, ours.shifts])[mine]
        key_b = np.column_stack([i, j, shifts])[theirs]
        if not np.array_equal(key_a, key_b):
            values.append(1.0)
        elif len(i):
            values.append(float(np.abs(ours.distances[mine] - distances[theirs]).max()))
    return Deviation.of("neighbour pairs", "ASE", chosen.name, values, "A", 1e-9)


def ewald(chosen: Sample, charged: CrystalBatch, known: np.ndarray) -> Deviation:
    """Site energies at 1e-8, relative to the crystal's largest, against ``EwaldSummation``."""
    from pymatgen.analysis.ewald import EwaldSummation
    from scipy.constants import physical_constants

    # Both take CODATA values of the Coulomb constant, of different years.
    charge = physical_constants["elementary charge"][0]
    permittivity = physical_constants["vacuum electric permittivity"][0]
    theirs_constant = 1e10 * charge / (4 * np.pi * permittivity)
    values = []
    for k in np.intersect1d(known, _small(chosen.batch, MAX_PEER_SITES)):
        one = charged.select([k])
        ours = kernels.ewald_site_energies(one)
        largest = np.abs(ours.site_energies).max()
        # pymatgen's site energies lack the background of a charged cell.
        if ours.status[0] or largest == 0 or abs(ours.net_charges[0]) > 1e-8:
            continue
        summation = EwaldSummation(one.to_pymatgen()[0], acc_factor=12, w=0.2)
        theirs = np.array([summation.get_site_energy(site) for site in range(one.n_sites)])
        theirs *= kernels.COULOMB_CONSTANT / theirs_constant
        values.append(float(np.abs(ours.site_energies - theirs).max() / largest))
    return Deviation.of(
        "Ewald site energies", "pymatgen EwaldSummation", chosen.name, values, "relative", 1e-6
    )


def bond_valence(chosen: Sample, charged: CrystalBatch, known: np.ndarray) -> Deviation:
    """Sums with pymatgen's parameters, on crystals where its rule of signs finds the same bonds."""
    from pymatgen.analysis.bond_valence import calculate_bv_sum

    values = []
    for k in np.intersect1d(known, _small(chosen.batch, MAX_PEER_SITES)):
        one = charged.select([k])
        if not _same_bonds(one):
            continue
        ours = kernels.bond_valence_sums(one, cutoff=4.0, parameters="okeeffe_brese", b=0.31)
        if ours.status[0]:
            continue
        structure = one.with_oxidation_states(np.full(len(one.atomic_numbers), np.nan))
        structure = structure.to_pymatgen()[0]
        theirs = [
            abs(calculate_bv_sum(site, structure.get_neighbors(site, 4.0))) for site in structure
        ]
        scale = np.maximum(np.abs(theirs), 1e-3)
        values.append(float((np.abs(ours.sums - theirs) / scale).max()))
    return Deviation.of(
        "bond-valence sums", "pymatgen calculate_bv_sum", chosen.name, values, "relative", 1e-9
    )


def voronoi(chosen: Sample, crystals: int = 40) -> Deviation:
    """Coordination number at tolerance 0.25 of one site each of ordered crystals."""
    from pymatgen.analysis.local_env import VoronoiNN

    values = []
    for k in _small(chosen.batch, MAX_PEER_SITES):
        one = chosen.batch.select([k])
        if len(values) == crystals:
            break
        if len(one.atomic_numbers) != one.n_sites or not np.all(one.occupancies == 1):
            continue
        mask = np.arange(one.n_sites) == one.n_sites // 2
        ours = kernels.voronoi(one, mask).coordination_numbers[0.25][0]
        peer = VoronoiNN(tol=0.25)
        values.append(float(abs(ours - peer.get_cn(one.to_pymatgen()[0], one.n_sites // 2))))
    return Deviation.of(
        "coordination number, 0.25", "pymatgen VoronoiNN", chosen.name, values, "atoms", 0.5
    )


def voronoi_generic(crystals: int) -> Deviation:
    """Coordination number at tolerance 0 of one site each of triclinic crystals made at random.

    Without symmetry no face vanishes, which tolerance 0 would leave to rounding.
    """
    from pymatgen.analysis.local_env import VoronoiNN
    from pymatgen.core import Structure

    rng = np.random.default_rng(20261121)
    values = []
    for _ in range(crystals):
        n = int(rng.integers(3, 12))
        edge = (15.0 * n) ** (1 / 3)
        one = CrystalBatch.from_pymatgen(
            Structure(
                edge * (np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3))), ["O"] * n, rng.random((n, 3))
            )
        )
        ours = kernels.voronoi(one, np.arange(n) == 0).coordination_numbers[0.0][0]
        values.append(float(abs(ours - VoronoiNN(tol=0).get_cn(one.to_pymatgen()[0], 0))))
    return Deviation.of(
        "coordination number, 0", "pymatgen VoronoiNN", "random", values, "atoms", 0.5
    )


def space_groups(chosen: Sample) -> Deviation:
    """Space-group numbers of ordered crystals, against ``SpacegroupAnalyzer``; 1 if they differ."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    ours = kernels.symmetry(chosen.batch, 1e-2)
    values = []
    for k in _small(chosen.batch, MAX_PEER_SITES):
        one = chosen.batch.select([k])
        if len(one.atomic_numbers) != one.n_sites or not np.all(one.occupancies == 1):
            continue
        number = SpacegroupAnalyzer(one.to_pymatgen()[0], symprec=1e-2).get_space_group_number()
        values.append(float(ours.numbers[k] != number))
    return Deviation.of(
        "space group", "pymatgen SpacegroupAnalyzer", chosen.name, values, "0 or 1", 0.5
    )


def _structures(chosen: Sample) -> Iterator[tuple[int, object]]:
    """Crystals that pymatgen reads from the same text; it refuses some disordered ones."""
    for k in range(len(chosen.batch)):
        try:
            structure = chosen.structure(k)
        except ValueError:
            continue
        yield k, structure


def _small(batch: CrystalBatch, n_sites: int) -> np.ndarray:
    return np.flatnonzero(np.diff(batch.site_offsets) <= n_sites)


def _points(one: CrystalBatch) -> object:
    """The sites alone as ASE atoms, whatever is on them."""
    from ase import Atoms

    return Atoms(
        numbers=np.ones(one.n_sites, dtype=int),
        scaled_positions=one.frac_coords,
        cell=one.lattices[0],
        pbc=one.pbc[0],
    )


def _same_bonds(one: CrystalBatch) -> bool:
    """Whether an ordered crystal's charges pair the elements as their electronegativities do."""
    from pymatgen.analysis.bond_valence import ELECTRONEG
    from pymatgen.core import Element

    if len(one.atomic_numbers) != one.n_sites or not np.all(one.occupancies == 1):
        return False
    kinds = sorted(set(zip(one.atomic_numbers.tolist(), one.oxidation_states, strict=True)))
    for (z1, q1), (z2, q2) in itertools.combinations_with_replacement(kinds, 2):
        first, second = Element.from_Z(z1), Element.from_Z(z2)
        bonded = first != second and (first in ELECTRONEG or second in ELECTRONEG)
        if bonded != (q1 * q2 < 0) or (bonded and (first.X < second.X) != (q1 > 0)):
            return False
    return True
