"""Features of stated formulas and cells."""

import numpy as np
import pytest

from pyhpc.features.elements import property_values
from pyhpc.features.formulas import parse_formula
from pyhpc.features.stoichiometry import (
    cation_statistics,
    cell_shares,
    formula_units,
    stoichiometry,
)

FORMULAS = ["Li6PS5Cl", "Li6.4La3Zr1.4Ta0.6O12", "Li3N", "NaCl", "Li"]
CONTENTS = [parse_formula(text) for text in FORMULAS]


def test_ratios_of_ions_cations_and_anions():
    found = stoichiometry(CONTENTS)
    assert found["stoich_ion_per_anion"][:3] == pytest.approx([1.0, 6.4 / 12, 3.0])
    assert found["stoich_ion_per_cation"][:2] == pytest.approx([6.0, 6.4 / 5])
    assert found["stoich_ion_per_other"][:3] == pytest.approx([6 / 7, 6.4 / 17, 3.0])
    assert found["stoich_chalcogen_share"][0] == pytest.approx(5 / 6)
    assert found["stoich_halogen_share"][0] == pytest.approx(1 / 6)
    assert found["stoich_O_share"][1] == 1
    # Li3N has no cation but lithium, and the metal no anion.
    assert np.isnan(found["stoich_ion_per_cation"][[2, 4]]).all()
    assert np.isnan(found["stoich_ion_per_anion"][4])
    np.testing.assert_array_equal(found["stoich_n_cations"], [1, 3, 0, 1, 0])
    np.testing.assert_array_equal(found["stoich_n_anions"], [2, 1, 1, 1, 0])


def test_mixing_and_rounding():
    found = stoichiometry(CONTENTS)
    assert found["stoich_entropy"][3:] == pytest.approx([np.log(2), 0.0])
    assert found["stoich_rounding"][:2] == pytest.approx([0.0, 0.4 + 0.4 + 0.4])
    assert found["stoich_fraction_1"][1] == pytest.approx(12 / 23.4)
    assert found["stoich_fraction_least"][1] == pytest.approx(0.6 / 23.4)
    assert found["stoich_fraction_4"][3] == 0
    assert found["stoich_formula_atoms"][0] == 13
    assert found["stoich_formula_ions"][0] == 6


def test_the_mobile_ion_may_be_another():
    found = stoichiometry(CONTENTS, "Na")
    assert found["stoich_ion_per_anion"][3] == 1
    assert found["stoich_ion_per_anion"][0] == 0
    # Lithium stays where it is then, and counts as a cation.
    assert found["stoich_cation_per_anion"][2] == 3


def test_statistics_over_cations_leave_out_the_mobile_ion():
    found = cation_statistics(CONTENTS)
    amounts, elements = np.array([3, 1.4, 0.6]), np.array([57, 40, 73]) - 1
    mass = property_values("atomic_weight")[elements]
    mean = np.average(mass, weights=amounts)
    assert found["cation_mean_atomic_weight"][1] == pytest.approx(mean)
    expected = np.sqrt(np.average((mass - mean) ** 2, weights=amounts))
    assert found["cation_std_atomic_weight"][1] == pytest.approx(expected)
    assert found["cation_range_atomic_weight"][1] == pytest.approx(np.ptp(mass))
    # La3+, Zr4+, Ta5+.
    assert found["cation_min_charge"][1] == 3
    assert found["cation_max_charge"][1] == 5
    assert found["cation_max_field"][0] == pytest.approx(5 / property_values("covalent_radius")[14])
    for column in found.values():
        assert np.isnan(column[[2, 4]]).all()
        assert np.isfinite(column[[0, 1, 3]]).all()


def test_volume_for_each_kind_of_atom():
    contents = [parse_formula("Li24P4S20Cl4"), parse_formula("Na4Cl4")]
    cells = np.array([[10, 9, 8, 90, 90, 90.0], [5.6, 5.6, 5.6, 90, 90, 90]])
    volumes = cells[:, :3].prod(axis=1)
    found = cell_shares(contents, cells, volumes)
    assert found["cell_volume_per_ion"][0] == pytest.approx(720 / 24)
    assert np.isnan(found["cell_volume_per_ion"][1])
    assert found["cell_volume_per_anion"] == pytest.approx([720 / 24, 5.6**3 / 4])
    assert found["cell_volume_per_other"] == pytest.approx([720 / 28, 5.6**3 / 8])
    assert found["cell_relative_a"] == pytest.approx([10 / np.cbrt(720), 1])
    assert [found[f"cell_edge_{k}"][0] for k in (1, 2, 3)] == [8, 9, 10]
    formulas = [parse_formula(text) for text in ("Li6PS5Cl", "NaCl")]
    np.testing.assert_allclose(formula_units(formulas, contents), [4, 4])
