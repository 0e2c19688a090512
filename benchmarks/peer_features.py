"""The columns of pyhpc by pymatgen and matminer, each library at its best settings."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np

from benchmarks import ewald
from benchmarks.voronoi import VORONOI_NN
from pyhpc.features.catalogue import (
    BOND_FACTOR,
    ION_PAIR_CUTOFF,
    SMACT_ELEMENTS,
    STATISTICS,
    VORONOI_THRESHOLDS,
)
from pyhpc.features.elements import PROPERTIES

ION = "Li"
FARTHEST = 20.0
"""Angstrom, up to which nearest neighbours are sought."""


def compute(text: str) -> dict[str, float] | None:
    """Compute all columns from the text of a CIF; None where a library refuses the crystal.

    Returns
    -------
    dict
        The values whose definition is the same as ours, by our names. Sums of bond valences,
        whose parameters are others, and what depends on the choice of anions are computed too,
        for their time.
    """
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            structure = CifParser.from_str(text).parse_structures(primitive=False)[0]
            found = _composition(structure) | _lattice(structure) | _symmetry(structure)
            decorated = _decorate(structure)
            _mobile_ion(structure)
            return found | _physics(structure, decorated) | _voronoi(structure)
        except (ValueError, TypeError, KeyError, RuntimeError):
            return None


@cache
def _featurizers() -> dict[str, Any]:
    from matminer.featurizers import composition, structure

    return {
        "fractions": composition.ElementFraction(),
        "magpie": composition.ElementProperty.from_preset("magpie"),
        "density": structure.DensityFeatures(),
        "symmetry": structure.GlobalSymmetryFeatures(),
        "gii": structure.GlobalInstabilityIndex(),
    }


def _composition(structure: Any) -> dict[str, float]:
    composition = structure.composition.element_composition
    fractions = _featurizers()["fractions"].featurize(composition)
    found = {f"smact_stoich_{z}": fractions[z] for z in range(SMACT_ELEMENTS)}
    magpie = _featurizers()["magpie"]
    values = dict(zip(magpie.feature_labels(), magpie.featurize(composition), strict=True))
    statistics = {"minimum": "min", "maximum": "max", "range": "range", "avg_dev": "avg_dev"}
    statistics |= {"mode": "mode", "mean": ""}
    names = _property_names()
    for label, value in values.items():
        _, statistic, name = label.split(" ", 2)
        ours = names.get(name)
        if ours is None:
            continue
        short = statistics[statistic]
        key = f"magpie_{short}_{ours[1]}" if short in STATISTICS else f"magpie_emb_{ours[0]}"
        found[key] = value
    return found


def _property_names() -> dict[str, tuple[int, str]]:
    """Position and name here of Magpie's properties, by Magpie's names."""
    plain = {name.replace("_", "").lower(): (k, name) for k, name in enumerate(PROPERTIES)}
    magpie = _featurizers()["magpie"].features
    return {name: plain[name.lower()] for name in magpie if name.lower() in plain}


def _lattice(structure: Any) -> dict[str, float]:
    lattice = structure.lattice
    density, _, _ = _featurizers()["density"].featurize(structure)
    found = dict(zip("abc", lattice.abc, strict=True))
    found |= dict(zip(("alpha", "beta", "gamma"), lattice.angles, strict=True))
    edges = lattice.abc
    return {f"lattice_{name}": value for name, value in found.items()} | {
        "volume": lattice.volume,
        "density": density,
        "n_total_atoms": structure.composition.num_atoms,
        "n_sites": len(structure),
        "lattice_anisotropy_bc_a": (edges[1] + edges[2]) / (2 * edges[0]),
        "lattice_anisotropy_max_min": max(edges) / min(edges),
        "angle_deviation_from_ortho": float(np.mean(np.abs(np.array(lattice.angles) - 90))),
    }


def _symmetry(structure: Any) -> dict[str, float]:
    number, *_ = _featurizers()["symmetry"].featurize(structure)
    return {"space_group_number": number}


def _decorate(structure: Any) -> Any:
    from pymatgen.analysis.bond_valence import BVAnalyzer

    return BVAnalyzer().get_oxi_state_decorated_structure(structure)


def _ion_sites(structure: Any) -> list[int]:
    return [k for k, site in enumerate(structure) if ION in site.species.element_composition]


def _mobile_ion(structure: Any) -> None:
    """Nearest ions and anions, coordination, multiplicities."""
    from pymatgen.core import Element
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    sites = _ion_sites(structure)
    if not sites:
        return
    SpacegroupAnalyzer(structure, symprec=0.01).get_symmetrized_structure()
    radius = Element(ION).atomic_radius
    for k in sites:
        reach = ION_PAIR_CUTOFF
        ions: list[float] = []
        while not ions and reach <= FARTHEST:
            neighbors = structure.get_neighbors(structure[k], reach)
            ions = [n.nn_distance for n in neighbors if ION in n.species.element_composition]
            reach *= 2
        for neighbor in neighbors:
            radii = [element.atomic_radius or 0.0 for element in neighbor.species.elements]
            _ = neighbor.nn_distance < BOND_FACTOR * (radius + max(radii))


def _physics(structure: Any, decorated: Any) -> dict[str, float]:
    from pymatgen.analysis.bond_valence import calculate_bv_sum, calculate_bv_sum_unordered
    from pymatgen.analysis.ewald import EwaldSummation

    bond_valence = calculate_bv_sum if structure.is_ordered else calculate_bv_sum_unordered
    for k in _ion_sites(structure):
        bond_valence(structure[k], structure.get_neighbors(structure[k], 4.0))
    if structure.is_ordered:
        _featurizers()["gii"].featurize(decorated)
    summation = EwaldSummation(decorated, **ewald.pymatgen_settings())
    for k in _ion_sites(structure):
        summation.get_site_energy(k)
    energy = summation.total_energy * ewald.constant_ratio()
    return {"madelung_energy_per_atom": energy / structure.composition.num_atoms}


def _voronoi(structure: Any) -> dict[str, float]:
    """Coordination numbers at all thresholds from one tessellation per site."""
    from pymatgen.analysis.local_env import VoronoiNN

    sites = _ion_sites(structure)
    if not sites:
        return {}
    cutter = VoronoiNN(tol=0, **VORONOI_NN)
    numbers = dict.fromkeys(VORONOI_THRESHOLDS, 0.0)
    for k in sites:
        faces = cutter.get_voronoi_polyhedra(structure, k).values()
        angles = np.array([face["solid_angle"] for face in faces])
        for threshold in numbers:
            numbers[threshold] += float(np.sum(angles / angles.max() > threshold)) / len(sites)
    if not structure.is_ordered:
        return {}
    return {f"{ION.lower()}_voronoi_cn_avg_025": numbers[0.25]}
