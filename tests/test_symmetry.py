"""Space groups, orbits and Wyckoff letters."""

from __future__ import annotations

import warnings
from itertools import islice

import gemmi
import numpy as np
import pytest

from pyhpc import CrystalBatch
from pyhpc.crystals import iter_records, read, read_records
from pyhpc.gallery import crystals_path
from pyhpc.kernels import STATUS_NAMES, BatchError, symmetry
from tests.crystals import crystal, random_crystal, supercell
from tests.pymatgen_structures import read_cifs, up_to

CUBIC = np.eye(3)
FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
HEXAGONAL = np.array([[1.0, 0.0, 0.0], [-0.5, np.sqrt(0.75), 0.0], [0.0, 0.0, 1.0]])
CENTERED = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def rock_salt():
    anions = np.add(CENTERED, [0.5, 0, 0])
    return crystal(5.64 * CUBIC, np.concatenate([CENTERED, anions]), [11] * 4 + [17] * 4)


def rutile():
    u = 0.3048
    oxygens = [[u, u, 0], [-u, -u, 0], [0.5 - u, 0.5 + u, 0.5], [0.5 + u, 0.5 - u, 0.5]]
    lattice = np.diag([4.594, 4.594, 2.959])
    return crystal(lattice, [[0, 0, 0], [0.5, 0.5, 0.5], *oxygens], [22, 22, 8, 8, 8, 8])


KNOWN = {
    "rock salt": (rock_salt(), 225),
    "rock salt, primitive": (crystal(5.64 * FCC, [[0, 0, 0], [0.5] * 3], [11, 17]), 225),
    "caesium chloride": (crystal(4.12 * CUBIC, [[0, 0, 0], [0.5] * 3], [55, 17]), 221),
    "zincblende": (crystal(5.41 * FCC, [[0, 0, 0], [0.25] * 3], [30, 16]), 216),
    "diamond": (crystal(3.567 * FCC, [[0, 0, 0], [0.25] * 3], [6, 6]), 227),
    "fluorite": (crystal(5.463 * FCC, [[0, 0, 0], [0.25] * 3, [0.75] * 3], [20, 9, 9]), 225),
    "rutile": (rutile(), 136),
    "perovskite": (
        crystal(
            3.905 * CUBIC,
            [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
            [38, 22, 8, 8, 8],
        ),
        221,
    ),
    "wurtzite": (
        crystal(
            HEXAGONAL * [[3.82], [3.82], [6.26]],
            [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.375], [2 / 3, 1 / 3, 0.875]],
            [30, 30, 16, 16],
        ),
        186,
    ),
    "magnesium": (
        crystal(
            HEXAGONAL * [[3.21], [3.21], [5.21]],
            [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
            [12, 12],
        ),
        194,
    ),
}


def assert_partition(batch, found):
    """Orbits of every crystal are a partition of its sites, named by their first sites."""
    for k in range(len(batch)):
        sites = slice(batch.site_offsets[k], batch.site_offsets[k + 1])
        orbits = found.orbits[sites]
        names, first, counts = np.unique(orbits, return_index=True, return_counts=True)
        np.testing.assert_array_equal(names, first)
        size = dict(zip(names, counts, strict=True))
        assert found.multiplicities[sites].tolist() == [size[orbit] for orbit in orbits]
        assert np.sum(1 / found.multiplicities[sites]) == pytest.approx(len(names))
        letters = found.wyckoffs[sites]
        np.testing.assert_array_equal(letters, letters[orbits])
        assert all(letter.isalpha() for letter in letters)
        # Sites of one orbit hold the same elements.
        z = batch.atomic_numbers[batch.species_offsets[sites]]
        np.testing.assert_array_equal(z, z[orbits])


@pytest.mark.parametrize("name", KNOWN)
def test_known_space_groups(name):
    batch, number = KNOWN[name]
    found = symmetry(batch)
    assert found.status.tolist() == [0]
    assert found.numbers.tolist() == [number]
    assert found.numbers.dtype == np.int32
    assert_partition(batch, found)


def test_orbits_and_letters_of_rutile():
    found = symmetry(rutile())
    assert found.orbits.tolist() == [0, 0, 2, 2, 2, 2]
    assert found.multiplicities.tolist() == [2, 2, 4, 4, 4, 4]
    assert found.wyckoffs.tolist() == ["a", "a", "f", "f", "f", "f"]


def test_supercell_keeps_the_group_and_multiplies_the_orbits():
    batch = rutile()
    large = supercell(batch, (2, 1, 3))
    found = symmetry(large)
    assert found.numbers.tolist() == [136]
    assert_partition(large, found)
    assert found.multiplicities.tolist() == [12, 12, 24, 24, 24, 24] * 6


def test_rotation_translation_and_whole_lattice_shifts(rng):
    for batch, number in KNOWN.values():
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        shifts = rng.integers(-3, 4, size=batch.frac_coords.shape)
        moved = crystal(
            batch.lattices[0] @ q,
            batch.frac_coords + rng.uniform(-1, 1, size=3) + shifts,
            batch.atomic_numbers,
        )
        found, base = symmetry(moved), symmetry(batch)
        assert found.numbers.tolist() == [number]
        np.testing.assert_array_equal(found.orbits, base.orbits)


def test_permutation_of_the_sites(rng):
    batch = rutile()
    order = rng.permutation(batch.n_sites)
    found = symmetry(
        crystal(batch.lattices[0], batch.frac_coords[order], batch.atomic_numbers[order])
    )
    assert_partition(batch.select([0]), symmetry(batch))
    assert found.wyckoffs.tolist() == symmetry(batch).wyckoffs[order].tolist()


def disordered(occupancies):
    """CsCl type with two species on one site, listed in either order."""
    return CrystalBatch(
        ids=["x"],
        lattices=4.0 * np.eye(3)[None],
        site_offsets=[0, 2],
        frac_coords=[[0, 0, 0], [0.5, 0.5, 0.5]],
        species_offsets=[0, 2, 4],
        atomic_numbers=[29, 30, 30, 29],
        occupancies=occupancies,
        oxidation_states=np.full(4, np.nan),
        asymmetric_index=[-1, -1],
    )


@pytest.mark.parametrize(
    ("occupancies", "number"),
    [
        ([0.5, 0.5, 0.5, 0.5], 229),
        ([0.7, 0.3, 0.3, 0.7], 229),
        ([0.7, 0.3, 0.7, 0.3], 221),
        ([0.7, 0.3, 0.3004, 0.7], 229),
    ],
)
def test_disordered_sites_are_told_apart_by_elements_and_occupancies(occupancies, number):
    assert symmetry(disordered(occupancies)).numbers.tolist() == [number]


def test_symprec_decides_how_far_an_atom_may_be_off():
    batch = rock_salt()
    frac_coords = batch.frac_coords.copy()
    frac_coords[0, 0] += 0.02 / 5.64
    off = crystal(batch.lattices[0], frac_coords, batch.atomic_numbers)
    assert symmetry(off, 0.1).numbers.tolist() == [225]
    assert symmetry(off, 1e-3).numbers[0] < 225
    assert symmetry(off, 1e-3).symprec[0] == pytest.approx(1e-3)


def test_random_crystal_has_no_symmetry(rng):
    batch = CrystalBatch.concatenate([random_crystal(rng, 12) for _ in range(10)])
    found = symmetry(batch)
    assert found.numbers.tolist() == [1] * 10
    assert found.multiplicities.tolist() == [1] * batch.n_sites
    assert_partition(batch, found)


def test_what_has_no_answer_says_why_and_fails_alone():
    on_top = crystal(4.0 * CUBIC, [[0, 0, 0]] * 3 + [[0.5, 0.5, 0.5]], [3, 3, 3, 8])
    slab = crystal(4.0 * CUBIC, [[0, 0, 0]], [3], pbc=(True, True, False))
    found = symmetry(CrystalBatch.concatenate([on_top, slab, rock_salt()]))
    names = [STATUS_NAMES[status] for status in found.status]
    assert names == ["symmetry_failed", "not_periodic", "ok"]
    assert "0.01 A" in found.errors[0]
    assert found.numbers.tolist() == [0, 0, 225]
    assert found.orbits[:5].tolist() == [-1] * 5
    assert found.multiplicities[:5].tolist() == [0] * 5
    assert found.wyckoffs[:5].tolist() == [""] * 5
    np.testing.assert_array_equal(np.isnan(found.symprec), [True, True, False])


def test_one_thread_is_many_threads_and_a_batch_is_a_loop():
    batch = CrystalBatch.concatenate([batch for batch, _ in KNOWN.values()])
    together = symmetry(batch, threads=3)
    alone = symmetry(batch, threads=1)
    for name in ("numbers", "orbits", "multiplicities", "wyckoffs", "symprec", "status"):
        np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
    singles = [symmetry(batch.select([k])) for k in range(len(batch))]
    np.testing.assert_array_equal(np.concatenate([s.orbits for s in singles]), together.orbits)
    np.testing.assert_array_equal(np.concatenate([s.numbers for s in singles]), together.numbers)


@pytest.mark.parametrize("symprec", [0.0, -1.0, np.nan, np.inf])
def test_symprec_must_be_positive(symprec):
    with pytest.raises(BatchError, match="symprec"):
        symmetry(rock_salt(), symprec)


def test_angle_tolerance_is_in_degrees():
    strained = crystal([[5.64, 0.00564, 0], [0, 5.64, 0], [0, 0, 5.64]], [[0, 0, 0]], [11])
    assert symmetry(strained, 0.1, angle_tolerance=1.0).numbers.tolist() == [221]
    assert symmetry(strained, 0.1, angle_tolerance=0.01).numbers[0] < 221
    with pytest.raises(BatchError, match="angle_tolerance"):
        symmetry(strained, angle_tolerance=-1.0)


def spglib_symmetry(structure, symprec):
    """Number and orbits (by first site) from spglib, None where it fails."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = SpacegroupAnalyzer(structure, symprec).get_symmetry_dataset()
        except SymmetryUndeterminedError:
            return None
    first = {}
    orbits = [first.setdefault(o, k) for k, o in enumerate(dataset.crystallographic_orbits)]
    return dataset.number, orbits


@pytest.mark.parametrize(
    ("archive", "count", "max_sites"),
    [("mp/mp_cifs_a.tar.gz", 400, 80), ("obelix/cifs.tar.gz", None, 40)],
)
def test_parity_with_spglib(shared_data, archive, count, max_sites):
    structures = up_to(read_cifs(shared_data(archive), count=count), max_sites)
    batch = CrystalBatch.from_pymatgen(list(structures.values()), list(structures))
    found = symmetry(batch)
    assert not found.errors
    assert_partition(batch, found)
    different = 0
    for k, (name, structure) in enumerate(structures.items()):
        reference = spglib_symmetry(structure, 1e-2)
        sites = slice(batch.site_offsets[k], batch.site_offsets[k + 1])
        if reference == (found.numbers[k], found.orbits[sites].tolist()):
            continue
        different += 1
        # Atoms off by about the tolerance: the two searches draw the line at different distances,
        # and spglib says the same at a tolerance that is a little smaller or larger.
        near = [spglib_symmetry(structure, 1e-2 * factor) for factor in (0.3, 0.5, 0.7, 1.4, 2, 3)]
        numbers = {answer[0] for answer in near if answer is not None}
        assert found.numbers[k] in numbers, name
    assert different <= 0.02 * len(structures)


def assert_same_without_letters(batch, **options):
    """The search without Wyckoff letters finds what moyo finds."""
    found, expected = symmetry(batch, wyckoffs=False, **options), symmetry(batch, **options)
    for name in ("numbers", "orbits", "multiplicities", "exact_orbits", "symprec", "status"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    assert set(found.wyckoffs) <= {""}
    return found


def cell_of(system, rng):
    """Lattice vectors of a crystal system, as in the International Tables."""
    a, b, c = rng.uniform(5.0, 9.0, size=3)
    alpha, beta, gamma = rng.uniform(70.0, 110.0, size=3)
    cells = {
        "triclinic": (a, b, c, alpha, beta, gamma),
        "monoclinic": (a, b, c, 90, beta, 90),
        "orthorhombic": (a, b, c, 90, 90, 90),
        "tetragonal": (a, a, c, 90, 90, 90),
        "trigonal": (a, a, c, 90, 90, 120),
        "hexagonal": (a, a, c, 90, 90, 120),
        "cubic": (a, a, a, 90, 90, 90),
    }
    return np.array(gemmi.UnitCell(*cells[system]).orth.mat.tolist()).T


def of_group(number, rng):
    """Crystal with two sites in general positions of a space group."""
    group = gemmi.find_spacegroup_by_number(number)
    images = []
    for _ in range(2):
        x = rng.uniform(size=3)
        images.append(
            np.array([operation.apply_to_xyz(x.tolist()) for operation in group.operations()])
        )
    lattice = cell_of(group.crystal_system_str(), rng)
    return crystal(lattice, np.concatenate(images), np.repeat([8, 9], len(images[0])))


UNIMODULAR = np.array([[1, 1, 0], [0, 1, 0], [-1, 2, 1]])


@pytest.mark.parametrize("first", range(1, 231, 46))
def test_every_space_group(rng, first):
    numbers = list(range(first, first + 46))
    batches = [of_group(number, rng) for number in numbers]
    found = assert_same_without_letters(CrystalBatch.concatenate(batches))
    assert found.numbers.tolist() == numbers
    changed = []
    for batch in batches:
        # Another basis of the same lattice, of the other handedness every second time.
        change = UNIMODULAR * rng.choice([-1, 1])
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        frac_coords = (batch.frac_coords + rng.uniform(size=3)) @ np.linalg.inv(change)
        changed.append(
            crystal(
                change @ batch.lattices[0] @ (q * np.sign(np.linalg.det(q))),
                frac_coords,
                batch.atomic_numbers,
            )
        )
    # Two groups of a pair that are mirror images are told apart.
    assert (
        assert_same_without_letters(CrystalBatch.concatenate(changed)).numbers.tolist() == numbers
    )


def test_shipped_crystals_without_letters():
    batch = read(crystals_path())
    found = assert_same_without_letters(batch)
    assert not found.errors
    assert_same_without_letters(batch, symprec=1e-3)
    assert_same_without_letters(batch, angle_tolerance=0.5)


def test_supercells_and_odd_cells_without_letters(rng):
    repeats = [(2, 1, 3), (1, 3, 1), (2, 2, 2)]
    batches = [supercell(batch, r) for batch, _ in KNOWN.values() for r in repeats]
    batches += [random_crystal(rng, n) for n in (1, 2, 3, 12)]
    on_top = crystal(4.0 * CUBIC, [[0, 0, 0]] * 3 + [[0.5, 0.5, 0.5]], [3, 3, 3, 8])
    tiny = crystal(0.05 * CUBIC, [[0, 0, 0]], [3])
    flat = crystal(np.diag([40.0, 40.0, 0.3]), [[0, 0, 0], [0.5, 0.5, 0.5]], [3, 3])
    assert_same_without_letters(CrystalBatch.concatenate([*batches, on_top, tiny, flat]))


@pytest.mark.parametrize("scale", [0.001, 0.003, 0.01, 0.03, 0.1])
def test_displaced_atoms_without_letters(rng, scale):
    """Positions and lattices that match within about the tolerance, or not."""
    batches = []
    for batch, _ in KNOWN.values():
        large = supercell(batch, (1, 2, 1))
        for one in (batch, large, batch, large):
            shifts = scale * rng.normal(size=(one.n_sites, 3)) @ np.linalg.inv(one.lattices[0])
            lattice = one.lattices[0] + 0.3 * scale * rng.normal(size=(3, 3))
            batches.append(crystal(lattice, one.frac_coords + shifts, one.atomic_numbers))
    assert_same_without_letters(CrystalBatch.concatenate(batches))


@pytest.mark.parametrize(
    ("archive", "count"), [("mp/mp_cifs_a.tar.gz", 1000), ("obelix/cifs.tar.gz", 321)]
)
def test_real_crystals_without_letters(shared_data, archive, count):
    records = list(islice(iter_records([shared_data(archive)]), count))
    batch = read_records(records).batch
    assert len(batch) == count
    assert_same_without_letters(batch)


def test_exact_orbits_leave_out_operations_that_are_not_exact(rng):
    batch = rutile()
    found = symmetry(batch, wyckoffs=False)
    assert found.exact_orbits.tolist() == [0, 0, 2, 2, 2, 2]
    assert found.exact_orbits.dtype == np.int32
    frac_coords = batch.frac_coords.copy()
    # Along x = y, in the mirror planes; the two oxygens of a pair no longer match.
    frac_coords[2, :2] += 1e-6
    moved = symmetry(crystal(batch.lattices[0], frac_coords, batch.atomic_numbers), wyckoffs=False)
    assert moved.numbers.tolist() == [136]
    assert moved.orbits.tolist() == [0, 0, 2, 2, 2, 2]
    assert moved.exact_orbits.tolist() == [0, 1, 2, 3, 4, 4]
    # A strain of the lattice leaves only the oxygens on the other two axes the same.
    cubic, _ = KNOWN["perovskite"]
    lattice = cubic.lattices[0] * [[1 + 1e-6], [1.0], [1.0]]
    strained = symmetry(crystal(lattice, cubic.frac_coords, cubic.atomic_numbers), wyckoffs=False)
    assert strained.orbits.tolist() == [0, 1, 2, 2, 2]
    assert strained.exact_orbits.tolist() == [0, 1, 2, 2, 4]


def test_exact_orbits_need_the_same_charges_and_keep_what_the_input_states():
    batch = rutile()
    charged = batch.with_oxidation_states([4, 3, -2, -2, -2, -2])
    assert symmetry(charged).orbits.tolist() == [0, 0, 2, 2, 2, 2]
    assert symmetry(charged).exact_orbits.tolist() == [0, 1, 2, 3, 4, 5]
    stated = read(crystals_path())
    found = symmetry(stated, wyckoffs=False)
    for k in range(len(stated)):
        sites = slice(stated.site_offsets[k], stated.site_offsets[k + 1])
        n_exact = len(np.unique(found.exact_orbits[sites]))
        assert n_exact <= len(np.unique(stated.asymmetric_index[sites]))
