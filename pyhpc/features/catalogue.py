"""Every feature that pyhpc computes: its name, group, unit, meaning and source.

This is the one place where features are declared; the groups' modules compute what stands here.
Names follow the mobile ion: with lithium they begin with ``li_``, with sodium with ``na_``
(``n_li_sites`` becomes ``n_na_sites``, ``li_li_min_dist`` becomes ``na_na_min_dist``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

from pyhpc.features.elements import PROPERTIES, SYMBOLS, mobile_ion_number

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPOSITION = "composition"
LATTICE = "lattice"
SYMMETRY = "symmetry"
MOBILE_ION = "mobile_ion"
PHYSICS = "physics"
MECHANICAL = "mechanical"

MAGPIE = "Ward et al. 2016, doi 10.1038/npjcompumats.2016.28"
MOYO = "moyo, on the algorithm of spglib: Togo et al. 2024, doi 10.1080/27660400.2024.2384822"
BOND_VALENCE = "Brown 2009, doi 10.1021/cr900053k"
GII = "Salinas-Sanchez et al. 1992, doi 10.1016/0022-4596(92)90094-C"
EWALD = "Ewald 1921, doi 10.1002/andp.19213690304"
VORONOI = "O'Keeffe 1979, doi 10.1107/S0567739479001765"
COVALENT_RADII = "Cordero et al. 2008, doi 10.1039/b801115j"
BOND_ORDER = "Pauling 1947, doi 10.1021/ja01195a024"
TESSELLATION = "Ward et al. 2017, doi 10.1103/PhysRevB.96.024104"
SIZE_MISMATCH = "Zhang et al. 2008, doi 10.1002/adem.200700240"
ELECTRONEGATIVITY_MISMATCH = "Fang et al. 2003, doi 10.1016/S0022-3093(03)00155-8"
ELEMENTAL_SOLIDS = "Ong et al. 2013 (pymatgen), doi 10.1016/j.commatsci.2012.10.028"
DEFINITION = "definition"

BOND_FACTOR = 1.3
"""Atoms count as bonded below this multiple of the sum of covalent radii; two cations never do."""

ANION_BOND_FACTOR = 1.1
"""The same for two anions, as in peroxides and pyrite."""

ION_PAIR_CUTOFF = 5.0
"""Mobile ions further apart than this, in angstrom, are no neighbours in mean distances."""

SMACT_ELEMENTS = 103
"""Elements that have a ``smact_stoich`` column: Z = 1 to this."""

VORONOI_THRESHOLDS = {0.0: "", 0.1: "_010", 0.25: "_025", 0.5: "_050"}
"""Suffix of the coordination number at each threshold on the solid angle."""

STATISTICS = {
    "min": "smallest value among the elements",
    "max": "largest value among the elements",
    "range": "largest minus smallest value among the elements",
    "avg_dev": "composition-weighted mean distance from the composition-weighted mean",
    "mode": "value of the most abundant element, the smallest such value where several are",
}
"""Magpie statistics that are stored beside the mean, which is ``magpie_emb_<k>``."""


_FLOAT = pa.float64()


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the table of features.

    Attributes
    ----------
    name : str
        Column name.
    group : str
        Key of :data:`GROUPS`.
    unit : str
        Unit, ``"1"`` where there is none.
    meaning : str
        One line.
    source : str
        Publication with DOI, or ``"definition"`` where the meaning says it all.
    dtype : pyarrow.DataType
        Type of the column. Missing values are NaN in floating columns and null in others.
    """

    name: str
    group: str
    unit: str
    meaning: str
    source: str = DEFINITION
    dtype: pa.DataType = _FLOAT

    @property
    def field(self) -> pa.Field:
        """Arrow field that carries group, unit, meaning and source as metadata."""
        metadata = {
            "group": self.group,
            "unit": self.unit,
            "meaning": self.meaning,
            "source": self.source,
        }
        # What is missing among floating-point numbers is NaN.
        nullable = not pa.types.is_floating(self.dtype)
        return pa.field(self.name, self.dtype, nullable, metadata)


def _composition(symbol: str, ion: str) -> list[Feature]:
    features = [
        Feature(f"{ion}_fraction", COMPOSITION, "1", f"fraction of the atoms that are {symbol}"),
        Feature(
            "anion_fraction",
            COMPOSITION,
            "1",
            "fraction of the atoms that are N, O, F, S, Cl, Se, Br, Te or I",
        ),
        Feature(
            "total_elements", COMPOSITION, "1", "number of different elements", dtype=pa.int16()
        ),
    ]
    features += [
        Feature(
            f"smact_stoich_{z - 1}", COMPOSITION, "1", f"fraction of the atoms that are {symbol}"
        )
        for z, symbol in enumerate(SYMBOLS[:SMACT_ELEMENTS], start=1)
    ]
    features += [
        Feature(
            f"magpie_emb_{k}",
            COMPOSITION,
            unit,
            f"composition-weighted mean of the elements' {name}",
            MAGPIE,
        )
        for k, (name, unit) in enumerate(PROPERTIES.items())
    ]
    features += [
        Feature(
            f"magpie_{statistic}_{name}", COMPOSITION, unit, f"{name}: {meaning}", source=MAGPIE
        )
        for statistic, meaning in STATISTICS.items()
        for name, unit in PROPERTIES.items()
    ]
    return features


def _lattice(symbol: str, ion: str) -> list[Feature]:
    features = [
        Feature(f"lattice_{edge}", LATTICE, "A", f"length of lattice vector {edge}")
        for edge in "abc"
    ]
    features += [
        Feature(f"lattice_{angle}", LATTICE, "degree", f"angle between lattice vectors {pair}")
        for angle, pair in {"alpha": "b and c", "beta": "c and a", "gamma": "a and b"}.items()
    ]
    features += [
        Feature("volume", LATTICE, "A^3", "volume of the cell"),
        Feature("density", LATTICE, "g/cm^3", "mass of the cell over its volume"),
        Feature("volume_per_atom", LATTICE, "A^3", "volume of the cell over n_total_atoms"),
        Feature("n_total_atoms", LATTICE, "1", "atoms in the cell: the sum of all occupancies"),
        Feature("n_sites", LATTICE, "1", "sites in the cell, filled or not", dtype=pa.int32()),
        Feature(
            f"n_{ion}_sites",
            LATTICE,
            "1",
            f"sites in the cell that hold {symbol}, at least in part",
            dtype=pa.int32(),
        ),
        Feature("lattice_anisotropy_bc_a", LATTICE, "1", "(b + c) / (2 a)"),
        Feature("lattice_anisotropy_max_min", LATTICE, "1", "longest over shortest edge"),
        Feature("angle_deviation_from_ortho", LATTICE, "degree", "mean of |angle - 90|"),
        Feature(
            "is_cubic_like",
            LATTICE,
            "1",
            "1 if the edges agree within 1% and all angles are within 1 degree of 90, else 0",
            dtype=pa.int8(),
        ),
        Feature(
            "has_cif_struct",
            LATTICE,
            "1",
            "1: the row was made from a structure, not from a formula alone",
            dtype=pa.int8(),
        ),
    ]
    return features


def _symmetry() -> list[Feature]:
    return [
        Feature("space_group_number", SYMMETRY, "1", "space group, 1 to 230", MOYO, pa.int16()),
        Feature(
            "crystal_system",
            SYMMETRY,
            "1",
            "crystal system of the space group",
            MOYO,
            pa.dictionary(pa.int8(), pa.string()),
        ),
    ]


def _mobile_ion(symbol: str, ion: str) -> list[Feature]:
    weighted = f"occupancy-weighted mean over the {symbol} sites of"
    return [
        Feature(f"{ion}_concentration", MOBILE_ION, "1/A^3", f"{symbol} atoms per volume"),
        Feature("framework_density", MOBILE_ION, "1/A^3", f"atoms other than {symbol} per volume"),
        Feature(
            f"{ion}_{ion}_min_dist",
            MOBILE_ION,
            "A",
            f"shortest distance between {symbol} sites that can be filled at once, up to 20 A",
        ),
        Feature(
            f"{ion}_{ion}_avg_dist",
            MOBILE_ION,
            "A",
            f"{weighted} the distance to the nearest {symbol}, where that is below 5 A",
        ),
        Feature(
            f"{ion}_anion_min_dist",
            MOBILE_ION,
            "A",
            f"shortest distance between {symbol} and an anion (by oxidation state), up to 20 A",
        ),
        Feature(
            f"{ion}_coordination_avg",
            MOBILE_ION,
            "1",
            f"{weighted} the number of anions (their occupancies) closer than 1.3 times the sum "
            "of covalent radii",
            COVALENT_RADII,
        ),
        Feature(
            f"{ion}_site_avg_multiplicity",
            MOBILE_ION,
            "1",
            f"mean number of equivalent sites in the cell, over the distinct {symbol} sites",
            MOYO,
        ),
        Feature(
            f"{ion}_occupancy_mean",
            MOBILE_ION,
            "1",
            f"mean over the {symbol} sites of their occupancy by {symbol}",
        ),
        Feature(f"{ion}_occupancy_min", MOBILE_ION, "1", f"smallest {symbol} occupancy of a site"),
        Feature(f"{ion}_occupancy_max", MOBILE_ION, "1", f"largest {symbol} occupancy of a site"),
        Feature(
            f"{ion}_occupancy_std",
            MOBILE_ION,
            "1",
            f"standard deviation over the {symbol} sites of their occupancy by {symbol}",
        ),
        Feature(
            f"{ion}_partial_fraction",
            MOBILE_ION,
            "1",
            f"fraction of the {symbol} sites that {symbol} does not fill",
        ),
    ]


def _physics(symbol: str, ion: str) -> list[Feature]:
    mean = f"occupancy-weighted mean over the {symbol} sites of"
    spread = f"occupancy-weighted standard deviation over the {symbol} sites of"
    mismatch = "|expected valence - bond-valence sum|"
    energy = f"the Ewald site energy of one {symbol} ion"
    string = pa.dictionary(pa.int8(), pa.string())
    return [
        Feature("bv_mismatch_avg", PHYSICS, "v.u.", f"{mean} {mismatch}", BOND_VALENCE),
        Feature("bv_mismatch_std", PHYSICS, "v.u.", f"{spread} {mismatch}", BOND_VALENCE),
        Feature("gii", PHYSICS, "v.u.", "global instability index", GII),
        Feature("ewald_energy_avg", PHYSICS, "eV", f"{mean} {energy}", EWALD),
        Feature("ewald_energy_std", PHYSICS, "eV", f"{spread} {energy}", EWALD),
        Feature(
            "madelung_energy_per_atom",
            PHYSICS,
            "eV",
            "electrostatic energy of the point charges over n_total_atoms",
            EWALD,
        ),
        Feature("net_charge", PHYSICS, "e", "sum of all charges in the cell"),
        *(
            Feature(
                f"{ion}_voronoi_cn_avg{suffix}",
                PHYSICS,
                "1",
                f"{mean} the number of Voronoi faces with more than {threshold:g} of the largest "
                "solid angle",
                VORONOI,
            )
            for threshold, suffix in VORONOI_THRESHOLDS.items()
        ),
        Feature(
            "valence_method", PHYSICS, "1", "how the oxidation states were found", dtype=string
        ),
        Feature(
            "valence_margin",
            PHYSICS,
            "1",
            "log-probability of the assignment of valences over that of its runner-up",
            DEFINITION,
        ),
        Feature("has_bv", PHYSICS, "1", "1 if bv_mismatch_avg has a value", dtype=pa.int8()),
        Feature("has_ewald", PHYSICS, "1", "1 if ewald_energy_avg has a value", dtype=pa.int8()),
        Feature(
            "has_voronoi", PHYSICS, "1", f"1 if {ion}_voronoi_cn_avg has a value", dtype=pa.int8()
        ),
    ]


_DISTRIBUTION = {
    "mean": "mean",
    "std": "standard deviation",
    "min": "smallest",
    "max": "largest",
}
"""Statistics over the sites, bonds or angles of a crystal, weighted by occupancy."""


def _mechanical() -> list[Feature]:
    return [*_bonds(), *_cells(), *_elements()]


def _bonds() -> list[Feature]:
    of_bonds = {
        "bond_cn": (
            "1",
            f"bonds of a site, to atoms closer than {BOND_FACTOR:g} times the sum of covalent "
            f"radii (two anions: {ANION_BOND_FACTOR:g}; two cations: never)",
            COVALENT_RADII,
        ),
        "bond_length": ("A", "length of the bonds", COVALENT_RADII),
        "bond_length_relative": (
            "1",
            "length of the bonds over the sum of covalent radii",
            COVALENT_RADII,
        ),
        "bond_angle": ("degree", "angle between each two bonds of a site", COVALENT_RADII),
        "bond_electronegativity_difference": (
            "1",
            "absolute difference of electronegativity between the ends of a bond",
            MAGPIE,
        ),
    }
    return [
        *(
            Feature(f"{name}_{key}", MECHANICAL, unit, f"{meaning}: {statistic}", source)
            for name, (unit, meaning, source) in of_bonds.items()
            for key, statistic in _DISTRIBUTION.items()
            # Nearly always zero.
            if (name, key) != ("bond_electronegativity_difference", "min")
        ),
        Feature("bond_density", MECHANICAL, "1/A^3", "bonds per volume"),
        Feature(
            "unlike_bond_fraction",
            MECHANICAL,
            "1",
            "fraction of the bonds whose ends are different elements",
        ),
        Feature(
            "bond_order_density",
            MECHANICAL,
            "1/A^3",
            "sum per volume of exp((r_i + r_j - d) / 0.37 A) over pairs, with covalent radii r; "
            "without pairs of two cations and those below 0.01",
            BOND_ORDER,
        ),
        Feature(
            "bond_valence_density",
            MECHANICAL,
            "v.u./A^3",
            "bond valences per volume: half of the bond-valence sums of all sites",
            BOND_VALENCE,
        ),
    ]


def _cells() -> list[Feature]:
    faces = "Voronoi faces of a site with more than {:g} of the largest solid angle: {}"
    return [
        *(
            Feature(
                f"voronoi_cn_{key}{VORONOI_THRESHOLDS[threshold]}",
                MECHANICAL,
                "1",
                faces.format(threshold, _DISTRIBUTION[key]),
                VORONOI,
            )
            for key, threshold in (("mean", 0.1), ("mean", 0.25), ("std", 0.25))
        ),
        Feature(
            "voronoi_effective_cn_mean",
            MECHANICAL,
            "1",
            "mean over the sites of (sum w)^2 / sum w^2, with the solid angles w of Voronoi faces",
            TESSELLATION,
        ),
        *(
            Feature(
                f"voronoi_volume_{key}",
                MECHANICAL,
                "1",
                f"volume of the Voronoi cells over their mean: {statistic}",
                TESSELLATION,
            )
            for key, statistic in _DISTRIBUTION.items()
            if key != "mean"
        ),
        Feature(
            "packing_efficiency",
            MECHANICAL,
            "1",
            "volume fraction of the largest spheres around the sites within their Voronoi cells",
            TESSELLATION,
        ),
        Feature(
            "packing_fraction",
            MECHANICAL,
            "1",
            "volume of spheres of the covalent radii over that of the cell, overlaps counted twice",
            COVALENT_RADII,
        ),
    ]


def _elements() -> list[Feature]:
    return [
        Feature(
            "atomic_size_mismatch",
            MECHANICAL,
            "1",
            "sqrt(sum c (1 - r / mean r)^2) over the elements, with covalent radii r",
            SIZE_MISMATCH,
        ),
        Feature(
            "electronegativity_mismatch",
            MECHANICAL,
            "1",
            "composition-weighted standard deviation of the electronegativity",
            ELECTRONEGATIVITY_MISMATCH,
        ),
        Feature(
            "elemental_bulk_modulus_mean",
            MECHANICAL,
            "GPa",
            "mean over the atoms of their element's bulk modulus, where it has one",
            ELEMENTAL_SOLIDS,
        ),
        Feature(
            "elemental_bulk_modulus_reuss",
            MECHANICAL,
            "GPa",
            "bulk modulus of the elements under one pressure, where they have one: the harmonic "
            "mean, weighted by their molar volumes",
            ELEMENTAL_SOLIDS,
        ),
        Feature(
            "elemental_bulk_modulus_coverage",
            MECHANICAL,
            "1",
            "fraction of the atoms whose element has a bulk modulus",
            ELEMENTAL_SOLIDS,
        ),
        Feature(
            "elemental_molar_volume_mean",
            MECHANICAL,
            "cm^3/mol",
            "composition-weighted mean of the elements' molar volumes",
            ELEMENTAL_SOLIDS,
        ),
        Feature(
            "elemental_volume_ratio",
            MECHANICAL,
            "1",
            "volume of the crystal over that of its elements apart",
            ELEMENTAL_SOLIDS,
        ),
        Feature(
            "melting_temperature_mean",
            MECHANICAL,
            "K",
            "composition-weighted mean of the elements' melting temperatures",
            MAGPIE,
        ),
        Feature(
            "valence_electron_density",
            MECHANICAL,
            "1/A^3",
            "valence electrons per volume: s, p, and in groups 3 to 12 d electrons",
            MAGPIE,
        ),
    ]


def catalogue(mobile_ion: str = "Li") -> tuple[Feature, ...]:
    """List all features in the order of their columns.

    Parameters
    ----------
    mobile_ion : str
        Symbol of the mobile ion, which the names of its features begin with, in lower case.

    Raises
    ------
    ValueError
        If the symbol is no element's.
    """
    mobile_ion_number(mobile_ion)
    ion = mobile_ion.lower()
    return (
        *_composition(mobile_ion, ion),
        *_lattice(mobile_ion, ion),
        *_symmetry(),
        *_mobile_ion(mobile_ion, ion),
        *_physics(mobile_ion, ion),
        *_mechanical(),
    )


CATALOGUE: tuple[Feature, ...] = catalogue()
"""All features, for lithium."""

GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(feature.name for feature in CATALOGUE if feature.group == group)
    for group in (COMPOSITION, LATTICE, SYMMETRY, MOBILE_ION, PHYSICS, MECHANICAL)
}
"""Names of the features of each group, for lithium."""


def check_groups(groups: Sequence[str] | None) -> tuple[str, ...]:
    """Put groups in the order of the catalogue, all where None is given.

    Raises
    ------
    ValueError
        If there is no group of that name, or none is chosen; the message lists the valid ones.
    """
    if groups is None:
        return tuple(GROUPS)
    if isinstance(groups, str):
        raise ValueError(f"groups = {groups!r}: pass a list of names, such as [{groups!r}]")
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        found = ", ".join(map(repr, unknown)) or "nothing"
        raise ValueError(f"unknown feature group {found}; valid groups are {', '.join(GROUPS)}")
    return tuple(group for group in GROUPS if group in groups)


def select(groups: Sequence[str] | None = None, mobile_ion: str = "Li") -> tuple[Feature, ...]:
    """List the features of some groups (all where None is given), in the catalogue's order."""
    chosen = check_groups(groups)
    return tuple(feature for feature in catalogue(mobile_ion) if feature.group in chosen)


def schema(groups: Sequence[str] | None = None, mobile_ion: str = "Li") -> pa.Schema:
    """Arrow schema of the table of features: ``id``, then the features of the groups.

    The metadata of each field carries ``group``, ``unit``, ``meaning`` and ``source``; the
    schema's own carries ``mobile_ion`` and ``groups``.
    """
    return _schema(check_groups(groups), mobile_ion)


@cache
def _schema(groups: tuple[str, ...], mobile_ion: str) -> pa.Schema:
    fields = [feature.field for feature in select(groups, mobile_ion)]
    metadata = {"mobile_ion": mobile_ion, "groups": ",".join(groups)}
    return pa.schema([pa.field("id", pa.string(), nullable=False), *fields], metadata=metadata)
