"""Features of the cell, against values worked out by hand and pymatgen."""

from __future__ import annotations

import numpy as np
import pytest

from pyhpc import CrystalBatch, featurize
from pyhpc.features import Settings, featurize_with_reasons
from tests.crystals import crystal, random_crystal, supercell
from tests.named_crystals import from_sites, metal, rock_salt

INTENSIVE = ["density", "volume_per_atom"]


def row(batch, **options):
    return featurize(batch, ["lattice"], **options).to_pylist()[0]


def test_rock_salt():
    values = row(rock_salt(11, 17, 5.6402))
    assert [values[f"lattice_{name}"] for name in ("a", "b", "c")] == [5.6402] * 3
    assert [values[f"lattice_{name}"] for name in ("alpha", "beta", "gamma")] == [90.0] * 3
    assert values["volume"] == pytest.approx(5.6402**3, rel=1e-14)
    # 4 x (22.98976928 + 35.453) g/mol in the cell, N_A = 6.02214076e23 / mol
    assert values["density"] == pytest.approx(
        4 * 58.44276928 / 6.02214076e23 / (5.6402e-8) ** 3, rel=1e-9
    )
    assert values["volume_per_atom"] == pytest.approx(5.6402**3 / 8, rel=1e-14)
    assert values["n_total_atoms"] == 8.0
    assert values["n_sites"] == 8
    assert values["n_li_sites"] == 0
    assert values["is_cubic_like"] == 1
    assert values["has_cif_struct"] == 1
    assert values["angle_deviation_from_ortho"] == 0.0


def test_shape_of_a_hexagonal_cell():
    lattice = [[3.0, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 7.5]]
    values = row(crystal(lattice, [[0, 0, 0]], [12]))
    assert values["lattice_alpha"] == pytest.approx(90.0, abs=1e-12)
    assert values["lattice_beta"] == pytest.approx(90.0, abs=1e-12)
    assert values["lattice_gamma"] == pytest.approx(120.0, abs=1e-12)
    assert values["angle_deviation_from_ortho"] == pytest.approx(10.0, abs=1e-12)
    assert values["lattice_anisotropy_bc_a"] == pytest.approx(1.75, rel=1e-14)
    assert values["lattice_anisotropy_max_min"] == pytest.approx(2.5, rel=1e-14)
    assert values["is_cubic_like"] == 0


@pytest.mark.parametrize(
    ("edges", "tilt", "cubic"),
    [
        ((4.0, 4.0, 4.039), 0.0, 1),
        ((4.0, 4.0, 4.041), 0.0, 0),
        ((4.0, 4.0, 4.0), 0.9, 1),
        ((4.0, 4.0, 4.0), 1.1, 0),
    ],
)
def test_how_far_from_cubic_a_cell_may_be(edges, tilt, cubic):
    lattice = np.diag(edges)
    angle = np.radians(90.0 - tilt)
    lattice[1] = edges[1] * np.array([np.cos(angle), np.sin(angle), 0.0])
    assert row(crystal(lattice, [[0, 0, 0]], [12]))["is_cubic_like"] == cubic


def test_partly_filled_sites_count_as_sites_but_not_as_atoms():
    sites = [([0, 0, 0], {3: 0.5}), ([0.5, 0, 0], {3: 0.25, 11: 0.25}), ([0, 0.5, 0], {8: 1.0})]
    values = row(from_sites(np.eye(3) * 4.0, [*sites, ([0.5, 0.5, 0.5], {3: 0.0, 8: 0.5})]))
    assert values["n_total_atoms"] == 2.5
    assert values["n_sites"] == 4
    assert values["n_li_sites"] == 2
    mass = 0.75 * 6.941 + 0.25 * 22.98976928 + 1.5 * 15.9994
    assert values["density"] == pytest.approx(1.66053906660 * mass / 64.0, rel=1e-12)


def test_sites_of_another_ion_are_counted():
    assert row(rock_salt({11: 0.5, 19: 0.5}, 17, 5.9), mobile_ion="Na")["n_na_sites"] == 4


def test_parity_with_pymatgen(rng):
    from pymatgen import core

    for _ in range(10):
        batch = random_crystal(rng, 5)
        structure = core.Structure(
            batch.lattices[0], [int(z) for z in batch.atomic_numbers], batch.frac_coords
        )
        values = row(batch)
        names = ("a", "b", "c", "alpha", "beta", "gamma")
        for name, expected in zip(names, structure.lattice.parameters, strict=True):
            assert values[f"lattice_{name}"] == pytest.approx(expected, rel=1e-10)
        assert values["volume"] == pytest.approx(structure.volume, rel=1e-12)
        # Atomic weights differ in their last digits, as the two tables are of different years.
        assert values["density"] == pytest.approx(structure.density, rel=2e-3)


def test_left_handed_cells_have_a_positive_volume():
    lattice = np.diag([3.0, 4.0, -5.0])
    values = row(crystal(lattice, [[0, 0, 0]], [12]))
    assert values["volume"] == pytest.approx(60.0)
    assert values["density"] > 0


def test_a_supercell_has_the_same_intensive_features(rng):
    batch = random_crystal(rng, 4)
    one, many = row(batch), row(supercell(batch, (2, 1, 3)))
    for name in INTENSIVE:
        assert many[name] == pytest.approx(one[name], rel=1e-12)
    assert many["n_total_atoms"] == 6 * one["n_total_atoms"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_lattice_without_a_volume_has_a_reason(bad):
    lattice = np.diag([3.0, 3.0, bad])
    batch = CrystalBatch.concatenate([metal(26, 2.87), crystal(lattice, [[0, 0, 0]], [12])])
    result = featurize_with_reasons(batch, Settings(groups=["lattice"]))
    iron, flat = result.table.to_pylist()
    assert iron["is_cubic_like"] == 1
    assert flat["is_cubic_like"] is None
    missing = {name for name, value in flat.items() if isinstance(value, float) and np.isnan(value)}
    assert {"volume", "density", "lattice_a", "lattice_gamma", "lattice_anisotropy_bc_a"} <= missing
    assert flat["n_total_atoms"] == 1.0
    assert {k: [r.code for r in rs] for k, rs in result.reasons.items()} == {
        1: ["singular_lattice"]
    }


def test_an_element_without_a_weight_has_a_reason():
    result = featurize_with_reasons(metal(118, 4.0), Settings(groups=["lattice"]))
    assert np.isnan(result.table["density"][0].as_py())
    assert result.table["volume_per_atom"][0].as_py() == 32.0
    assert [reason.code for reason in result.reasons[0]] == ["missing_element_data"]
