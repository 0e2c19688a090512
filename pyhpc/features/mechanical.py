"""Features of bonds, packing and elements, which the stiffness of a crystal follows from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc import kernels
from pyhpc.features.catalogue import ANION_BOND_FACTOR, BOND_FACTOR, MECHANICAL
from pyhpc.features.elements import BULK_MODULI, MOLAR_VOLUMES, SYMBOLS, property_values
from pyhpc.features.grouped import Grouped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.crystals import CrystalBatch
    from pyhpc.features.contents import Contents
    from pyhpc.features.findings import Findings
    from pyhpc.features.physics import Charges
    from pyhpc.kernels import BondStatistics, BondValence, Voronoi

ANGSTROM3_PER_CM3_MOL = 1e24 / 6.02214076e23
"""Cubic angstrom per atom that are one cubic centimetre per mole."""

_RADII = property_values("covalent_radius") / 100.0
_ELECTRONEGATIVITIES = property_values("electronegativity")
_MELTING_TEMPERATURES = property_values("melting_temperature")


def _valence_electrons() -> NDArray[np.float64]:
    """Electrons of each element that bind: neither f electrons nor the full d shell under p."""
    s, p, d = (property_values(f"n_{shell}_valence") for shell in "spd")
    return s + p + np.where(property_values("column") <= 12, d, 0.0)


_VALENCE_ELECTRONS = _valence_electrons()

_NEEDED = {
    "covalent radius": _RADII,
    "electronegativity": _ELECTRONEGATIVITIES,
    "molar volume": MOLAR_VOLUMES,
    "melting temperature": _MELTING_TEMPERATURES,
    "valence electrons": _VALENCE_ELECTRONS,
}
"""What has to be known of every element of a crystal."""


def bonds(batch: CrystalBatch, threads: int | None = None) -> BondStatistics:
    """Find the bonds of crystals whose oxidation states are assigned."""
    return kernels.bond_statistics(
        batch,
        _RADII,
        _ELECTRONEGATIVITIES,
        bond_factor=BOND_FACTOR,
        anion_factor=ANION_BOND_FACTOR,
        threads=threads,
    )


def columns(
    contents: Contents,
    charges: Charges,
    bonds: BondStatistics,
    bond_valence: BondValence,
    cells: Voronoi,
    findings: Findings,
) -> dict[str, NDArray[np.float64]]:
    """Compute the features of the group ``mechanical``.

    ``bonds`` and ``cells`` are those of all sites, ``bond_valence`` that of ``charges.ionic``.
    """
    result = {
        **_bond_columns(contents, charges, bonds, bond_valence),
        **_cell_columns(contents, cells),
        **_element_columns(contents),
    }
    _report(contents, charges, bonds, bond_valence, cells, result, findings)
    return result


def _bond_columns(
    contents: Contents, charges: Charges, bonds: BondStatistics, bond_valence: BondValence
) -> dict[str, NDArray[np.float64]]:
    result = {}
    for name, statistics in {
        "bond_cn": bonds.coordination_numbers,
        "bond_length": bonds.lengths,
        "bond_length_relative": bonds.relative_lengths,
        "bond_angle": bonds.angles,
        "bond_electronegativity_difference": bonds.electronegativity_differences,
    }.items():
        for statistic, values in zip(("mean", "std", "min", "max"), statistics.T, strict=True):
            result[f"{name}_{statistic}"] = values
    sites = Grouped(contents.batch.site_crystals, len(contents.batch))
    valences = sites.sums(_site_occupancies(contents) * charges.spread_sites(bond_valence.sums))
    return {
        **result,
        "bond_density": bonds.n_bonds / contents.volumes,
        "unlike_bond_fraction": bonds.unlike_fractions,
        "bond_order_density": bonds.bond_orders / contents.volumes,
        # Each bond is in the sums of both its ends.
        "bond_valence_density": 0.5 * valences / contents.volumes,
    }


def _cell_columns(contents: Contents, cells: Voronoi) -> dict[str, NDArray[np.float64]]:
    sites = Grouped(contents.batch.site_crystals, len(contents.batch))
    weights = _site_occupancies(contents)
    narrow, wide = (cells.coordination_numbers[threshold] for threshold in (0.1, 0.25))
    relative = cells.volumes / sites.means(cells.volumes, weights)[sites.crystals]
    filled = np.where(weights > 0, relative, np.nan)
    spheres = 4.0 / 3.0 * np.pi * cells.inscribed_radii**3
    return {
        "voronoi_cn_mean_010": sites.means(narrow, weights),
        "voronoi_cn_mean_025": sites.means(wide, weights),
        "voronoi_cn_std_025": sites.deviations(wide, weights),
        "voronoi_effective_cn_mean": sites.means(cells.effective_coordination_numbers, weights),
        "voronoi_volume_std": sites.deviations(relative, weights),
        "voronoi_volume_min": sites.minima(filled),
        "voronoi_volume_max": sites.maxima(filled),
        "packing_efficiency": sites.sums(weights * spheres) / contents.volumes,
    }


def _element_columns(contents: Contents) -> dict[str, NDArray[np.float64]]:
    crystals, elements = np.nonzero(contents.amounts > 0)
    amounts = contents.amounts[crystals, elements]
    atoms = Grouped(crystals, len(contents.batch))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return atoms.means(values[elements], amounts)

    def per_volume(values: NDArray[np.float64]) -> NDArray[np.float64]:
        totals = atoms.sums(amounts * values[elements])
        return np.where(atoms.counts() > 0, totals, np.nan) / contents.volumes

    moduli, molar_volumes = BULK_MODULI[elements], MOLAR_VOLUMES[elements]
    has_modulus = np.isfinite(moduli)
    moduli = np.where(has_modulus, moduli, 1.0)
    volumes = np.where(has_modulus, amounts * molar_volumes, 0.0)
    return {
        "packing_fraction": per_volume(4.0 / 3.0 * np.pi * _RADII**3),
        "atomic_size_mismatch": atoms.deviations(_RADII[elements], amounts) / mean(_RADII),
        "electronegativity_mismatch": atoms.deviations(_ELECTRONEGATIVITIES[elements], amounts),
        "elemental_bulk_modulus_mean": atoms.means(moduli, np.where(has_modulus, amounts, 0.0)),
        "elemental_bulk_modulus_reuss": 1.0 / atoms.means(1.0 / moduli, volumes),
        "elemental_bulk_modulus_coverage": atoms.means(has_modulus.astype(np.float64), amounts),
        "elemental_molar_volume_mean": mean(MOLAR_VOLUMES),
        "elemental_volume_ratio": 1.0 / per_volume(ANGSTROM3_PER_CM3_MOL * MOLAR_VOLUMES),
        "melting_temperature_mean": mean(_MELTING_TEMPERATURES),
        "valence_electron_density": per_volume(_VALENCE_ELECTRONS),
    }


def _site_occupancies(contents: Contents) -> NDArray[np.float64]:
    """Atoms on each site, shape (n_sites,)."""
    batch = contents.batch
    return Grouped(batch.species_sites, batch.n_sites).sums(batch.occupancies)


def _report(
    contents: Contents,
    charges: Charges,
    bonds: BondStatistics,
    bond_valence: BondValence,
    cells: Voronoi,
    result: dict[str, NDArray[np.float64]],
    findings: Findings,
) -> None:
    """Say why values are missing."""
    no_atoms = np.isnan(contents.n_atoms)
    found = (bonds.status == 0) & ~no_atoms
    bonded = found & (bonds.n_bonds > 0)
    findings.kernel(MECHANICAL, "bonds", bonds)
    findings.kernel(MECHANICAL, "voronoi", cells)
    findings.kernel(MECHANICAL, "valences", charges.valences)
    findings.kernel(MECHANICAL, "bond valence", bond_valence, charges.charged)
    findings.failure(no_atoms, MECHANICAL, "no_atoms", "the occupancies do not sum to an atom")
    findings.failure(
        np.isnan(contents.volumes), MECHANICAL, "singular_lattice", "the lattice spans no volume"
    )
    findings.fact(found & ~bonded, MECHANICAL, "no_bonds", "no two atoms are close enough to bond")
    findings.fact(
        bonded & np.isnan(result["bond_angle_mean"]),
        MECHANICAL,
        "no_bond_angle",
        "no site has two bonds, or all that have have more than 256",
    )
    findings.fact(
        charges.neutral, MECHANICAL, "neutral_atoms", "all atoms are neutral, there are no ions"
    )
    findings.fact(
        ~no_atoms & np.isnan(result["elemental_bulk_modulus_mean"]),
        MECHANICAL,
        "no_bulk_modulus",
        "the table has a bulk modulus of none of the elements",
    )
    present = contents.amounts > 0
    without = np.isnan(np.stack(list(_NEEDED.values())))
    for z in np.flatnonzero(without.any(axis=0)):
        names = [name for name, gap in zip(_NEEDED, without[:, z], strict=True) if gap]
        message = f"no value for {SYMBOLS[z]}: {', '.join(names)}"
        findings.failure(present[:, z], MECHANICAL, "missing_element_data", message)
