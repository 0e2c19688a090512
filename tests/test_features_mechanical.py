"""Features of bonds, packing and elements: how kernels and tables become columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pyhpc import CrystalBatch, featurize, kernels, tables
from pyhpc.crystals import read
from pyhpc.features import Settings, featurize_with_reasons
from pyhpc.features.elements import BULK_MODULI, MOLAR_VOLUMES, SYMBOLS, property_values
from pyhpc.features.physics import ion_cells
from pyhpc.gallery import crystals_path
from tests.crystals import FCC, crystal, random_crystal
from tests.named_crystals import antifluorite, from_sites, metal, rock_salt

CUBE = np.eye(3)
RADII = property_values("covalent_radius") / 100
CHI = property_values("electronegativity")


def featurized(batch, *groups):
    return featurize_with_reasons(batch, Settings(groups=["mechanical", *groups]))


def row(batch):
    return featurize(batch, ["mechanical"]).to_pylist()[0]


def reasons(batch):
    """Code and outcome of what is said of the one crystal."""
    return {(r.code, r.outcome.value) for r in featurized(batch).reasons.get(0, [])}


def element(z, lattice, frac_coords=((0, 0, 0),)):
    return crystal(lattice, frac_coords, [z] * len(frac_coords))


def stated(batch, charges):
    """The batch with the charge of each element stated."""
    return batch.with_oxidation_states([charges[int(z)] for z in batch.atomic_numbers])


def test_copper():
    """All of it from textbooks: 12 neighbours, packing pi / sqrt(18), elemental volume."""
    values = row(element(29, 3.615 * CUBE, FCC))
    volume = 3.615**3
    expected = {
        "bond_cn_mean": 12,
        "bond_cn_std": 0,
        "bond_length_mean": 3.615 / 2**0.5,
        "bond_length_relative_max": 3.615 / 2**0.5 / 2.64,
        "bond_angle_min": 60,
        "bond_angle_max": 180,
        "bond_electronegativity_difference_max": 0,
        "bond_density": 24 / volume,
        "unlike_bond_fraction": 0,
        "voronoi_cn_mean_010": 12,
        "voronoi_cn_mean_025": 12,
        "voronoi_cn_std_025": 0,
        "voronoi_effective_cn_mean": 12,
        "voronoi_volume_min": 1,
        "voronoi_volume_max": 1,
        "voronoi_volume_std": 0,
        "packing_efficiency": np.pi / 18**0.5,
        "packing_fraction": 4 * 4 / 3 * np.pi * 1.32**3 / volume,
        "atomic_size_mismatch": 0,
        "electronegativity_mismatch": 0,
        "elemental_bulk_modulus_mean": 140,
        "elemental_bulk_modulus_reuss": 140,
        "elemental_bulk_modulus_coverage": 1,
        "elemental_molar_volume_mean": 7.11,
        "elemental_volume_ratio": volume / 4 / (7.11 / 0.602214076),
        "melting_temperature_mean": 1357.77,
        "valence_electron_density": 44 / volume,
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name
    # A crystal at room temperature has the volume that its element has.
    assert values["elemental_volume_ratio"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("lattice", "frac_coords", "efficiency"),
    [
        (CUBE, ((0, 0, 0),), np.pi / 6),
        (CUBE, ((0, 0, 0), (0.5, 0.5, 0.5)), np.pi * 3**0.5 / 8),
        (CUBE, np.vstack([FCC, FCC + 0.25]), np.pi * 3**0.5 / 16),
    ],
)
def test_packing_of_equal_spheres(lattice, frac_coords, efficiency):
    values = row(element(26, 3.0 * lattice, frac_coords))
    assert values["packing_efficiency"] == pytest.approx(efficiency, rel=1e-12)


# matminer 0.10.1, MaximumPackingEfficiency.
PACKING_EFFICIENCY = {
    "TiO2_rutile": 0.37181331524620165,
    "FeS2_pyrite": 0.41707150125512377,
    "Li3PO4_gamma": 0.26460583808703964,
    "CaCO3_calcite": 0.18402629578761434,
}


@pytest.mark.parametrize("name", PACKING_EFFICIENCY)
def test_packing_efficiency_is_that_of_matminer(name):
    values = row(read(crystals_path() / f"{name}.cif"))
    assert values["packing_efficiency"] == pytest.approx(PACKING_EFFICIENCY[name], rel=1e-12)


@pytest.mark.parametrize(
    ("numbers", "size", "electronegativity"),
    [
        # matminer 0.10.1, WenAlloys.compute_delta with the radii and electronegativities here; that
        # of the latter, which matminer divides by the mean, times the mean.
        ([26, 27, 28, 24, 25], 0.04767312946227958, 0.13836184445142377),
        ([57, 57, 13, 8, 8, 8], 0.5161741511493162, 1.0982372239184026),
    ],
)
def test_mismatches_are_those_of_matminer(numbers, size, electronegativity, rng):
    values = row(crystal(5 * CUBE, rng.uniform(size=(len(numbers), 3)), numbers))
    assert values["atomic_size_mismatch"] == pytest.approx(size, rel=1e-12)
    assert values["electronegativity_mismatch"] == pytest.approx(electronegativity, rel=1e-12)


def test_elements_weigh_by_what_there_is_of_them():
    """Tungsten and sodium, 3 to 1: one carries the mean, the other the compressibility."""
    values = row(from_sites(4 * CUBE, [([0, 0, 0], {74: 0.75, 11: 0.25})]))
    volumes = np.array([0.75 * 9.47, 0.25 * 23.78])
    compressibility = np.dot(volumes, [1 / 310, 1 / 6.3]) / volumes.sum()
    assert values["elemental_bulk_modulus_mean"] == pytest.approx(0.75 * 310 + 0.25 * 6.3)
    assert values["elemental_bulk_modulus_reuss"] == pytest.approx(1 / compressibility)
    assert values["elemental_molar_volume_mean"] == pytest.approx(volumes.sum())
    assert values["elemental_volume_ratio"] == pytest.approx(64 * 0.602214076 / volumes.sum())
    assert values["melting_temperature_mean"] == pytest.approx(0.75 * 3695 + 0.25 * 370.87)


def test_elements_without_a_modulus_are_left_out_of_its_mean():
    values = row(rock_salt(12, 8, 4.21))
    assert values["elemental_bulk_modulus_mean"] == pytest.approx(45)
    assert values["elemental_bulk_modulus_reuss"] == pytest.approx(45)
    assert values["elemental_bulk_modulus_coverage"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("symbol", "electrons"),
    [("Na", 1), ("Si", 4), ("O", 6), ("Fe", 8), ("Cu", 11), ("Zn", 12), ("Ga", 3), ("Pb", 4)],
)
def test_valence_electrons(symbol, electrons):
    values = row(element(SYMBOLS.index(symbol) + 1, 4 * CUBE))
    assert values["valence_electron_density"] == pytest.approx(electrons / 64)


def test_bond_valences_per_volume():
    """Each ion of a strained crystal has its sum; each bond is in two of them."""
    batch = stated(rock_salt(3, 9, 4.0262), {3: 1.0, 9: -1.0})
    sums = kernels.bond_valence_sums(batch).sums
    assert row(batch)["bond_valence_density"] == pytest.approx(sums.sum() / 2 / 4.0262**3)
    half = stated(antifluorite(3, 8, 4.62, occupancy=0.5), {3: 2.0, 8: -2.0})
    sums = kernels.bond_valence_sums(half).sums
    expected = (sums[:4].sum() + 0.5 * sums[4:].sum()) / 2 / 4.62**3
    assert row(half)["bond_valence_density"] == pytest.approx(expected)


def test_columns_of_bonds_are_those_of_the_kernel(rng):
    batch = stated(rock_salt(12, 8, 4.21), {12: 2.0, 8: -2.0})
    batch = replace(batch, frac_coords=batch.frac_coords + 0.02 * rng.normal(size=(8, 3)))
    found, values = kernels.bond_statistics(batch, RADII, CHI), row(batch)
    for name, statistics in {
        "bond_cn": found.coordination_numbers,
        "bond_length": found.lengths,
        "bond_length_relative": found.relative_lengths,
        "bond_angle": found.angles,
    }.items():
        expected = dict(zip(("mean", "std", "min", "max"), statistics[0], strict=True))
        for statistic, value in expected.items():
            assert values[f"{name}_{statistic}"] == pytest.approx(value, rel=1e-12)
    assert values["bond_electronegativity_difference_mean"] == pytest.approx(2.13)
    assert values["unlike_bond_fraction"] == 1
    assert values["bond_density"] == pytest.approx(found.n_bonds[0] / 4.21**3)
    assert values["bond_order_density"] == pytest.approx(found.bond_orders[0] / 4.21**3)


def test_columns_of_cells_weigh_sites_by_their_occupancy(rng):
    filled = rng.uniform(0.6, 1, size=7)
    sites = [(frac, {26: share}) for frac, share in zip(rng.random((7, 3)), filled, strict=True)]
    batch = from_sites(5 * CUBE + rng.normal(size=(3, 3)), sites)
    cells, values = kernels.voronoi(batch), row(batch)
    volume = abs(np.linalg.det(batch.lattices[0]))

    def moments(numbers):
        mean = np.average(numbers, weights=filled)
        return mean, np.average((numbers - mean) ** 2, weights=filled) ** 0.5

    relative = cells.volumes / moments(cells.volumes)[0]
    spheres = 4 / 3 * np.pi * np.dot(filled, cells.inscribed_radii**3)
    expected = {
        "voronoi_cn_mean_010": moments(cells.coordination_numbers[0.1])[0],
        "voronoi_cn_mean_025": moments(cells.coordination_numbers[0.25])[0],
        "voronoi_cn_std_025": moments(cells.coordination_numbers[0.25])[1],
        "voronoi_effective_cn_mean": moments(cells.effective_coordination_numbers)[0],
        "voronoi_volume_min": relative.min(),
        "voronoi_volume_max": relative.max(),
        "voronoi_volume_std": moments(relative)[1],
        "packing_efficiency": spheres / volume,
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-9), name


def test_nothing_to_bond_to_is_a_plain_fact():
    found = featurized(element(18, 9 * CUBE)).table.to_pylist()[0]
    assert found["bond_cn_mean"] == found["bond_density"] == found["bond_order_density"] == 0
    for name in ("bond_length_mean", "bond_angle_mean", "unlike_bond_fraction"):
        assert np.isnan(found[name])
    assert reasons(element(6, 9 * CUBE)) == {("no_bonds", "ok"), ("neutral_atoms", "ok")}


def test_molecules_of_two_have_no_angles():
    iodine = crystal(8 * CUBE, [[0, 0, 0], [2.7 / 8, 0, 0]], [53, 53])
    values = row(iodine)
    assert values["bond_cn_min"] == values["bond_cn_max"] == 1
    assert np.isnan(values["bond_angle_mean"])
    assert reasons(iodine) == {("no_bond_angle", "ok"), ("neutral_atoms", "ok")}


def test_elements_none_of_which_has_a_modulus():
    assert ("no_bulk_modulus", "ok") in reasons(rock_salt(94, 7, 5.0))
    assert np.isnan(row(rock_salt(94, 7, 5.0))["elemental_bulk_modulus_mean"])


def test_elements_of_which_too_little_is_known():
    result = featurized(rock_salt(2, 9, 4.0))
    assert np.isnan(result.table["electronegativity_mismatch"][0].as_py())
    messages = [r.message for r in result.reasons[0] if r.code == "missing_element_data"]
    assert messages == ["no value for He: electronegativity, melting temperature"]
    assert ("missing_radius", "degraded") in reasons(metal(118, 4.0))


def test_a_slab_keeps_its_bonds():
    slab = crystal(np.diag([3, 3, 20]), [[0, 0, 0]], [26], pbc=(True, True, False))
    values = row(slab)
    assert values["bond_cn_mean"] == 4
    assert np.isnan(values["packing_efficiency"])
    assert ("not_periodic", "degraded") in reasons(slab)


def bits(values):
    return np.asarray(values).view(np.int64).tolist()


def test_a_cell_that_fails_elsewhere_leaves_the_ions_cells_alone(rng):
    """Two iron atoms at one place have no cells; those of lithium are sound."""
    frac = np.array([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    broken = crystal(4 * CUBE, frac, [3, 8, 26, 26], name="broken")
    batch = CrystalBatch.concatenate([antifluorite(3, 8, 4.62), broken, rock_salt(3, 9, 4.0)])
    alone = featurize_with_reasons(batch, Settings(groups=["physics"]))
    both = featurized(batch, "physics")
    assert np.isnan(both.table["packing_efficiency"][1].as_py())
    assert both.table["has_voronoi"].to_pylist() == [1, 1, 1]
    for name in ("li_voronoi_cn_avg_010", "li_voronoi_cn_avg_025"):
        assert bits(both.table[name]) == bits(alone.table[name])
    said = [r for r in both.reasons[1] if r.stage == "features.physics"]
    assert said == alone.reasons[1]


def test_ion_cells_are_those_of_the_kernel(rng):
    from pyhpc.features.contents import Contents

    batch = CrystalBatch.concatenate([random_crystal(rng, 6), antifluorite(3, 8, 4.62)])
    contents = Contents.of(batch, "Li")
    chosen = ion_cells(batch, contents, kernels.voronoi(batch))
    expected = ion_cells(batch, contents, None)
    assert chosen.errors == expected.errors == {}
    for name in ("sites", "volumes", "effective_coordination_numbers", "inscribed_radii"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(expected, name))
    for threshold, numbers in expected.coordination_numbers.items():
        np.testing.assert_array_equal(chosen.coordination_numbers[threshold], numbers)


def test_shipped_crystals_are_within_bounds():
    """Disordered ones among them: what no crystal can exceed."""
    batch = read(crystals_path())
    table = featurize(batch, ["mechanical"])
    column = {name: table[name].to_numpy() for name in table.column_names if name != "id"}
    assert len(batch) > 90
    for name in ("bond_cn", "bond_length", "bond_length_relative", "bond_angle"):
        least, mean, most = (column[f"{name}_{end}"] for end in ("min", "mean", "max"))
        assert ((least <= mean + 1e-9) & (mean <= most + 1e-9)).all(), name
        assert (column[f"{name}_std"] <= (most - least) / 2 + 1e-6).all(), name
    assert (column["bond_length_relative_max"] < 1.3).all()
    assert (column["bond_length_min"] > 0.7).all()
    # No shipped crystal is packed more densely than equal spheres can be.
    assert column["packing_efficiency"].max() < np.pi / 18**0.5 + 1e-9
    assert column["voronoi_volume_min"].min() > 0
    assert column["voronoi_effective_cn_mean"].max() < 16
    assert ((column["unlike_bond_fraction"] >= 0) & (column["unlike_bond_fraction"] <= 1)).all()


def test_the_table_of_elemental_solids():
    rows = tables.rows("elemental_solids")
    assert tuple(row["symbol"] for row in rows) == SYMBOLS
    assert np.isfinite(BULK_MODULI).sum() == 75
    assert np.isfinite(MOLAR_VOLUMES[:99]).sum() == 97
    # C. Kittel, Introduction to Solid State Physics, table of bulk moduli, GPa.
    for symbol, modulus in {"Fe": 168, "Cu": 137, "W": 323, "Na": 6.8, "Si": 98.8}.items():
        assert BULK_MODULI[SYMBOLS.index(symbol)] == pytest.approx(modulus, rel=0.1)
    # Volumes of the ground states by density functional theory are about those that are measured.
    computed = property_values("gs_volume_per_atom") * 0.602214076
    solid = np.isfinite(BULK_MODULI) & np.isfinite(computed)
    assert np.median(np.abs(computed[solid] / MOLAR_VOLUMES[solid] - 1)) < 0.05


def test_the_table_is_that_of_pymatgen():
    """But for six bulk moduli that pymatgen lacks: those are Kittel's."""
    from pymatgen.core import Element

    kittel = {"Ga": 56.9, "Ge": 77.2, "Sr": 11.6, "Zr": 83.3, "In": 41.1, "Os": 418}
    for symbol, modulus in kittel.items():
        assert BULK_MODULI[SYMBOLS.index(symbol)] == modulus
    for symbol, modulus, volume in zip(SYMBOLS, BULK_MODULI, MOLAR_VOLUMES, strict=True):
        element = Element(symbol)
        for ours, theirs in ((modulus, "bulk_modulus"), (volume, "molar_volume")):
            if np.isfinite(ours) and not (symbol in kittel and theirs == "bulk_modulus"):
                assert ours == float(getattr(element, theirs))
