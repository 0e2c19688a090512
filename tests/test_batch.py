"""Crystals from arrays, and repeated along their lattice vectors."""

from __future__ import annotations

import numpy as np
import pytest

from pyhpc import CrystalBatch
from tests.crystals import FCC
from tests.named_crystals import antifluorite, rock_salt


def test_crystal_from_arrays():
    batch = CrystalBatch.from_sites(
        5.64 * np.eye(3),
        [*FCC, *(FCC + 0.5)],
        [11] * 4 + [17] * 4,
        oxidation_states=[1] * 4 + [-1] * 4,
        pbc=(True, True, False),
        name="NaCl",
    )
    assert batch.ids == ("NaCl",)
    (structure,) = batch.to_pymatgen()
    assert structure.formula == "Na4 Cl4"
    assert structure.charge == 0
    assert structure.lattice.pbc == (True, True, False)
    assert batch.asymmetric_index.tolist() == [-1] * 8
    assert np.isnan(CrystalBatch.from_sites(np.eye(3), [[0, 0, 0]], [3]).oxidation_states).all()


def test_crystal_from_arrays_of_the_wrong_shape():
    with pytest.raises(ValueError, match="lattices has shape"):
        CrystalBatch.from_sites(np.eye(2), [[0, 0, 0]], [3])


@pytest.mark.parametrize("repeats", [2, (3, 1, 2), np.array([1, 1, 1])])
def test_supercell_is_pymatgens(repeats):
    mixed = rock_salt({3: 0.7, 11: 0.2}, 17, 5.3)
    batch = CrystalBatch.concatenate([mixed, antifluorite(3, 8, 4.62)])
    large = batch.supercell(repeats)
    assert large.ids == batch.ids
    for one, expected in zip(large.to_pymatgen(), batch.to_pymatgen(), strict=True):
        expected.make_supercell(np.broadcast_to(repeats, 3))
        np.testing.assert_allclose(one.lattice.matrix, expected.lattice.matrix, rtol=1e-15)
        assert len(one) == len(expected)
        for site in expected:
            (same,) = (other for other in one if other.distance(site) < 1e-9)
            assert same.species == site.species


def test_supercell_of_no_cells():
    with pytest.raises(ValueError, match="repeats are at least 1, not \\(2, 0, 1\\)"):
        antifluorite(3, 8, 4.62).supercell((2, 0, 1))
