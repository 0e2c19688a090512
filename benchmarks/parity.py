"""How far pyhpc is from pymatgen and ASE on the same crystals: worst and median deviation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import bond_valence, data
from benchmarks.data import available, sample, small
from benchmarks.ewald import constant_ratio, pymatgen_settings
from pyhpc import CrystalBatch, kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.data import Sample
    from benchmarks.harness import Effort

RECORDS = {"gallery": 96, "obelix": 160, "mp": 200}
"""Records of each set that are compared."""

QUICK_RECORDS = 12

GENERIC_CRYSTALS = {True: 5, False: 100}
"""Crystals made at random whose coordination numbers are compared, in quick mode or not."""

AT_THRESHOLD = 0.06
"""Share of crystals whose answer stands on the edge of a tolerance, which rounding decides."""

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
    allowed: float

    @property
    def is_violated(self) -> bool:
        """Whether more crystals differ than may."""
        return not self.differing <= self.allowed * self.compared

    @classmethod
    def of(
        cls,
        what: str,
        peer: str,
        data: str,
        values: list[float],
        unit: str,
        tolerance: float,
        allowed: float = 0.0,
    ) -> Deviation:
        """Sum up deviations; those above the tolerance count as differing."""
        found = np.asarray(values) if values else np.zeros(1)
        differing = int(np.sum(~(found <= tolerance)))
        worst, median = float(found.max()), float(np.median(found))
        return cls(what, peer, data, len(values), unit, worst, median, differing, allowed)


def run(effort: Effort) -> Iterator[Deviation]:
    """Compare all that is compared, on all sets that are there."""
    for name in available(quick=effort.quick):
        chosen = sample(name, QUICK_RECORDS if effort.quick else RECORDS[name])
        valences = kernels.assign_oxidation_states(chosen.batch)
        charged = chosen.batch.with_oxidation_states(valences.oxidation_states)
        known = np.flatnonzero(valences.status == 0)
        yield expansion(chosen)
        yield neighbors(chosen)
        yield ewald(chosen, charged, known)
        yield bond_valence_sums(chosen, charged, known)
        yield voronoi(chosen)
        yield space_groups(chosen)
    yield voronoi_generic(GENERIC_CRYSTALS[effort.quick])


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
    for k in small(chosen.batch, 4 * MAX_PEER_SITES):
        one = chosen.batch.select([k])
        ours = kernels.neighbor_list(one, cutoff)
        i, j, shifts, distances = neighbor_list("ijSd", data.points(one), cutoff)
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

    settings = pymatgen_settings() | {"acc_factor": 12.0}
    values = []
    for k in np.intersect1d(known, small(chosen.batch, MAX_PEER_SITES)):
        one = charged.select([k])
        ours = kernels.ewald_site_energies(one)
        largest = np.abs(ours.site_energies).max()
        # pymatgen's site energies lack the background of a charged cell.
        if ours.status[0] or largest == 0 or abs(ours.net_charges[0]) > 1e-8:
            continue
        summation = EwaldSummation(one.to_pymatgen()[0], **settings)
        theirs = np.array([summation.get_site_energy(site) for site in range(one.n_sites)])
        theirs *= constant_ratio()
        values.append(float(np.abs(ours.site_energies - theirs).max() / largest))
    return Deviation.of(
        "Ewald site energies", "pymatgen EwaldSummation", chosen.name, values, "relative", 1e-6
    )


def bond_valence_sums(chosen: Sample, charged: CrystalBatch, known: np.ndarray) -> Deviation:
    """Sums with pymatgen's parameters, on crystals where its rule of signs finds the same bonds."""
    values = []
    for k in np.intersect1d(known, small(charged, MAX_PEER_SITES)):
        one = charged.select([k])
        if bond_valence.is_comparable(one):
            theirs = bond_valence.calculate_bv_sum([one])()
            values.append(bond_valence.relative_error(bond_valence.bond_valence_sums(one), theirs))
    return Deviation.of(
        "bond-valence sums", "pymatgen calculate_bv_sum", chosen.name, values, "relative", 1e-9
    )


def voronoi(chosen: Sample, crystals: int = 40) -> Deviation:
    """Coordination number at tolerance 0.25 of one site each of ordered crystals."""
    from pymatgen.analysis.local_env import VoronoiNN

    values = []
    for k in small(chosen.batch, MAX_PEER_SITES):
        one = chosen.batch.select([k])
        if len(values) == crystals:
            break
        if not data.is_ordered(one)[0]:
            continue
        mask = np.arange(one.n_sites) == one.n_sites // 2
        ours = kernels.voronoi(one, mask).coordination_numbers[0.25][0]
        peer = VoronoiNN(tol=0.25)
        values.append(float(abs(ours - peer.get_cn(one.to_pymatgen()[0], one.n_sites // 2))))
    return Deviation.of(
        "coordination number, 0.25",
        "pymatgen VoronoiNN",
        chosen.name,
        values,
        "atoms",
        0.5,
        AT_THRESHOLD,
    )


def voronoi_generic(crystals: int) -> Deviation:
    """Coordination number at tolerance 0 of one site each of triclinic crystals made at random.

    Without symmetry no face vanishes, which tolerance 0 would leave to rounding.
    """
    from pymatgen.analysis.local_env import VoronoiNN

    rng = np.random.default_rng(20261121)
    values = []
    for _ in range(crystals):
        n = int(rng.integers(3, 12))
        edge = (15.0 * n) ** (1 / 3)
        lattice = edge * (np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3)))
        one = CrystalBatch.from_sites(lattice, rng.random((n, 3)), np.full(n, 8))
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
    for k in small(chosen.batch, MAX_PEER_SITES):
        one = chosen.batch.select([k])
        if not data.is_ordered(one)[0]:
            continue
        number = SpacegroupAnalyzer(one.to_pymatgen()[0], symprec=1e-2).get_space_group_number()
        values.append(float(ours.numbers[k] != number))
    return Deviation.of(
        "space group",
        "pymatgen SpacegroupAnalyzer",
        chosen.name,
        values,
        "0 or 1",
        0.5,
        AT_THRESHOLD,
    )


def _structures(chosen: Sample) -> Iterator[tuple[int, object]]:
    """Crystals that pymatgen reads from the same text; it refuses some disordered ones."""
    for k in range(len(chosen.batch)):
        try:
            structure = chosen.structure(k)
        except ValueError:
            continue
        yield k, structure
