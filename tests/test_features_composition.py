"""Features of the composition, against matminer's Magpie statistics."""

from __future__ import annotations

import numpy as np
import pytest

from pyhpc import CrystalBatch, featurize
from pyhpc.features import Settings, featurize_with_reasons
from pyhpc.features.elements import PROPERTIES
from pyhpc.records import Outcome
from tests.named_crystals import from_sites, metal, rock_salt

# matminer 0.9.3, ElementProperty.from_preset("magpie", impute_nan=False), composition LiFePO4.
LIFEPO4 = {
    "mean": [
        *(10.857142857142858, 69.57142857142857, 22.536766, 400.17, 12.571428571428571),
        *(2.4285714285714284, 90.14285714285714, 2.68, 1.8571428571428572, 2.7142857142857144),
        *(0.8571428571428571, 0.0, 5.428571428571429, 0.14285714285714285, 1.5714285714285714),
        *(0.5714285714285714, 0.0, 2.2857142857142856, 12.330510204071429, 0.23214285714285715),
        *(0.30152325714285716, 72.57142857142857),
    ],
    "min": [
        *(3, 1, 6.941, 54.8, 1, 2, 66, 0.98, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1),
        *(9.105, 0, 0, 2),
    ],
    "max": [
        *(26, 87, 55.845, 1811, 16, 4, 132, 3.44, 2, 4, 6, 0, 8, 1, 3, 4, 0, 4),
        *(22.5702380952, 1.625, 2.1106628, 229),
    ],
    "avg_dev": [
        *(5.5102040816326525, 23.755102040816325, 11.92720857142857, 418.38571428571424),
        *(4.612244897959184, 0.6122448979591836, 27.591836734693878, 0.8685714285714285),
        *(0.24489795918367344, 1.5510204081632655, 1.4693877551020407, 0.0, 1.3877551020408163),
        *(0.24489795918367346, 0.8979591836734694, 0.9795918367346939, 0.0, 0.6938775510204082),
        *(4.143586005816326, 0.3979591836734694, 0.5168970122448979, 89.38775510204083),
    ],
    "mode": [
        *(8, 87, 15.9994, 54.8, 16, 2, 66, 3.44, 2, 4, 0, 0, 6, 0, 2, 0, 0, 2, 9.105, 0, 0, 12),
    ],
}

# The same for Li6.5La3Zr1.5Ta0.5O12.
GARNET_AVG_DEV = [
    *(15.83069262109552, 37.59167043911272, 38.855377003168854, 498.5534631054776),
    *(6.953372566772296, 1.2394748755092801, 45.2621095518334, 1.1796831145314621),
    *(0.4001810774105931, 1.9990946129470348, 0.5024898143956542, 0.5830692621095519),
    *(2.273426889995473, 0.400181077410593, 0.9995473064735174, 2.8474422815753737, 0.0),
    *(2.295156179266636, 6.853164327740697, 0.0, 0.0, 101.60615663196018),
]

# The same for Li10GeP2S12.
LGPS_MEAN = [
    *(11.36, 52.44, 23.55110096, 441.7288, 9.84, 2.64, 114.96, 1.886, 1.6, 2.24, 0.4, 0.0),
    *(4.24, 0.4, 1.36, 0.0, 0.0, 1.76, 21.740852380935998, 1.20228, 0.0, 134.36),
]


def of_formula(amounts, *, name="x"):
    """Crystal with one site per element, whose occupancy is the amount over the largest one."""
    largest = max(amounts.values())
    sites = [([0.1 * k, 0, 0], {z: n / largest}) for k, (z, n) in enumerate(amounts.items())]
    return from_sites(np.eye(3) * 9.0, sites, name=name)


def row(batch, groups=("composition",), **options):
    return featurize(batch, list(groups), **options).to_pylist()[0]


def statistic(values, name):
    if name == "mean":
        return [values[f"magpie_emb_{k}"] for k in range(22)]
    return [values[f"magpie_{name}_{prop}"] for prop in PROPERTIES]


@pytest.mark.parametrize("name", LIFEPO4)
def test_magpie_statistics_are_those_of_matminer(name):
    values = row(of_formula({3: 1, 26: 1, 15: 1, 8: 4}))
    np.testing.assert_allclose(statistic(values, name), LIFEPO4[name], rtol=1e-12, atol=1e-14)


def test_range_is_what_lies_between_the_extremes():
    values = row(of_formula({3: 1, 26: 1, 15: 1, 8: 4}))
    expected = np.subtract(LIFEPO4["max"], LIFEPO4["min"])
    np.testing.assert_allclose(statistic(values, "range"), expected, rtol=1e-12)


def test_fractional_amounts_weigh_in():
    values = row(of_formula({3: 6.5, 57: 3, 40: 1.5, 73: 0.5, 8: 12}))
    np.testing.assert_allclose(statistic(values, "avg_dev"), GARNET_AVG_DEV, rtol=1e-12)
    assert values["li_fraction"] == pytest.approx(6.5 / 23.5, rel=1e-14)


def test_fractions_of_a_mixed_site():
    values = row(rock_salt({3: 0.25, 11: 0.5}, 17, 5.5))
    assert values["smact_stoich_2"] == pytest.approx(0.25 / 1.75, rel=1e-14)
    assert values["smact_stoich_10"] == pytest.approx(0.5 / 1.75, rel=1e-14)
    assert values["smact_stoich_16"] == pytest.approx(1.0 / 1.75, rel=1e-14)
    assert values["li_fraction"] == values["smact_stoich_2"]
    assert values["anion_fraction"] == values["smact_stoich_16"]
    assert values["total_elements"] == 3
    others = {f"smact_stoich_{k}" for k in range(103)} - {f"smact_stoich_{k}" for k in (2, 10, 16)}
    assert all(values[name] == 0.0 for name in others)


def test_fractions_sum_to_one(rng):
    for _ in range(5):
        numbers = rng.choice(np.arange(1, 104), size=6, replace=False)
        values = row(of_formula(dict(zip(numbers, rng.uniform(0.1, 5.0, 6), strict=True))))
        total = sum(values[f"smact_stoich_{k}"] for k in range(103))
        assert total == pytest.approx(1.0, rel=1e-14)


def test_mode_of_equally_abundant_elements_is_the_smaller_value():
    # Na and Cl: 11 < 17, but chlorine melts lower.
    values = row(rock_salt(11, 17, 5.64))
    assert values["magpie_mode_number"] == 11
    assert values["magpie_mode_melting_temperature"] == 171.6


def test_rounding_of_sums_does_not_decide_the_mode():
    # Thirds written as 0.3333: the sodium atoms sum to a little less than the chlorine atoms.
    thirds = from_sites(
        np.eye(3) * 6,
        [
            *(([0.1 * k, 0, 0], {11: 1 / 3}) for k in range(3)),
            ([0.5, 0.5, 0.5], {17: 0.9999999999999999}),
        ],
    )
    assert row(thirds)["magpie_mode_melting_temperature"] == 171.6


def test_an_element_that_is_listed_but_not_there_takes_no_part():
    empty = from_sites(np.eye(3) * 3, [([0, 0, 0], {26: 1.0, 2: 0.0})])
    result = featurize_with_reasons(empty, Settings(groups=["composition"]))
    values = result.table.to_pylist()[0]
    assert values["total_elements"] == 1
    assert values["magpie_max_number"] == 26
    assert values["magpie_avg_dev_number"] == 0.0
    assert result.reasons == {}


def test_missing_element_data_is_nan_with_a_reason():
    batch = CrystalBatch.concatenate([metal(26, 2.87), rock_salt(2, 9, 4.0), metal(118, 4.0)])
    result = featurize_with_reasons(batch, Settings(groups=["composition"]))
    iron, helium, oganesson = result.table.to_pylist()
    assert not any(isinstance(x, float) and np.isnan(x) for x in iron.values())
    # Helium has no electronegativity in the table.
    assert np.isnan(helium["magpie_emb_7"])
    assert np.isnan(helium["magpie_min_electronegativity"])
    assert helium["magpie_emb_0"] == 5.5
    assert all(np.isnan(oganesson[f"magpie_emb_{k}"]) for k in range(1, 22))
    assert sorted(result.reasons) == [1, 2]
    for crystal, symbol in ((1, "He"), (2, "Og")):
        (reason,) = result.reasons[crystal]
        assert reason.code == "missing_element_data"
        assert reason.stage == "features.composition"
        assert reason.outcome is Outcome.DEGRADED
        assert f"no value for {symbol}: " in reason.message
        assert "electronegativity" in reason.message


def test_a_crystal_without_atoms_has_a_reason():
    vacuum = from_sites(np.eye(3) * 4, [([0, 0, 0], {3: 0.0})])
    batch = CrystalBatch.concatenate([metal(3, 3.5), vacuum])
    result = featurize_with_reasons(batch, Settings(groups=["composition"]))
    lithium, nothing = result.table.to_pylist()
    assert lithium["li_fraction"] == 1.0
    assert nothing["total_elements"] == 0
    assert np.isnan(nothing["li_fraction"])
    assert np.isnan(nothing["magpie_emb_0"])
    assert [reason.code for reason in result.reasons[1]] == ["no_atoms"]


def test_means_of_a_four_element_sulfide():
    values = row(of_formula({3: 10, 32: 1, 15: 2, 16: 12}))
    np.testing.assert_allclose(statistic(values, "mean"), LGPS_MEAN, rtol=1e-12)


def test_no_crystals_give_no_rows():
    table = featurize(rock_salt(11, 17, 5.64).select([]), ["composition", "lattice"])
    assert table.num_rows == 0
    assert table.num_columns > 250
