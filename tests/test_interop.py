"""CrystalBatch to pymatgen and ASE and back."""

from __future__ import annotations

import sys

import ase
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pymatgen import core

from pyhpc import CrystalBatch
from pyhpc.crystals import iter_records, read_records
from tests.cifs import cif, read_one
from tests.crystals import random_crystal

SITES = ("Fe1 Fe3+ 0 0 0 0.6", "Mn1 Mn2+ 0 0 0 0.3", "O1 O2- 0.5 0.5 0.4 1", "Li1 Li .5 0 0 0.5")


@pytest.fixture
def batch(rng):
    """Two crystals: one disordered with charges, one left as it is, with sites out of the cell."""
    disordered, _ = read_one(cif(SITES, cell=(4, 5, 6, 80, 95, 100)))
    generic = random_crystal(rng, 7)
    pbc = [[True, True, True], [True, False, True]]
    joined = CrystalBatch.concatenate([disordered, generic])
    values = {name: getattr(joined, name) for name in joined.__dataclass_fields__}
    return CrystalBatch(**values | {"pbc": pbc, "ids": ("disordered", "generic")})


def assert_same_crystals(found, expected, *, charges=True):
    """Same up to the order of species on a site."""
    assert found.ids == expected.ids
    assert_allclose(found.lattices, expected.lattices, atol=1e-12)
    assert_array_equal(found.pbc, expected.pbc)
    assert_array_equal(found.site_offsets, expected.site_offsets)
    assert_array_equal(found.species_offsets, expected.species_offsets)
    assert_allclose(found.frac_coords, expected.frac_coords, atol=1e-12)
    orders = [np.lexsort((b.atomic_numbers, b.species_sites)) for b in (found, expected)]
    for name in ("atomic_numbers", "occupancies", "oxidation_states"):
        if name != "oxidation_states" or charges:
            values = (getattr(b, name)[o] for b, o in zip((found, expected), orders, strict=True))
            assert_allclose(*values, atol=1e-12)


def test_round_trip_through_pymatgen(batch):
    structures = batch.to_pymatgen()
    assert structures[0].lattice.pbc == (True, True, True)
    assert structures[1].lattice.pbc == (True, False, True)
    assert structures[0][0].species == core.Composition(
        {core.Species("Fe", 3): 0.6, core.Species("Mn", 2): 0.3}
    )
    assert structures[0][2].species == core.Composition({core.Element("Li"): 0.5})
    assert_same_crystals(CrystalBatch.from_pymatgen(structures, batch.ids), batch)


def test_pymatgen_sees_the_same_distances(batch):
    structure = batch.to_pymatgen()[1]
    offset = batch.site_offsets[1]
    cart = batch.cart_coords[offset:]
    assert_allclose(structure.cart_coords, cart, atol=1e-10)


def test_one_structure_and_default_names():
    structure = core.Structure(np.eye(3) * 4, ["Na+", "Cl-"], [[0, 0, 0], [1.5, 0.5, -0.5]])
    batch = CrystalBatch.from_pymatgen(structure)
    assert batch.ids == ("0",)
    assert_array_equal(batch.frac_coords[1], [1.5, 0.5, -0.5])
    assert_array_equal(batch.oxidation_states, [1, -1])
    assert_array_equal(batch.asymmetric_index, [-1, -1])
    with pytest.raises(ValueError, match="2 ids for 1 crystals"):
        CrystalBatch.from_pymatgen([structure], ["a", "b"])


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_symmetrized_structure_tells_its_orbits():
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = core.Structure.from_spacegroup(
        "Fm-3m", core.Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    symmetrized = SpacegroupAnalyzer(structure).get_symmetrized_structure()
    batch = CrystalBatch.from_pymatgen(symmetrized)
    assert sorted(batch.asymmetric_index) == [0] * 4 + [1] * 4
    assert len(set(batch.atomic_numbers[batch.asymmetric_index == 0])) == 1


def test_dummy_species_are_refused():
    structure = core.Structure(np.eye(3) * 4, [core.DummySpecies("X")], [[0, 0, 0]])
    with pytest.raises(ValueError, match="no element"):
        CrystalBatch.from_pymatgen(structure)


def test_round_trip_through_ase(batch):
    atoms = batch.to_ase()
    assert atoms[0].get_chemical_symbols() == ["Fe", "O", "Li"]
    assert atoms[0].info["occupancy"]["0"] == {"Mn": 0.3, "Fe": 0.6}
    assert "occupancy" not in atoms[1].info
    assert_array_equal(atoms[1].pbc, [True, False, True])
    assert_same_crystals(CrystalBatch.from_ase(atoms, batch.ids), batch)


def test_two_charges_of_one_element_become_their_mean_in_ase():
    batch, _ = read_one(cif(["Fe1 Fe3+ 0 0 0 0.75", "Fe2 Fe2+ 0 0 0 0.25"]))
    (atoms,) = batch.to_ase()
    back = CrystalBatch.from_ase(atoms)
    assert_allclose(back.oxidation_states, [2.75])
    assert_allclose(back.occupancies, [1])


def test_what_ase_reads_from_a_cif(tmp_path):
    from ase.io import read

    path = tmp_path / "a.cif"
    sites = ["Na1 Na 0 0 0 0.7", "K1 K 0 0 0 0.3", "Cl1 Cl .5 .5 .5 1"]
    path.write_text(cif(sites, header="_symmetry_space_group_name_H-M 'P 1'"))
    batch = CrystalBatch.from_ase(read(path))
    expected, _ = read_one(path.read_text())
    totals = [np.bincount(b.atomic_numbers, b.occupancies) for b in (batch, expected)]
    assert_allclose(*totals)
    assert_array_equal(batch.species_offsets, expected.species_offsets)


def test_ase_molecule_and_slab():
    molecule = ase.Atoms("OH", [[0, 0, 0], [0, 0, 0.97]])
    batch = CrystalBatch.from_ase(molecule)
    assert not batch.pbc.any()
    assert_allclose(batch.cart_coords, molecule.positions)
    slab = ase.Atoms("Cu2", [[0, 0, 0], [0, 0, 2]], cell=[2.5, 2.5, 0], pbc=[True, True, False])
    batch = CrystalBatch.from_ase(slab)
    assert_allclose(batch.cart_coords, slab.positions)
    with pytest.raises(ValueError, match="periodic direction"):
        CrystalBatch.from_ase(ase.Atoms("H", pbc=True))
    with pytest.raises(ValueError, match="no volume"):
        CrystalBatch.from_ase(ase.Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]]))
    with pytest.raises(ValueError, match="no element"):
        CrystalBatch.from_ase(ase.Atoms("X", cell=[2, 2, 2]))


def test_empty_batch():
    empty = read_records([]).batch
    assert empty.to_pymatgen() == []
    assert empty.to_ase() == []
    assert len(CrystalBatch.from_pymatgen([])) == 0
    assert len(CrystalBatch.from_ase([])) == 0


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("pymatgen.core", lambda batch: batch.to_pymatgen()),
        ("pymatgen.core", lambda batch: batch.from_pymatgen([])),
        ("ase", lambda batch: batch.to_ase()),
        ("ase", lambda batch: batch.from_ase([])),
    ],
)
def test_without_the_extra_the_error_says_what_to_install(monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pyhpc-crystals\[interop\]"):
        call(read_records([]).batch)


def test_round_trip_of_real_disordered_crystals(shared_data):
    records = list(iter_records(shared_data("obelix/cifs.tar.gz")))[::20]
    batch = read_records(records).batch
    assert_same_crystals(CrystalBatch.from_pymatgen(batch.to_pymatgen(), batch.ids), batch)
    assert_same_crystals(CrystalBatch.from_ase(batch.to_ase(), batch.ids), batch)
