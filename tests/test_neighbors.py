"""Neighbour lists: a naive oracle, ASE on real crystals, and what must not change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.neighborlist import primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhpc import CrystalBatch
from pyhpc.kernels import STATUS_NAMES, BatchError, neighbor_list

from .crystals import cif_crystals, crystal, random_crystal, random_lattice, supercell

PBC = [(True, True, True), (True, True, False), (False, True, False), (False, False, False)]


def naive(lattice, frac_coords, pbc, cutoff):
    """All pairs, by trying every image that a plane spacing allows; rows i, j, shift, distance."""
    frac_coords = np.asarray(frac_coords, dtype=float)
    spacings = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    spread = np.ptp(frac_coords, axis=0)
    most = np.where(pbc, np.ceil(cutoff / spacings + spread), 0).astype(int)
    images = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), -1)
    images = images.reshape(-1, 3)
    cart = frac_coords @ lattice
    vectors = cart[None, :, None] - cart[:, None, None] + images @ lattice
    distances = np.linalg.norm(vectors, axis=-1)
    i, j, s = np.nonzero(distances < cutoff)
    keep = (i != j) | images[s].any(axis=1)
    i, j, s = i[keep], j[keep], s[keep]
    return np.column_stack([i, j, images[s]]), distances[i, j, s]


def as_set(pairs):
    return set(map(tuple, pairs.tolist()))


def pairs_of(result):
    return np.column_stack([result.i, result.j, result.shifts])


def assert_same_pairs(pairs, distances, expected, expected_distances, cutoff, slack=1e-9):
    """Equal as sets, but for pairs that rounding may put on either side of the cutoff."""
    found = dict(zip(map(tuple, pairs.tolist()), distances, strict=True))
    wanted = dict(zip(map(tuple, expected.tolist()), expected_distances, strict=True))
    assert len(found) == len(pairs), "a pair is listed twice"
    for pair in found.keys() ^ wanted.keys():
        assert abs(found.get(pair, wanted.get(pair)) - cutoff) < slack, pair
    both = found.keys() & wanted.keys()
    assert max((abs(found[pair] - wanted[pair]) for pair in both), default=0.0) < 1e-9


def assert_matches_naive(batch, cutoff):
    result = neighbor_list(batch, cutoff)
    assert (result.status == 0).all()
    expected = naive(batch.lattices[0], batch.frac_coords, batch.pbc[0], cutoff)
    assert_same_pairs(pairs_of(result), result.distances, *expected, cutoff)
    return result


def ase_pairs(batch, cutoff):
    i, j, shifts, distances = primitive_neighbor_list(
        "ijSd", batch.pbc[0], batch.lattices[0], batch.cart_coords, cutoff, self_interaction=False
    )
    return np.column_stack([i, j, shifts]), distances


@pytest.mark.parametrize("pbc", PBC)
@pytest.mark.parametrize("n_sites", [1, 2, 7, 23])
@pytest.mark.parametrize("cutoff", [1.5, 4.0, 9.0])
def test_random_crystals_match_the_naive_list(rng, pbc, n_sites, cutoff):
    batch = replace(random_crystal(rng, n_sites), pbc=pbc)
    result = assert_matches_naive(batch, cutoff)
    assert np.all(np.diff(result.i) >= 0)


@pytest.mark.parametrize(
    "lattice",
    [
        [[1.2, 0, 0], [0, 1.1, 0], [0, 0, 1.3]],
        [[0.9, 0, 0], [0, 14.0, 0], [0, 0, 3.0]],
        [[15.0, 0, 0], [0, 0.8, 0], [0, 0, 15.0]],
        [[4.0, 0, 0], [3.9, 0.9, 0], [3.9, 0.4, 0.8]],
        [[4.0, 0, 0], [-11.0, 3.0, 0], [17.0, -9.0, 5.0]],
        [[0, 0, -4.0], [0, -5.0, 0], [-6.0, 0, 0]],
    ],
    ids=["tiny", "thin a", "thin b", "needle", "long shear", "left-handed"],
)
@pytest.mark.parametrize("pbc", PBC[:3])
def test_awkward_lattices_match_the_naive_list(rng, lattice, pbc):
    batch = crystal(lattice, rng.uniform(-0.7, 1.7, (3, 3)), [3, 8, 17], pbc=pbc)
    found = assert_matches_naive(batch, 5.0)
    assert len(found.i) > 0 or pbc != PBC[0]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.floats(0.3, 7.0),
    st.sampled_from(PBC),
    st.floats(0.0, 1.5),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_lattice_matches_the_naive_list(seed, n_sites, cutoff, pbc, skew):
    rng = np.random.default_rng(seed)
    batch = replace(random_crystal(rng, n_sites, edge=(1.5, 12.0), skew=skew), pbc=pbc)
    assert_matches_naive(batch, cutoff)


def test_simple_cubic_shells():
    batch = crystal(2.0 * np.eye(3), [[0, 0, 0]], [84])
    distances = neighbor_list(batch, 4.01).distances
    shells, counts = np.unique(np.round(distances, 9), return_counts=True)
    assert shells == pytest.approx(2.0 * np.sqrt([1, 2, 3, 4]), abs=1e-9)
    assert counts.tolist() == [6, 12, 8, 6]


def test_cutoff_is_exclusive():
    batch = crystal(2.0 * np.eye(3), [[0, 0, 0]], [84])
    assert len(neighbor_list(batch, 2.0).i) == 0
    assert len(neighbor_list(batch, np.nextafter(2.0, 3.0)).i) == 6


def test_coincident_sites_are_pairs_at_distance_zero():
    batch = crystal(5.0 * np.eye(3), [[0.25, 0.5, 0], [1.25, 0.5, -1]], [26, 27])
    result = neighbor_list(batch, 1.0)
    assert result.distances.tolist() == [0.0, 0.0]
    assert result.shifts.tolist() == [[-1, 0, 1], [1, 0, -1]]


@pytest.mark.parametrize("tiny", [-1e-17, 1 - 1e-17, 1 - 1e-16, -0.0])
def test_sites_on_the_faces_of_the_cell(tiny):
    batch = crystal(3.0 * np.eye(3), [[tiny, 0.5, 1.0], [0.5, tiny, 0.0]], [3, 8])
    assert_matches_naive(batch, 4.0)


def test_distances_follow_from_the_shifts(rng):
    batch = random_crystal(rng, 9)
    result = neighbor_list(batch, 6.0)
    cart = batch.cart_coords
    vectors = cart[result.j] - cart[result.i] + result.shifts @ batch.lattices[0]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(result.distances, abs=1e-12)
    assert result.distances.max() < 6.0


def test_list_is_symmetric(rng):
    pairs = pairs_of(neighbor_list(random_crystal(rng, 11), 6.0))
    assert as_set(pairs) == as_set(np.column_stack([pairs[:, 1], pairs[:, 0], -pairs[:, 2:]]))


def test_translation_and_rotation_keep_the_pairs(rng):
    batch = random_crystal(rng, 8)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = replace(
        batch,
        lattices=batch.lattices @ rotation,
        frac_coords=batch.frac_coords + rng.uniform(-3, 3, 3),
    )
    before, after = neighbor_list(batch, 5.0), neighbor_list(moved, 5.0)
    assert_same_pairs(
        pairs_of(after), after.distances, pairs_of(before), before.distances, 5.0, slack=1e-9
    )


def test_whole_lattice_shifts_move_into_the_shifts(rng):
    batch = random_crystal(rng, 8)
    cells = rng.integers(-4, 5, size=(8, 3))
    moved = replace(batch, frac_coords=batch.frac_coords + cells)
    before, after = neighbor_list(batch, 5.0), neighbor_list(moved, 5.0)
    back = pairs_of(after)
    back[:, 2:] += cells[after.j] - cells[after.i]
    assert_same_pairs(back, after.distances, pairs_of(before), before.distances, 5.0)


def test_permutation_renames_the_sites(rng):
    batch = random_crystal(rng, 10)
    order = rng.permutation(10)
    before = neighbor_list(batch, 5.0)
    after = neighbor_list(replace(batch, frac_coords=batch.frac_coords[order]), 5.0)
    renamed = np.column_stack([order[after.i], order[after.j], after.shifts])
    assert_same_pairs(renamed, after.distances, pairs_of(before), before.distances, 5.0)


def test_supercell_repeats_each_site(rng):
    batch = random_crystal(rng, 5)
    one, many = neighbor_list(batch, 5.5), neighbor_list(supercell(batch, (2, 1, 3)), 5.5)
    for site in range(5):
        expected = np.sort(one.distances[one.i == site])
        for copy in range(6):
            found = np.sort(many.distances[many.i == site + 5 * copy])
            assert found == pytest.approx(expected, abs=1e-11)


def random_batch(rng, n_crystals):
    return CrystalBatch.concatenate(
        [random_crystal(rng, int(rng.integers(1, 20))) for _ in range(n_crystals)]
    )


def assert_equal_bits(one, two):
    for name in ("i", "j", "shifts", "distances", "crystal_offsets", "status"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name


def test_threads_do_not_change_a_bit(rng):
    batch = CrystalBatch.concatenate(
        [random_batch(rng, 30), supercell(random_crystal(rng, 9), (5, 5, 5))]
    )
    assert_equal_bits(neighbor_list(batch, 5.0, threads=1), neighbor_list(batch, 5.0, threads=4))


def test_batch_equals_loop(rng):
    batch = random_batch(rng, 12)
    result = neighbor_list(batch, 5.0)
    for k in range(len(batch)):
        alone = neighbor_list(batch.select([k]), 5.0)
        part = slice(*result.crystal_offsets[k : k + 2])
        first = batch.site_offsets[k]
        assert (result.i[part] - first).tobytes() == alone.i.tobytes()
        assert (result.j[part] - first).tobytes() == alone.j.tobytes()
        assert result.shifts[part].tobytes() == alone.shifts.tobytes()
        assert result.distances[part].tobytes() == alone.distances.tobytes()


def test_large_crystals_equal_their_small_parts(rng):
    unit = random_crystal(rng, 20, edge=(6.0, 9.0))
    large = supercell(unit, (4, 4, 4))
    assert large.n_sites == 1280
    one, many = neighbor_list(unit, 4.0), neighbor_list(large, 4.0)
    assert len(many.i) == 64 * len(one.i)
    assert np.all(np.diff(many.i) >= 0)
    assert np.sort(many.distances) == pytest.approx(np.sort(np.tile(one.distances, 64)), abs=1e-10)
    assert_same_pairs(pairs_of(many), many.distances, *ase_pairs(large, 4.0), 4.0)


def test_a_broken_crystal_leaves_the_others_alone(rng):
    good = random_crystal(rng, 6)
    nan = replace(good, frac_coords=np.full((6, 3), np.nan))
    far = replace(good, frac_coords=good.frac_coords + 1e12)
    flat = replace(good, lattices=[[[4.0, 0, 0], [0, 4.0, 0], [4.0, 4.0, 0]]])
    inf = replace(good, occupancies=np.full(6, np.inf))
    dense = replace(good, lattices=good.lattices * 1e-4)
    empty = crystal(np.eye(3), np.empty((0, 3)), np.empty(0, dtype=np.uint8))
    batch = CrystalBatch.concatenate([good, nan, good, far, flat, inf, dense, empty, good])
    result = neighbor_list(batch, 5.0)
    names = [STATUS_NAMES[status] for status in result.status]
    assert names == [
        "ok",
        "not_finite",
        "ok",
        "coordinate_out_of_range",
        "singular_lattice",
        "not_finite",
        "too_many_pairs",
        "no_sites",
        "ok",
    ]
    assert sorted(result.errors) == [1, 3, 4, 5, 6, 7]
    alone = neighbor_list(good, 5.0)
    counts = np.diff(result.crystal_offsets)
    assert counts.tolist() == [len(alone.i) if name == "ok" else 0 for name in names]
    assert result.distances.tobytes() == np.tile(alone.distances, 3).tobytes()


def test_a_thin_periodic_slab_counts_as_dense():
    batch = crystal(np.diag([1e-4, 1e-4, 10.0]), [[0, 0, 0.5]], [6], pbc=(True, True, False))
    assert STATUS_NAMES[neighbor_list(batch, 5.0).status[0]] == "too_many_pairs"


def test_an_atom_far_from_a_molecule_costs_no_memory():
    coords = [[0, 0, 0], [0.01, 0, 0], [1e8, 1e8, 1e8]]
    batch = crystal(100 * np.eye(3), coords, [1, 1, 1], pbc=(False, False, False))
    assert pairs_of(neighbor_list(batch, 2.0)).tolist() == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_a_cutoff_that_makes_no_sense_is_refused(rng, cutoff):
    with pytest.raises(BatchError, match="cutoff"):
        neighbor_list(random_crystal(rng, 2), cutoff)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"site_offsets": [0, 3]}, "site_offsets"),
        ({"site_offsets": [1, 2]}, "site_offsets"),
        ({"site_offsets": [0, 2, 2]}, "site_offsets"),
        ({"species_offsets": [0, 2, 1]}, "species_offsets"),
        ({"species_offsets": [0, 1]}, "species_offsets"),
        ({"occupancies": [1.0]}, "occupancies"),
        ({"oxidation_states": [1.0, 1.0, 1.0]}, "oxidation_states"),
        ({"asymmetric_index": [0]}, "asymmetric_index"),
        ({"atomic_numbers": [1, 119]}, "atomic_numbers"),
        ({"atomic_numbers": [0, 1]}, "atomic_numbers"),
        ({"frac_coords": np.zeros((3, 2))}, "frac_coords"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(rng, change, message):
    with pytest.raises(BatchError, match=message):
        neighbor_list(replace(random_crystal(rng, 2), **change), 3.0)


@pytest.mark.parametrize("pbc", PBC)
def test_random_crystals_match_ase(rng, pbc):
    for skew in (0.1, 0.8):
        for n_sites in (1, 4, 40):
            lattice = random_lattice(rng, edge=(2.0, 11.0), skew=skew)
            coords = rng.uniform(-2, 3, (n_sites, 3))
            batch = crystal(lattice, coords, np.full(n_sites, 14), pbc=pbc)
            result = neighbor_list(batch, 5.0)
            assert_same_pairs(pairs_of(result), result.distances, *ase_pairs(batch, 5.0), 5.0)


@pytest.mark.parametrize(
    ("archive", "step", "cutoff", "at_least"),
    [("mp/mp_cifs_a.tar.gz", 60, 4.0, 300), ("obelix/cifs.tar.gz", 1, 2.5, 321)],
)
def test_real_crystals_match_ase(shared_data, archive, step, cutoff, at_least):
    crystals = list(cif_crystals(shared_data(archive), step))
    assert len(crystals) >= at_least
    batch = CrystalBatch.concatenate(crystals)
    result = neighbor_list(batch, cutoff)
    assert (result.status == 0).all()
    for k, one in enumerate(crystals):
        part = slice(*result.crystal_offsets[k : k + 2])
        pairs = pairs_of(result)[part]
        pairs[:, :2] -= batch.site_offsets[k]
        assert_same_pairs(pairs, result.distances[part], *ase_pairs(one, cutoff), cutoff)
