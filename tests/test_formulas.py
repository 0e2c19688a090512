import numpy as np
import pytest

from pyhpc import featurize
from pyhpc.errors import PyhpcError
from pyhpc.features.formulas import (
    charge_balance,
    chemical_system,
    parse_formula,
    stated_batch,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LiCl", {3: 1, 17: 1}),
        ("Li7La3Zr2O12", {3: 7, 8: 12, 40: 2, 57: 3}),
        ("Li1.3Al0.3Ti1.7(PO4)3", {3: 1.3, 8: 12, 13: 0.3, 15: 3, 22: 1.7}),
        ("(La0.65Li0.35)(Ti0.7Al0.3)O3", {3: 0.35, 8: 3, 13: 0.3, 22: 0.7, 57: 0.65}),
        ("Li6.0 P1 S5.0 Cl", {3: 6, 15: 1, 16: 5, 17: 1}),
        ("CuSO4*5H2O", {1: 10, 8: 9, 16: 1, 29: 1}),
        ("Li3(Mo8S8O8(OH)8(HWO5(H2O)))*(H2O)18", None),
        ("Li[Mg{O2}]", {3: 1, 8: 2, 12: 1}),
        ("LiCl0", {3: 1}),
    ],
)
def test_formulas(text, expected):
    found = parse_formula(text)
    if expected is None:
        assert found[1] == 8 + 1 + 2 + 36
        assert found[8] == 8 + 8 + 5 + 1 + 18
    else:
        assert found == pytest.approx(expected)
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no atom"),
        ("Xx2O", "'Xx' is no element"),
        ("Li2(O", "not closed"),
        ("Li2)O", "not opened"),
        ("Li2-xO", "not clear"),
        ("nan", "not clear"),
    ],
)
def test_what_is_no_formula(text, word):
    with pytest.raises(PyhpcError, match="no formula") as caught:
        parse_formula(text)
    assert word in caught.value.message


def test_stated_cells_give_lattice_features():
    # LLZO, tetragonal: Awaka et al. 2009, 8 formula units in the cell.
    contents = {z: 8 * n for z, n in parse_formula("Li7La3Zr2O12").items()}
    batch = stated_batch(["t"], [contents], np.array([[13.134, 13.134, 12.663, 90, 90, 90]]))
    row = featurize(batch, ["composition", "lattice"]).to_pylist()[0]
    assert row["volume"] == pytest.approx(13.134**2 * 12.663)
    assert row["density"] == pytest.approx(5.107, abs=2e-3)
    assert row["n_total_atoms"] == pytest.approx(192)
    assert row["li_fraction"] == pytest.approx(7 / 24)


def test_a_cell_without_a_volume_is_refused():
    with pytest.raises(PyhpcError, match="row odd"):
        stated_batch(["odd"], [{3: 1.0}], np.array([[5, 5, 5, 20, 20, 100.0]]))


def test_charges():
    found = charge_balance([parse_formula(text) for text in ("Li7La3Zr2O12", "LiFeO2", "Cu")])
    assert found["charge_imbalance"][0] == pytest.approx(0, abs=1e-12)
    assert found["charge_anion_mean"][0] == -2
    assert found["charge_cation_mean"][0] == pytest.approx(24 / 12)
    assert found["charge_cation_max"][0] == 4
    assert np.isnan(found["charge_anion_mean"][2])


def test_chemical_systems():
    assert chemical_system(parse_formula("Li7La3Zr2O12")) == "La-Li-O-Zr"
