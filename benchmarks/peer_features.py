"""The columns of pyhpc by pymatgen and matminer, each library at its best settings."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np

from benchmarks import ewald
from benchmarks.voronoi import VORONOI_NN
from pyhpc.features.catalogue import (
    ANION_BOND_FACTOR,
    BOND_FACTOR,
    ION_PAIR_CUTOFF,
    SMACT_ELEMENTS,
    STATISTICS,
    VORONOI_THRESHOLDS,
)
from pyhpc.features.elements import PROPERTIES
from pyhpc.features.mechanical import ANGSTROM3_PER_CM3_MOL

ION = "Li"
FARTHEST = 20.0
"""Angstrom, up to which nearest neighbours are sought."""


def compute(text: str) -> dict[str, float] | None:
    """Compute all columns from the text of a CIF; None where a library refuses the crystal.

    Returns
    -------
    dict
        The values whose definition is the same as ours, by our names. Sums of bond valences,
        whose parameters are others, and what depends on the choice of anions, bonds among it, are
        computed too, for their time.
    """
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            structure = CifParser.from_str(text).parse_structures(primitive=False)[0]
            found = _composition(structure) | _lattice(structure) | _symmetry(structure)
            decorated = _decorate(structure)
            _mobile_ion(structure)
            _bonds(structure, decorated)
            found |= _physics(structure, decorated)
            return found | _voronoi(structure) | _elements(structure)
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
    """All that comes from Voronoi cells, out of one tessellation of all sites.

    That takes half the time of one tessellation per site.
    """
    from pymatgen.analysis.local_env import VoronoiNN

    cells = VoronoiNN(tol=0, **VORONOI_NN).get_all_voronoi_polyhedra(structure)
    angles = [np.array([face["solid_angle"] for face in cell.values()]) for cell in cells]
    volumes = np.array([sum(face["volume"] for face in cell.values()) for cell in cells])
    radii = np.array([min(face["face_dist"] for face in cell.values()) for cell in cells])
    numbers = {
        threshold: np.array([np.sum(w / w.max() > threshold) for w in angles])
        for threshold in VORONOI_THRESHOLDS
    }
    effective = np.array([w.sum() ** 2 / np.sum(w**2) for w in angles])
    relative = volumes / volumes.mean()
    if not structure.is_ordered:
        return {}
    sites = _ion_sites(structure)
    found = {f"{ION.lower()}_voronoi_cn_avg_025": numbers[0.25][sites].mean()} if sites else {}
    return found | {
        "voronoi_effective_cn_mean": effective.mean(),
        "voronoi_volume_min": relative.min(),
        "voronoi_volume_max": relative.max(),
        "voronoi_volume_std": relative.std(),
        "packing_efficiency": 4 / 3 * np.pi * np.sum(radii**3) / structure.volume,
    }


def _bonds(structure: Any, decorated: Any) -> None:
    """Statistics of bonds by distance, in arrays over pymatgen's list of neighbours."""
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius

    species = [site.species for site in structure]
    table = CovalentRadius.radius
    radii = np.array(
        [sum(table[str(e)] * x for e, x in one.element_composition.items()) for one in species]
    )
    chi = np.array([one.average_electroneg for one in species])
    charges = np.sign([sum(s.oxi_state * x for s, x in site.species.items()) for site in decorated])
    i, j, images, distances = structure.get_neighbor_list(2 * BOND_FACTOR * radii.max())
    sums = radii[i] + radii[j]
    factors = np.where((charges[i] < 0) & (charges[j] < 0), ANION_BOND_FACTOR, BOND_FACTOR)
    possible = ~((charges[i] > 0) & (charges[j] > 0))
    orders = np.exp((sums - distances)[possible] / 0.37).sum() / structure.volume
    bonded = possible & (distances < factors * sums)
    i, j, images, distances = i[bonded], j[bonded], images[bonded], distances[bonded]
    vectors = structure.lattice.get_cartesian_coords(
        structure.frac_coords[j] + images - structure.frac_coords[i]
    )
    angles = []
    for site in range(len(structure)):
        directions = vectors[i == site] / distances[i == site, None]
        cosines = (directions @ directions.T)[np.triu_indices(len(directions), 1)]
        angles.append(np.degrees(np.arccos(np.clip(cosines, -1, 1))))
    unlike = np.mean([species[a] != species[b] for a, b in zip(i, j, strict=True)])
    columns = [
        np.bincount(i, minlength=len(structure)),
        distances,
        distances / sums[bonded],
        np.concatenate(angles),
        np.abs(chi[i] - chi[j]),
    ]
    _ = [(c.mean(), c.std(), c.min(), c.max()) for c in columns if len(c)], unlike, orders


@cache
def _elemental(symbol: str) -> tuple[float, ...]:
    """Radius, electronegativity, bulk modulus, molar volume and melting point of an element."""
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
    from pymatgen.core import Element

    element = Element(symbol)
    values = (element.X, element.bulk_modulus, element.molar_volume, element.melting_point)
    return CovalentRadius.radius[symbol], *(np.nan if v is None else float(v) for v in values)


def _elements(structure: Any) -> dict[str, float]:
    amounts = structure.composition.element_composition.get_el_amt_dict()
    counts = np.array(list(amounts.values()))
    radii, chi, moduli, volumes, melting = np.array([_elemental(symbol) for symbol in amounts]).T
    shares = counts / counts.sum()
    # Radii of some elements and melting points are others in pymatgen's tables.
    _ = (
        4 / 3 * np.pi * np.dot(counts, radii**3) / structure.volume,
        np.dot(shares, (1 - radii / np.dot(shares, radii)) ** 2) ** 0.5,
        np.dot(shares, melting),
    )
    known = np.isfinite(moduli)
    found = {
        "electronegativity_mismatch": np.dot(shares, (chi - np.dot(shares, chi)) ** 2) ** 0.5,
        "elemental_bulk_modulus_coverage": shares[known].sum(),
        "elemental_molar_volume_mean": np.dot(shares, volumes),
        "elemental_volume_ratio": structure.volume
        / (ANGSTROM3_PER_CM3_MOL * np.dot(counts, volumes)),
    }
    if known.any():
        weights = (counts * volumes)[known]
        found |= {
            "elemental_bulk_modulus_mean": np.average(moduli[known], weights=counts[known]),
            "elemental_bulk_modulus_reuss": weights.sum() / np.dot(weights, 1 / moduli[known]),
        }
    return found
