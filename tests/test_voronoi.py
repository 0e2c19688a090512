"""Voronoi cells against known polyhedra, scipy, pymatgen and themselves."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import scipy.spatial
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhpc import CrystalBatch
from pyhpc.kernels import STATUS_NAMES, BatchError, voronoi
from tests.crystals import crystal, random_crystal, supercell

SPHERE = 4 * np.pi
THRESHOLDS = (0.0, 0.1, 0.25, 0.5)


def status_name(result, k=0):
    return STATUS_NAMES[int(result.status[k])]


def face_set(result, row):
    """Neighbours of one cell as a set of (site, shift)."""
    faces = result.faces
    rows = slice(*faces.site_offsets[row : row + 2])
    return {(int(j), *map(int, s)) for j, s in zip(faces.j[rows], faces.shifts[rows], strict=True)}


def cell_sums(result, values):
    return np.add.reduceat(values, result.faces.site_offsets[:-1])


def assert_sound(batch):
    """What holds for the cells of any crystals without alternatives; returns them."""
    result = voronoi(batch, alternatives=False, faces=True)
    assert result.errors == {}
    sums = np.add.reduceat(result.volumes, batch.site_offsets[:-1])
    np.testing.assert_allclose(sums, abs(np.linalg.det(batch.lattices)), rtol=1e-9)
    faces = result.faces
    np.testing.assert_allclose(cell_sums(result, faces.solid_angles), SPHERE, rtol=1e-7)
    pyramids = faces.areas * faces.distances / 6
    np.testing.assert_allclose(cell_sums(result, pyramids), result.volumes, rtol=1e-7)
    coords = batch.cart_coords
    lattices = batch.lattices[batch.site_crystals[faces.i]]
    vectors = coords[faces.j] - coords[faces.i] + np.einsum("fk,fkc->fc", faces.shifts, lattices)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), faces.distances, rtol=1e-9)
    # Every face is seen from both sides, with the same area.
    keys = np.column_stack([faces.i, faces.j, faces.shifts])
    mirrored = np.column_stack([faces.j, faces.i, -faces.shifts])
    big = faces.solid_angles > 1e-6
    areas = dict(zip(map(tuple, keys), faces.areas, strict=True))
    for key, area in zip(map(tuple, mirrored[big]), faces.areas[big], strict=True):
        np.testing.assert_allclose(areas[key], area, rtol=1e-6, atol=1e-9)
    return result


def lattice_from_parameters(lengths, angles):
    a, b, c = lengths
    cos = np.cos(np.radians(angles))
    sin_gamma = np.sin(np.radians(angles[2]))
    y = (cos[0] - cos[1] * cos[2]) / sin_gamma
    return np.array(
        [
            [a, 0, 0],
            [b * cos[2], b * sin_gamma, 0],
            [c * cos[1], c * y, c * np.sqrt(1 - cos[1] ** 2 - y**2)],
        ]
    )


def random_rotation(rng):
    return np.linalg.qr(rng.normal(size=(3, 3)))[0]


FCC = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
BCC = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2
CUBE = np.eye(3)
HEXAGONAL = lattice_from_parameters((1, 1, np.sqrt(8 / 3)), (90, 90, 120))
DIAMOND = [[0, 0, 0], [0.25, 0.25, 0.25]]
FCC_SITES = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
# Lattice, sites, and the distances with the number of faces at each, in units of the lattice.
KNOWN = {
    "simple cubic": (CUBE, [[0, 0, 0]], {1: 6}),
    "bcc": (CUBE, [[0, 0, 0], [0.5, 0.5, 0.5]], {np.sqrt(0.75): 8, 1: 6}),
    "bcc primitive": (BCC, [[0, 0, 0]], {np.sqrt(0.75): 8, 1: 6}),
    "fcc": (CUBE, FCC_SITES, {np.sqrt(0.5): 12}),
    "fcc primitive": (FCC, [[0, 0, 0]], {np.sqrt(0.5): 12}),
    "hcp": (HEXAGONAL, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]], {1: 12}),
    "diamond": (FCC, DIAMOND, {np.sqrt(3) / 4: 4, np.sqrt(0.5): 12}),
    "NaCl": (CUBE, np.concatenate([FCC_SITES, FCC_SITES + 0.5]), {0.5: 6}),
}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("scale", [1.0, 4.1, 300.0])
def test_cells_of_known_crystals(name, scale, rng):
    lattice, sites, shells = KNOWN[name]
    rotated = lattice @ random_rotation(rng)
    for rows in (lattice, rotated):
        moved = np.asarray(sites) + rng.uniform(-2, 2, size=3)
        result = assert_sound(crystal(scale * rows, moved, [3] * len(sites)))
        n_faces = sum(shells.values())
        assert np.all(np.diff(result.faces.site_offsets) == n_faces)
        assert np.all(result.coordination_numbers[0.0] == n_faces)
        volume = abs(np.linalg.det(lattice)) * scale**3 / len(sites)
        np.testing.assert_allclose(result.volumes, volume, rtol=1e-10)
        expected = np.repeat(list(shells), list(shells.values())) * scale
        distances = result.faces.distances.reshape(len(sites), n_faces)
        np.testing.assert_allclose(distances, np.tile(expected, (len(sites), 1)), rtol=1e-10)


def test_areas_and_solid_angles_of_known_cells():
    cube = voronoi(crystal(3 * CUBE, [[0, 0, 0]], [3]), faces=True).faces
    np.testing.assert_allclose(cube.areas, 9, rtol=1e-12)
    np.testing.assert_allclose(cube.solid_angles, SPHERE / 6, rtol=1e-12)
    fcc = voronoi(crystal(3 * FCC, [[0, 0, 0]], [3]), faces=True).faces
    np.testing.assert_allclose(fcc.solid_angles, SPHERE / 12, rtol=1e-12)
    # The truncated octahedron: edges of a sqrt(2) / 4.
    bcc = voronoi(crystal(3 * BCC, [[0, 0, 0]], [3]), faces=True).faces
    edge = 3 * np.sqrt(2) / 4
    np.testing.assert_allclose(bcc.areas[:8], 1.5 * np.sqrt(3) * edge**2, rtol=1e-12)
    np.testing.assert_allclose(bcc.areas[8:], edge**2, rtol=1e-12)


def test_effective_coordination_and_inscribed_sphere_follow_from_the_faces(rng):
    batch = with_occupancies(random_crystal(rng, 12), rng.uniform(0.6, 1, size=12))
    result = voronoi(batch, faces=True)
    faces = result.faces
    for row in range(12):
        own = slice(*faces.site_offsets[row : row + 2])
        angles, filled = faces.solid_angles[own], faces.occupancies[own]
        expected = (filled * angles).sum() ** 2 / (filled * angles**2).sum()
        assert result.effective_coordination_numbers[row] == pytest.approx(expected, rel=1e-12)
        assert result.inscribed_radii[row] == faces.distances[own].min() / 2


def test_effective_coordination_of_equal_faces_is_their_number():
    for lattice, number in ((FCC, 12), (CUBE, 6)):
        result = voronoi(crystal(3.6 * lattice, [[0, 0, 0]], [29]))
        np.testing.assert_allclose(result.effective_coordination_numbers, number, rtol=1e-12)
    # Eight hexagons and six squares.
    body_centred = voronoi(crystal(3 * CUBE, [[0, 0, 0], [0.5, 0.5, 0.5]], [26, 26]))
    np.testing.assert_allclose(body_centred.effective_coordination_numbers, 11.76, atol=0.01)
    lonely = with_occupancies(crystal(3 * CUBE, [[0, 0, 0]], [26]), [0.0])
    assert voronoi(lonely).effective_coordination_numbers[0] == 0


def test_thresholds_part_large_from_small_faces():
    diamond = crystal(3.6 * FCC, DIAMOND, [6, 6])
    numbers = voronoi(diamond, thresholds=[0, 0.01, 0.5]).coordination_numbers
    assert list(numbers) == [0.0, 0.01, 0.5]
    assert {t: list(n) for t, n in numbers.items()} == {0.0: [16, 16], 0.01: [16, 16], 0.5: [4, 4]}


def test_ties_do_not_exceed_a_threshold(rng):
    """In a cubic perovskite the faces of oxygen are exactly 1, 1/2 and 1/4 of the largest."""
    sites = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]) / 2
    faces = voronoi(crystal(4 * CUBE, sites, [38, 22, 8, 8, 8]), faces=True).faces
    relative = faces.solid_angles / faces.solid_angles.max()
    oxygen = np.sort(relative[faces.i >= 2].reshape(3, -1), axis=1)
    np.testing.assert_allclose(oxygen, [[0.25] * 8 + [0.5] * 4 + [1] * 2] * 3, rtol=1e-12)
    for _ in range(20):
        lattice = 4 * CUBE @ random_rotation(rng)
        numbers = voronoi(crystal(lattice, sites + rng.uniform(size=3), [8] * 5), faces=True)
        for threshold, expected in {0.0: 14, 0.1: 14, 0.25: 6, 0.5: 2}.items():
            np.testing.assert_array_equal(numbers.coordination_numbers[threshold][2:], expected)


lattice_parameters = st.tuples(
    st.tuples(*[st.floats(2.0, 12.0)] * 3), st.tuples(*[st.floats(60.0, 110.0)] * 3)
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(lattice_parameters, st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_random_crystals_are_sound(parameters, n_sites, seed):
    lengths, angles = parameters
    rng = np.random.default_rng(seed)
    lattice = lattice_from_parameters(lengths, angles)
    assert_sound(crystal(lattice, rng.uniform(-1, 2, size=(n_sites, 3)), [8] * n_sites))


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(st.integers(2, 4), st.lists(st.integers(0, 63), min_size=1, max_size=8, unique=True))
def test_sites_on_a_grid_are_sound(n, places):
    """Many planes through one vertex, and faces that only touch."""
    cells = np.unique(np.array(places) % n**3)
    frac_coords = np.column_stack(np.unravel_index(cells, (n, n, n))) / n
    for lattice in (4 * CUBE, 4 * FCC, 4 * HEXAGONAL):
        assert_sound(crystal(lattice, frac_coords, [8] * len(cells)))


@pytest.mark.parametrize("n_sites", [4, 12, 30])
def test_same_as_scipy(n_sites, rng):
    cells = np.stack(np.meshgrid(*[[0, -1, 1, -2, 2, -3, 3]] * 3, indexing="ij"), -1)
    cells = cells.reshape(-1, 3)
    for _ in range(3):
        edge = (2.5 * n_sites ** (1 / 3), 4 * n_sites ** (1 / 3))
        batch = random_crystal(rng, n_sites, edge=edge, skew=0.2)
        home = replace(batch, frac_coords=batch.frac_coords % 1)
        near = cells[np.abs(cells).max(axis=1) <= (3 if n_sites < 10 else 2)]
        points = (home.frac_coords[None] + near[:, None]).reshape(-1, 3) @ batch.lattices[0]
        reference = scipy.spatial.Voronoi(points)
        result = voronoi(home, faces=True)
        expected = [set() for _ in range(n_sites)]
        for pair in reference.ridge_points:
            for first, second in (pair, pair[::-1]):
                if first < n_sites:
                    cell, site = divmod(second, n_sites)
                    expected[first].add((int(site), *map(int, near[cell])))
        for site in range(n_sites):
            assert face_set(result, site) == expected[site]
            region = reference.regions[reference.point_region[site]]
            hull = scipy.spatial.ConvexHull(reference.vertices[region])
            np.testing.assert_allclose(result.volumes[site], hull.volume, rtol=1e-9)


def to_structure(batch):
    from pymatgen.core import Structure

    return Structure(batch.lattices[0], batch.atomic_numbers, batch.frac_coords)


def assert_same_as_voronoi_nn(structure, site):
    from pymatgen.analysis import local_env

    n = len(structure)
    batch = crystal(structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    mask = np.arange(n) == site
    result = voronoi(batch, mask, faces=True)
    peer = local_env.VoronoiNN(tol=0, compute_adj_neighbors=False)
    polyhedra = peer.get_voronoi_polyhedra(structure, site).values()
    angles = np.array([face["solid_angle"] for face in polyhedra])
    for threshold in THRESHOLDS:
        expected = np.count_nonzero(angles > threshold * angles.max())
        assert result.coordination_numbers[threshold] == [expected], (structure, site)
    np.testing.assert_allclose(
        np.sort(result.faces.solid_angles), np.sort(angles), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(result.volumes, sum(face["volume"] for face in polyhedra))


def test_same_as_voronoi_nn_on_random_crystals(rng):
    for n_sites in (1, 2, 3, 5, 8, 12, 20) * 2:
        edge = (2.4 * n_sites ** (1 / 3), 4 * n_sites ** (1 / 3))
        batch = random_crystal(rng, n_sites, edge=edge, skew=0.2)
        assert_same_as_voronoi_nn(to_structure(batch), int(rng.integers(n_sites)))


@pytest.mark.filterwarnings("ignore")  # what pymatgen and spglib say of their own future
def test_same_as_voronoi_nn_on_real_crystals(shared_data, rng):
    """Triclinic crystals of the Materials Project, where no symmetry makes faces that vanish."""
    with tarfile.open(shared_data("mp/mp_cifs_a.tar.gz")) as archive:
        texts = (archive.extractfile(member).read().decode() for member in archive)
        triclinic = [cif_structure(text) for text in islice(texts, 600)]
    triclinic = [structure for structure in triclinic if structure is not None]
    assert len(triclinic) > 20
    for structure in triclinic[:26]:
        assert_same_as_voronoi_nn(structure, int(rng.integers(len(structure))))


def cif_structure(text):
    """Structure of a CIF with at least ten sites if its space group is P1 or P-1, else None."""
    from pymatgen.core import Structure
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    angles = [
        float(line.split()[1])
        for line in text.splitlines()
        if line.startswith(("_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma"))
    ]
    if min(abs(a - b) for a in angles for b in (60, 90, 120)) < 0.5 or len(set(angles)) < 3:
        return None
    structure = Structure.from_str(text, fmt="cif")
    if len(structure) < 10 or SpacegroupAnalyzer(structure, 0.01).get_space_group_number() > 2:
        return None
    return structure


@pytest.fixture
def batch(rng):
    """Crystals of several sizes."""
    return CrystalBatch.concatenate([random_crystal(rng, n, edge=(5, 8)) for n in (1, 7, 30, 2)])


SHAPES = ("volumes", "effective_coordination_numbers", "inscribed_radii")


def assert_same_cells(result, expected, order=slice(None)):
    for name in SHAPES:
        values, others = getattr(result, name), getattr(expected, name)
        np.testing.assert_allclose(values, others[order], rtol=1e-9, err_msg=name)
    for threshold, numbers in expected.coordination_numbers.items():
        np.testing.assert_array_equal(result.coordination_numbers[threshold], numbers[order])


def test_translation_rotation_and_wrapping_change_nothing(batch, rng):
    expected = voronoi(batch)
    shift = rng.normal(size=(len(batch), 3))[batch.site_crystals]
    assert_same_cells(voronoi(replace(batch, frac_coords=batch.frac_coords + shift)), expected)
    assert_same_cells(voronoi(replace(batch, frac_coords=batch.frac_coords % 1)), expected)
    rotated = replace(batch, lattices=batch.lattices @ random_rotation(rng))
    assert_same_cells(voronoi(rotated), expected)


def test_permutation_permutes(rng):
    batch = random_crystal(rng, 25)
    order = rng.permutation(25)
    permuted = replace(batch, frac_coords=batch.frac_coords[order])
    assert_same_cells(voronoi(permuted), voronoi(batch), order)


def test_supercell_repeats(rng):
    batch = random_crystal(rng, 5)
    result = voronoi(supercell(batch, (2, 3, 1)))
    assert_same_cells(result, voronoi(batch), np.tile(np.arange(5), 6))


def test_another_basis_of_the_same_lattice_changes_nothing(rng):
    batch = random_crystal(rng, 6)
    basis = np.array([[1, 3, -2], [0, 1, 4], [0, 0, 1]])
    skewed = replace(
        batch,
        lattices=basis @ batch.lattices,
        frac_coords=batch.frac_coords @ np.linalg.inv(basis),
    )
    assert_same_cells(voronoi(skewed), voronoi(batch))


@pytest.mark.parametrize("angle", [25, 60, 120, 155])
@pytest.mark.parametrize("lengths", [(3, 3, 60), (3, 60, 60), (4, 20, 80)])
def test_thin_and_skewed_cells_are_sound(lengths, angle, rng):
    for angles in ((90, 90, angle), (90, angle, 90), (angle, 90, 90)):
        lattice = lattice_from_parameters(lengths, angles)
        assert_sound(crystal(lattice, rng.uniform(size=(6, 3)), [8] * 6))
    # The other two angles have to allow for an acute or obtuse third.
    wide = (angle, angle, min(angle, 360 - 2 * angle) * 0.9)
    assert_sound(crystal(lattice_from_parameters(lengths, wide), [[0, 0, 0]], [8]))


def assert_identical(first, second):
    np.testing.assert_array_equal(first.status, second.status)
    for name in SHAPES:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for threshold, numbers in first.coordination_numbers.items():
        np.testing.assert_array_equal(second.coordination_numbers[threshold], numbers)
    for name, values in vars(first.faces).items() if first.faces else ():
        np.testing.assert_array_equal(values, getattr(second.faces, name))


def test_threads_do_not_matter(batch, rng):
    large = supercell(random_crystal(rng, 18), (4, 4, 4))
    together = CrystalBatch.concatenate([batch, large])
    assert large.n_sites > 1024
    one = voronoi(together, faces=True, threads=1)
    for threads in (2, 5):
        assert_identical(voronoi(together, faces=True, threads=threads), one)


def test_large_crystals_are_treated_as_small_ones(rng):
    batch = random_crystal(rng, 18)
    large = supercell(batch, (4, 4, 4))
    assert_same_cells(voronoi(large), voronoi(batch), np.tile(np.arange(18), 64))


def test_batch_is_a_loop(batch):
    whole = voronoi(batch, faces=True)
    for k in range(len(batch)):
        sites = slice(*batch.site_offsets[k : k + 2])
        alone = voronoi(batch.select([k]), faces=True)
        np.testing.assert_array_equal(alone.volumes, whole.volumes[sites])
        first = batch.site_offsets[k]
        for row in range(len(alone.sites)):
            moved = {(j + first, *shift) for j, *shift in face_set(alone, row)}
            assert moved == face_set(whole, first + row)


def test_mask_chooses(batch, rng):
    mask = rng.random(batch.n_sites) < 0.3
    mask[0] = False
    whole, part = voronoi(batch), voronoi(batch, mask)
    np.testing.assert_array_equal(part.sites, np.flatnonzero(mask))
    np.testing.assert_array_equal(part.volumes, whole.volumes[mask])
    for threshold, numbers in whole.coordination_numbers.items():
        np.testing.assert_array_equal(part.coordination_numbers[threshold], numbers[mask])
    nothing = voronoi(batch, np.zeros(batch.n_sites, dtype=bool), faces=True)
    assert nothing.volumes.shape == (0,)
    assert nothing.faces.site_offsets.tolist() == [0]


def test_equivalent_sites_are_computed_once(rng):
    """The second half of the crystal is the first one inverted."""
    half = rng.uniform(size=(6, 3))
    batch = crystal(6 * CUBE + rng.normal(size=(3, 3)), np.concatenate([half, -half]), [8] * 12)
    known = replace(batch, asymmetric_index=np.tile(np.arange(6), 2))
    expected, result = voronoi(batch), voronoi(known)
    assert_same_cells(result, expected)
    np.testing.assert_array_equal(result.volumes[:6], result.volumes[6:])
    mask = np.arange(12) >= 8
    np.testing.assert_array_equal(voronoi(known, mask).volumes, result.volumes[mask])
    # A list of faces is made for each site.
    assert face_set(voronoi(known, faces=True), 9) == face_set(voronoi(batch, faces=True), 9)


def with_occupancies(batch, occupancies):
    return replace(batch, occupancies=occupancies)


def test_split_site_stands_for_one_atom():
    """A sodium of NaCl split along x keeps its six neighbours, and counts as one."""
    lattice, sites, _ = KNOWN["NaCl"]
    split = np.concatenate([sites, [[0.03, 0, 0]]])
    split[0, 0] = -0.03
    batch = crystal(5.64 * lattice, split, [11] * 4 + [17] * 4 + [11])
    batch = with_occupancies(batch, [0.5] + [1] * 7 + [0.5])
    result = voronoi(batch)
    assert result.errors == {}
    numbers = result.coordination_numbers[0.1]
    np.testing.assert_array_equal(numbers[[0, 8]], 6)
    # The chlorines above the two, along y and z, see both halves; the one along x sees the nearer
    # half only.
    np.testing.assert_array_equal(numbers[4:8], [6, 5, 6, 6])
    # The halves do not cut each other, else they would share the volume of one atom.
    np.testing.assert_allclose(result.volumes[[0, 8]], (5.64 / 2) ** 3, rtol=0.1)
    plain = voronoi(batch, alternatives=False)
    assert plain.volumes.sum() == pytest.approx(5.64**3)
    np.testing.assert_allclose(plain.volumes[[0, 8]], (5.64 / 2) ** 3 / 2, rtol=0.2)


def test_alternatives_at_the_same_place_are_one_neighbour():
    lattice, sites, _ = KNOWN["NaCl"]
    doubled = np.concatenate([sites, sites[:1] + 1])
    batch = crystal(5.64 * lattice, doubled, [11] * 4 + [17] * 4 + [3])
    batch = with_occupancies(batch, [0.5] + [1] * 7 + [0.25])
    result = voronoi(batch, faces=True)
    numbers = result.coordination_numbers[0.0]
    # Each chlorine but the one at (1/2, 1/2, 1/2) has the mixed site on two sides.
    np.testing.assert_allclose(numbers, [6] * 5 + [5.5] * 3 + [6], rtol=1e-12)
    np.testing.assert_allclose(result.volumes, (5.64 / 2) ** 3, rtol=1e-9)
    np.testing.assert_allclose(cell_sums(result, result.faces.occupancies), numbers)
    np.testing.assert_allclose(cell_sums(result, result.faces.solid_angles), SPHERE)
    assert status_name(voronoi(batch, alternatives=False)) == "coincident_sites"


def test_species_of_a_mixed_site_count_together(rng):
    ordered = random_crystal(rng, 6)
    species_offsets = [0, 2, *range(3, 8)]
    mixed = CrystalBatch(
        ids=ordered.ids,
        lattices=ordered.lattices,
        site_offsets=ordered.site_offsets,
        frac_coords=ordered.frac_coords,
        species_offsets=species_offsets,
        atomic_numbers=[3, 11, 8, 8, 8, 8, 8],
        occupancies=[0.25, 0.5, 1, 1, 1, 1, 1],
        oxidation_states=np.full(7, np.nan),
        asymmetric_index=ordered.asymmetric_index,
    )
    faces = voronoi(ordered, faces=True).faces
    expected = np.bincount(faces.i, weights=np.where(faces.j == 0, 0.75, 1.0))
    result = voronoi(mixed)
    np.testing.assert_allclose(result.coordination_numbers[0.0], expected, rtol=1e-12)
    assert result.volumes.sum() == pytest.approx(abs(np.linalg.det(ordered.lattices[0])))


def test_only_partial_sites_are_alternatives():
    """0.6 + 0.6 is more than one atom, and a full site has no alternative."""
    for occupancies in ([0.6, 0.6], [1, 0.3], [1, 1]):
        batch = crystal(4 * CUBE, [[0, 0, 0], [0.2, 0, 0]], [3, 3])
        batch = with_occupancies(batch, occupancies)
        result = voronoi(batch)
        assert result.volumes.sum() == pytest.approx(64)
    # Alternatives: each is cut by the images of the other, but not by the one next to it.
    batch = with_occupancies(batch, [0.6, 0.4])
    assert voronoi(batch).volumes.sum() > 1.5 * 64
    assert voronoi(batch, alternatives=False).volumes.sum() == pytest.approx(64)


def test_a_crystal_that_fails_leaves_the_others_alone(rng):
    good = random_crystal(rng, 4)
    slab = replace(good, pbc=[True, True, False])
    double = crystal(4 * CUBE, [[0.5, 0, 0], [0.5, 1, 0]], [3, 8])
    wrong = replace(good, asymmetric_index=np.zeros(4))
    flat = crystal([[1, 0, 0], [0, 1, 0], [1, 1, 1e-9]], [[0, 0, 0]], [3])
    nearly_flat = crystal([[30, 0, 0], [0, 30, 0], [30, 30, 1e-4]], [[0, 0, 0]], [3])
    batch = CrystalBatch.concatenate([slab, good, double, wrong, flat, nearly_flat, good])
    result = voronoi(batch, faces=True)
    names = [status_name(result, k) for k in range(len(batch))]
    assert names[:3] == ["not_periodic", "ok", "coincident_sites"]
    assert names[3:] == ["ok", "singular_lattice", "too_many_pairs", "ok"]
    assert set(result.errors) == {0, 2, 4, 5}
    failed = np.isin(batch.site_crystals, [0, 2, 4, 5])
    np.testing.assert_array_equal(np.isnan(result.volumes), failed)
    np.testing.assert_array_equal(np.isnan(result.coordination_numbers[0.5]), failed)
    np.testing.assert_array_equal(np.diff(result.faces.site_offsets) == 0, failed)
    expected = voronoi(good, faces=True)
    np.testing.assert_array_equal(result.volumes[-4:], expected.volumes)
    n = len(expected.faces.i)
    np.testing.assert_array_equal(result.faces.j[-n:] - batch.n_sites + 4, expected.faces.j)


def test_wrong_equivalences_are_found_by_the_volume(rng):
    wrong = replace(
        random_crystal(rng, 4), asymmetric_index=np.zeros(4), atomic_numbers=np.full(4, 8)
    )
    result = voronoi(wrong)
    assert status_name(result) == "voronoi_volume"
    assert "A^3" in result.errors[0]


def test_parameters_are_checked(batch):
    for thresholds in ([-0.1], [1.0], [np.nan]):
        with pytest.raises(BatchError, match="thresholds"):
            voronoi(batch, thresholds=thresholds)
    with pytest.raises(BatchError, match="sites has length 3"):
        voronoi(batch, np.ones(3, dtype=bool))
    with pytest.raises(BatchError, match="dtype"):
        voronoi(batch, np.ones(batch.n_sites))
