"""Features of the mobile ion, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pyhpc import CrystalBatch, featurize
from pyhpc.features import Settings, featurize_with_reasons
from pyhpc.features.mobile_ion import bond_cutoffs
from tests.named_crystals import antifluorite, from_sites, metal, rock_salt, split_site


def row(batch, groups=("mobile_ion",), **options):
    return featurize(batch, list(groups), **options).to_pylist()[0]


def codes(batch, **settings):
    result = featurize_with_reasons(batch, Settings(groups=["mobile_ion"], **settings))
    return [(r.code, r.stage, r.outcome.value) for r in result.reasons.get(0, [])]


def test_lithium_oxide():
    values = row(antifluorite(3, 8, 4.62))
    volume = 4.62**3
    assert values["li_concentration"] == pytest.approx(8 / volume, rel=1e-12)
    assert values["framework_density"] == pytest.approx(4 / volume, rel=1e-12)
    assert values["li_li_min_dist"] == pytest.approx(2.31, rel=1e-12)
    assert values["li_li_avg_dist"] == pytest.approx(2.31, rel=1e-12)
    assert values["li_anion_min_dist"] == pytest.approx(4.62 * 3**0.5 / 4, rel=1e-12)
    assert values["li_coordination_avg"] == 4.0
    assert values["li_site_avg_multiplicity"] == 8.0
    assert values["li_occupancy_mean"] == 1.0
    assert values["li_occupancy_std"] == 0.0
    assert values["li_partial_fraction"] == 0.0


def test_means_are_weighted_by_occupancy():
    # Lithium of occupancy 0.75 and 0.25, 2.0 and 2.4 angstrom from their only oxygens. Along c
    # they are 9 angstrom from anything else.
    sites = [
        ([0.0, 0.0, 0.0], {3: 0.75}),
        ([0.2, 0.0, 0.0], {8: 1.0}),
        ([0.0, 0.0, 0.5], {3: 0.25, 11: 0.25}),
        ([0.24, 0.0, 0.5], {8: 0.5}),
    ]
    values = row(from_sites(np.diag([10.0, 10.0, 18.0]), sites))
    assert values["li_coordination_avg"] == pytest.approx(0.75 * 1.0 + 0.25 * 0.5)
    assert values["li_anion_min_dist"] == pytest.approx(2.0)
    assert values["li_occupancy_mean"] == pytest.approx(0.5)
    assert values["li_occupancy_min"] == 0.25
    assert values["li_occupancy_max"] == 0.75
    assert values["li_occupancy_std"] == pytest.approx(0.25)
    assert values["li_partial_fraction"] == 1.0
    assert values["li_concentration"] == pytest.approx(1.0 / 1800)
    assert values["framework_density"] == pytest.approx(1.75 / 1800)


def test_orbits_count_once_each():
    # Lithium on the corner (1), oxygen in the centre, lithium on the face centres (3).
    sites = [([0, 0, 0], {3: 1.0}), ([0.5, 0.5, 0.5], {8: 1.0})]
    faces = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    sites += [(frac, {3: 0.5}) for frac in faces]
    assert row(from_sites(np.eye(3) * 4.2, sites))["li_site_avg_multiplicity"] == 2.0


def test_lone_ions_have_a_distance_but_no_pair():
    lone = from_sites(np.eye(3) * 6.0, [([0, 0, 0], {3: 1.0}), ([0.5, 0.5, 0.5], {17: 1.0})])
    values = row(lone)
    assert values["li_li_min_dist"] == pytest.approx(6.0)
    assert np.isnan(values["li_li_avg_dist"])
    assert codes(lone) == [("no_ion_pair", "features.mobile_ion", "ok")]


def test_a_metal_has_no_anion():
    values = row(metal(3, 3.5))
    assert np.isnan(values["li_anion_min_dist"])
    assert values["li_coordination_avg"] == 0.0
    assert codes(metal(3, 3.5)) == [("no_anion", "features.mobile_ion", "ok")]


def test_a_crystal_without_the_ion():
    values = row(rock_salt(11, 17, 5.64))
    assert values["li_concentration"] == 0.0
    assert values["framework_density"] == pytest.approx(8 / 5.64**3, rel=1e-12)
    for name in ("li_li_min_dist", "li_coordination_avg", "li_occupancy_mean"):
        assert np.isnan(values[name])
    assert np.isnan(values["li_site_avg_multiplicity"])
    assert codes(rock_salt(11, 17, 5.64)) == [("no_mobile_ion", "features.mobile_ion", "ok")]


def test_another_ion_takes_the_place_of_lithium():
    values = row(rock_salt(11, 17, 5.64), ["composition", "mobile_ion"], mobile_ion="Na")
    assert values["na_fraction"] == 0.5
    assert values["na_anion_min_dist"] == pytest.approx(2.82)
    assert values["na_coordination_avg"] == 6.0
    assert values["na_na_min_dist"] == pytest.approx(5.64 / 2**0.5)
    assert not any(name.startswith("li_") for name in values)


def test_an_anion_that_moves_is_no_neighbour_of_its_own():
    # Fluorite: fluorine has four calcium neighbours and no anion but fluorine.
    fluorite = antifluorite(9, 20, 5.46)
    assert [code for code, *_ in codes(fluorite, mobile_ion="F")] == ["no_anion"]
    assert row(fluorite, mobile_ion="F")["f_f_min_dist"] == pytest.approx(2.73)


def test_split_sites():
    values = row(split_site())
    assert values["li_li_min_dist"] == pytest.approx(5.4)
    assert values["li_occupancy_mean"] == 0.5


def test_bond_cutoffs_come_from_covalent_radii():
    cutoffs = bond_cutoffs(3)
    # Li 1.28, O 0.66, S 1.05 angstrom.
    assert cutoffs[8 - 1] == pytest.approx(1.3 * 1.94)
    assert cutoffs[16 - 1] == pytest.approx(1.3 * 2.33)
    assert cutoffs[3 - 1] == 0.0
    # No radius of berkelium is known.
    assert cutoffs[97 - 1] == 0.0
    assert bond_cutoffs(9)[9 - 1] == 0.0


def test_a_crystal_that_the_kernels_refuse_has_reasons():
    broken = rock_salt(3, 17, 5.13)
    lattice = broken.lattices.copy()
    lattice[0, 2] = lattice[0, 1]
    flat = CrystalBatch(
        **{n: getattr(broken, n) for n in broken.__dataclass_fields__ if n != "lattices"},
        lattices=lattice,
    )
    result = featurize_with_reasons(flat, Settings(groups=["mobile_ion"]))
    assert np.isnan(result.table["li_concentration"][0].as_py())
    stages = {(reason.code, reason.stage) for reason in result.reasons[0]}
    assert ("singular_lattice", "features.mobile_ion") in stages
