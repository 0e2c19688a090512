"""Bonds by distance: known crystals, a naive version, invariances, disorder, faults."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from pyhpc import CrystalBatch
from pyhpc.features.elements import property_values
from pyhpc.kernels import STATUS_NAMES, BatchError, bond_statistics, neighbor_list
from tests.crystals import FCC, crystal, random_crystal, random_ionic, supercell
from tests.named_crystals import from_sites, metal, split_site

RADII = property_values("covalent_radius") / 100
CHI = property_values("electronegativity")
STATISTICS = (
    *("coordination_numbers", "lengths", "relative_lengths", "angles"),
    "electronegativity_differences",
)
TOTALS = ("n_bonds", "unlike_fractions", "bond_orders")
CUBE = np.eye(3)
TETRAHEDRAL = np.degrees(np.arccos(-1 / 3))


def bonds(batch, radii=RADII, chi=CHI, **options):
    return bond_statistics(batch, radii, chi, **options)


def two(lattice, frac_coords, elements, charges):
    """Batch of one crystal of two elements that share the sites half and half."""
    n = len(frac_coords) // 2
    return crystal(
        lattice,
        frac_coords,
        np.repeat(elements, n),
        oxidation_states=np.repeat(np.asarray(charges, dtype=float), n),
    )


ROCK_SALT = two(5.64 * CUBE, np.vstack([FCC, FCC + 0.5]), (11, 17), (1, -1))
CAESIUM_CHLORIDE = two(4.12 * CUBE, [[0, 0, 0], [0.5, 0.5, 0.5]], (55, 17), (1, -1))
ZINC_BLENDE = two(5.41 * CUBE, np.vstack([FCC, FCC + 0.25]), (30, 16), (2, -2))
DIAMOND = two(3.567 * CUBE, np.vstack([FCC, FCC + 0.25]), (6, 6), (0, 0))
COPPER = crystal(3.615 * CUBE, FCC, [29] * 4)
MAGNESIUM = crystal(
    [[3.2, 0, 0], [-1.6, 1.6 * 3**0.5, 0], [0, 0, 3.2 * (8 / 3) ** 0.5]],
    [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
    [12, 12],
)
CUPRITE_LIKE_CHAIN = crystal(np.diag([3.6, 9, 9]), [[0, 0, 0], [0.5, 0, 0]], [29, 8])
PEROVSKITE = crystal(
    3.905 * CUBE,
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    [38, 22, 8, 8, 8],
    oxidation_states=[2, 4, -2, -2, -2],
)

KNOWN = {
    # Crystal, bonds of each site, shortest bond, all angles, bonds of different elements.
    "rock salt": (ROCK_SALT, {6}, 2.82, (90, 180), 1),
    "caesium chloride": (CAESIUM_CHLORIDE, {8}, 2.06 * 3**0.5, (70.528779, 109.471221, 180), 1),
    "zinc blende": (ZINC_BLENDE, {4}, 5.41 * 3**0.5 / 4, (TETRAHEDRAL,), 1),
    "diamond": (DIAMOND, {4}, 3.567 * 3**0.5 / 4, (TETRAHEDRAL,), 0),
    "copper": (COPPER, {12}, 3.615 / 2**0.5, (60, 90, 120, 180), 0),
    "magnesium": (MAGNESIUM, {12}, 3.2, (60, 90, 109.471221, 120, 146.442690, 180), 0),
    "iron": (metal(26, 2.87), {14}, 2.87 * 3**0.5 / 2, None, 0),
    "chain": (CUPRITE_LIKE_CHAIN, {2}, 1.8, (180,), 1),
    # Strontium has 12, titanium and oxygen 6.
    "perovskite": (PEROVSKITE, {6, 12}, 1.9525, (60, 90, 120, 180), 1),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_crystals(name):
    batch, numbers, shortest, angles, unlike = KNOWN[name]
    found = bonds(batch)
    assert found.status[0] == 0
    mean, deviation, least, most = found.coordination_numbers[0]
    assert {least, most} == {min(numbers), max(numbers)}
    assert (deviation < 1e-12) == (len(numbers) == 1)
    assert found.n_bonds[0] == pytest.approx(mean * batch.n_sites / 2)
    assert found.lengths[0, 2] == pytest.approx(shortest, rel=1e-12)
    assert found.unlike_fractions[0] == unlike
    if angles is not None:
        assert found.angles[0, 2:] == pytest.approx([min(angles), max(angles)], abs=1e-6)
        assert (found.angles[0, 1] < 1e-9) == (len(angles) == 1)


def test_body_centred_cubic_counts_both_shells():
    found = bonds(metal(26, 2.87))
    near, far = 2.87 * 3**0.5 / 2, 2.87
    mean = (8 * near + 6 * far) / 14
    deviation = ((8 * (near - mean) ** 2 + 6 * (far - mean) ** 2) / 14) ** 0.5
    np.testing.assert_allclose(found.lengths[0], [mean, deviation, near, far], rtol=1e-12)
    np.testing.assert_allclose(found.relative_lengths[0], found.lengths[0] / 2.64, rtol=1e-12)


def test_octahedral_angles():
    """Of the 15 pairs of bonds 12 are at right angles, 3 are opposite."""
    np.testing.assert_allclose(bonds(ROCK_SALT).angles[0], [108, 36, 90, 180], rtol=1e-12)


def test_bond_order_of_diamond():
    """Four bonds, twelve second and twelve third neighbours; the fourth are below a hundredth."""
    distances = 3.567 * np.array([3**0.5 / 4, 1 / 2**0.5, 11**0.5 / 4])
    orders = np.exp((1.52 - distances) / 0.37)
    expected = 8 / 2 * np.dot([4, 12, 12], orders)
    assert bonds(DIAMOND).bond_orders[0] == pytest.approx(expected, rel=1e-12)


def test_two_cations_do_not_bond():
    neutral = CAESIUM_CHLORIDE.with_oxidation_states([0.0, 0.0])
    unknown = CAESIUM_CHLORIDE.with_oxidation_states([np.nan, np.nan])
    # Caesium has 18 of its kind within 1.3 times its diameter.
    for batch in (neutral, unknown):
        found = bonds(batch)
        assert found.coordination_numbers[0, 3] == 26
        assert found.bond_orders[0] > 4 * bonds(CAESIUM_CHLORIDE).bond_orders[0]
    assert np.isnan(bonds(metal(11, 4.2).with_oxidation_states([1.0, 1.0])).lengths).all()


def test_anions_bond_where_they_touch_closely():
    """Oxygen at 1.45 angstrom is a peroxide, at 1.6 it is not, whatever is 1.3 times 1.32."""
    for gap, number in ((1.45, 1), (1.46, 0), (1.6, 0)):
        frac = [[0, 0, 0], [gap / 8, 0, 0], [0.5, 0.5, 0.5]]
        oxygens = crystal(8 * CUBE, frac, [8, 8, 10], oxidation_states=[-1.0, -1.0, 0.0])
        assert bonds(oxygens).n_bonds[0] == number
        assert bonds(oxygens.with_oxidation_states([0.0, 0.0, 0.0])).n_bonds[0] == 1
        assert bonds(oxygens, anion_factor=1.3).n_bonds[0] == 1


def test_the_factor_says_how_long_bonds_are():
    for factor, number in ((0.9, 0), (1.0, 8), (1.1, 14), (1.6, 26)):
        assert bonds(metal(26, 2.87), bond_factor=factor).coordination_numbers[0, 0] == number


def naive(batch, bond_factor=1.3, anion_factor=1.1):
    """The definition written down: from a list of all pairs, species by species."""
    n = batch.n_sites
    sites = batch.species_sites
    occupancies = np.bincount(sites, weights=batch.occupancies, minlength=n)
    shares = batch.occupancies / occupancies[sites]
    radii = np.bincount(sites, weights=shares * RADII[batch.atomic_numbers - 1], minlength=n)
    chi = np.bincount(sites, weights=shares * CHI[batch.atomic_numbers - 1], minlength=n)
    charges = np.bincount(sites, weights=shares * batch.oxidation_states, minlength=n)
    contents = np.zeros((n, 119))
    np.add.at(contents, (sites, batch.atomic_numbers), shares)
    pairs = neighbor_list(batch, 12.0)
    vectors = (
        batch.frac_coords[pairs.j] - batch.frac_coords[pairs.i] + pairs.shifts
    ) @ batch.lattices[0]

    def together(i, j, distance):
        """Whether both can be there: no hydrogen in these crystals."""
        one, other = occupancies[i], occupancies[j]
        return distance >= 1.0 or one >= 1 or other >= 1 or one + other > 1.01

    found = []
    order = 0.0
    for k, (i, j) in enumerate(zip(pairs.i, pairs.j, strict=True)):
        distance, sum_of_radii = pairs.distances[k], radii[i] + radii[j]
        if not together(i, j, distance) or (charges[i] > 0 and charges[j] > 0):
            continue
        if distance < sum_of_radii - 0.37 * np.log(0.01):
            weight = occupancies[i] * occupancies[j]
            order += 0.5 * weight * np.exp((sum_of_radii - distance) / 0.37)
        factor = anion_factor if charges[i] < 0 and charges[j] < 0 else bond_factor
        if distance < factor * sum_of_radii:
            found.append(k)
    i, j = pairs.i[found], pairs.j[found]
    distances, vectors = pairs.distances[found], vectors[found]
    weights = occupancies[i] * occupancies[j]
    angles, angle_weights = [], []
    for one, two in itertools.combinations(range(len(found)), 2):
        if i[one] == i[two]:
            apart = np.linalg.norm(vectors[one] - vectors[two])
            if together(j[one], j[two], apart):
                cosine = vectors[one] @ vectors[two] / (distances[one] * distances[two])
                angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
                angle_weights.append(weights[one] * occupancies[j[two]])
    numbers = np.bincount(i, weights=occupancies[j], minlength=n)
    unlike = 1 - (contents[i] * contents[j]).sum(axis=1)
    return {
        "coordination_numbers": moments(numbers, occupancies),
        "lengths": moments(distances, weights),
        "relative_lengths": moments(distances / (radii[i] + radii[j]), weights),
        "angles": moments(np.array(angles), np.array(angle_weights)),
        "electronegativity_differences": moments(np.abs(chi[i] - chi[j]), weights),
        "n_bonds": weights.sum() / 2,
        "unlike_fractions": (weights * unlike).sum() / weights.sum(),
        "bond_orders": order,
    }


def moments(values, weights):
    mean = np.average(values, weights=weights)
    deviation = np.average((values - mean) ** 2, weights=weights) ** 0.5
    return [mean, deviation, values.min(), values.max()]


def disordered(rng, n_sites):
    """Sites of one or two species, full or not, of charges of either sign, some of them split."""
    lattice = random_ionic(rng, n_sites).lattices[0]
    frac = rng.uniform(size=(n_sites, 3))
    sites = []
    for k, place in enumerate(frac):
        first, second = rng.choice([3, 8, 13, 16, 26, 40, 57], size=2, replace=False)
        filled = rng.choice([1.0, 0.5, 0.4])
        content = {first: filled} if k % 3 else {first: 0.75 * filled, second: 0.25 * filled}
        sites.append((place, {int(z): float(share) for z, share in content.items()}))
        if filled < 1:
            away = 0.5 * rng.normal(size=3) / np.linalg.norm(lattice, axis=1)
            sites.append((place + away, {3: 0.5}))
    batch = from_sites(lattice, sites)
    charges = np.repeat(
        rng.choice([-2.0, 0.0, 1.0, 3.0], size=len(sites)), [len(c) for _, c in sites]
    )
    return batch.with_oxidation_states(charges)


@pytest.mark.parametrize("seed", range(8))
def test_same_as_the_naive_version(seed):
    rng = np.random.default_rng(seed)
    batch = disordered(rng, 2 + seed)
    found, expected = bonds(batch), naive(batch)
    for name in (*STATISTICS, *TOTALS):
        np.testing.assert_allclose(
            getattr(found, name)[0], expected[name], rtol=1e-9, atol=1e-6, err_msg=name
        )


def assert_same(found, expected, rtol=1e-9, **factors):
    for name in (*STATISTICS, *TOTALS):
        np.testing.assert_allclose(
            getattr(found, name),
            factors.get(name, 1) * getattr(expected, name),
            rtol=rtol,
            atol=1e-9,
            err_msg=name,
        )


@pytest.fixture
def batch(rng):
    """Crystals of several sizes, ordered and not."""
    return CrystalBatch.concatenate([disordered(rng, n) for n in (2, 5, 12)] + [ROCK_SALT])


def test_translation_rotation_and_wrapping_change_nothing(batch, rng):
    expected = bonds(batch)
    shift = rng.normal(size=(len(batch), 3))[batch.site_crystals]
    assert_same(bonds(replace(batch, frac_coords=batch.frac_coords + shift)), expected)
    assert_same(bonds(replace(batch, frac_coords=batch.frac_coords % 1)), expected)
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert_same(bonds(replace(batch, lattices=batch.lattices @ turned)), expected)


def test_permutation_changes_nothing(rng):
    batch = random_crystal(rng, 20)
    order = rng.permutation(20)
    permuted = replace(
        batch, frac_coords=batch.frac_coords[order], atomic_numbers=batch.atomic_numbers[order]
    )
    assert_same(bonds(permuted), bonds(batch))


def test_a_supercell_has_the_same_bonds(batch):
    found = bonds(supercell(batch, (2, 1, 3)))
    assert_same(found, bonds(batch), n_bonds=6, bond_orders=6)


def test_another_basis_of_the_same_lattice_changes_nothing(rng):
    batch = random_crystal(rng, 6)
    basis = np.array([[1, 3, -2], [0, 1, 4], [0, 0, 1]])
    skewed = replace(
        batch,
        lattices=basis @ batch.lattices,
        frac_coords=batch.frac_coords @ np.linalg.inv(basis),
    )
    assert_same(bonds(skewed), bonds(batch))


def assert_identical(first, second, rows=slice(None)):
    for name in ("status", *STATISTICS, *TOTALS):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name)[rows])


def test_threads_and_batches_do_not_change_a_bit(batch, rng):
    large = supercell(disordered(rng, 8), 6)
    assert large.n_sites > 1024
    together = CrystalBatch.concatenate([batch, large])
    one = bonds(together, threads=1)
    assert_identical(bonds(together, threads=3), one)
    for k in range(len(together)):
        assert_identical(bonds(together.select([k])), one, slice(k, k + 1))


def test_sites_that_are_the_same_by_symmetry_are_computed_once(rng):
    """The second half of the crystal is the first one inverted."""
    half = rng.uniform(size=(6, 3))
    batch = crystal(6 * CUBE + rng.normal(size=(3, 3)), np.concatenate([half, -half]), [8, 26] * 6)
    orbits = batch.with_asymmetric_index(np.tile(np.arange(6), 2))
    assert_same(bonds(orbits), bonds(batch))
    # Charges that tell the sites of an orbit apart undo it.
    charges = np.where(np.arange(12) < 6, 0.0, -1.0)
    assert_same(
        bonds(orbits.with_oxidation_states(charges)), bonds(batch.with_oxidation_states(charges))
    )


def test_alternatives_of_a_split_site_are_not_bonded_and_form_no_angle():
    found = bonds(split_site())
    half = 0.3 / 6
    # Either half of the lithium to oxygen, 2 angstrom above: no angle at oxygen between the halves.
    length = np.hypot(2.0, 0.3)
    assert found.lengths[0] == pytest.approx([length, 0, length, length], abs=1e-12)
    assert found.n_bonds[0] == pytest.approx(1.0)
    assert np.isnan(found.angles).all()
    whole = from_sites(
        6 * CUBE,
        [
            ([0.5 - half, 0.5, 0.5], {3: 0.9}),
            ([0.5 + half, 0.5, 0.5], {3: 0.9}),
            ([0.5, 0.5, 0.5 + 2.0 / 6.0], {8: 1.0}),
        ],
    )
    assert bonds(whole).lengths[0, 2] == pytest.approx(0.6)
    assert bonds(whole).angles[0, 2] == pytest.approx(2 * np.degrees(np.arctan(0.15)))


def test_mixed_sites_count_as_their_mean():
    mixed = from_sites(
        4.2 * CUBE, [([0, 0, 0], {12: 0.75, 26: 0.25}), ([0.5, 0, 0], {8: 0.6, 7: 0.4})]
    )
    found = bonds(mixed, bond_factor=1.15)
    radius = 0.75 * RADII[11] + 0.25 * RADII[25] + 0.6 * RADII[7] + 0.4 * RADII[6]
    chi = 0.75 * CHI[11] + 0.25 * CHI[25] - 0.6 * CHI[7] - 0.4 * CHI[6]
    assert found.coordination_numbers[0] == pytest.approx([2, 0, 2, 2])
    assert found.relative_lengths[0, 0] == pytest.approx(2.1 / radius)
    assert found.electronegativity_differences[0, 0] == pytest.approx(abs(chi))
    assert found.unlike_fractions[0] == pytest.approx(1)
    alloy = from_sites(2.87 * CUBE, [(frac, {26: 0.5, 27: 0.5}) for frac in ([0] * 3, [0.5] * 3)])
    assert bonds(alloy).unlike_fractions[0] == pytest.approx(0.5)


def test_empty_sites_are_none():
    content = [([0, 0, 0], {26: 1.0}), ([0.5, 0.5, 0.5], {26: 0.0})]
    found = bonds(from_sites(2.87 * CUBE, content))
    assert found.coordination_numbers[0] == pytest.approx([6, 0, 6, 6])
    assert found.n_bonds[0] == 3


def test_nothing_within_the_length_of_a_bond():
    found = bonds(crystal(9 * CUBE, [[0, 0, 0]], [18]))
    assert found.status[0] == 0
    np.testing.assert_array_equal(found.coordination_numbers, 0)
    assert found.n_bonds[0] == found.bond_orders[0] == 0
    for name in STATISTICS[1:]:
        assert np.isnan(getattr(found, name)).all()
    assert np.isnan(found.unlike_fractions[0])


def test_crowds_of_bonds_form_no_angles(rng):
    frac = rng.uniform(size=(400, 3))
    found = bonds(crystal(3 * CUBE, frac, [26] * 400))
    assert found.coordination_numbers[0, 2] > 256
    assert np.isnan(found.angles).all()
    assert np.isfinite(found.lengths).all()


def test_an_electronegativity_that_is_unknown_makes_differences_unknown():
    found = bonds(crystal(2.7 * CUBE, [[0, 0, 0], [0.5, 0.5, 0.5]], [10, 26]))
    assert np.isnan(found.electronegativity_differences).all()
    assert np.isfinite(found.lengths).all()


def test_a_crystal_that_fails_leaves_the_others_alone(rng):
    crystals = [
        crystal(4 * CUBE, [[np.nan, 0, 0]], [3]),
        crystal(4 * CUBE, [[0, 0, 0]], [118]),
        crystal(0.5 * CUBE, rng.random((3000, 3)), np.full(3000, 55)),
        ROCK_SALT,
    ]
    found = bonds(CrystalBatch.concatenate(crystals))
    names = [STATUS_NAMES[status] for status in found.status]
    assert names == ["not_finite", "missing_radius", "too_many_pairs", "ok"]
    assert found.errors[1] == "no radius of Og is known"
    assert np.isnan(found.n_bonds[:3]).all()
    assert_identical(bonds(ROCK_SALT), found, slice(3, 4))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"radii": RADII[:100]}, "radii has length 100"),
        ({"chi": CHI[:3]}, "electronegativities has length 3"),
        ({"radii": np.zeros(118)}, "radii = 0"),
        ({"radii": np.full(118, 7.0)}, "radii = 7"),
        ({"bond_factor": -1.0}, "bond_factor = -1"),
        ({"anion_factor": np.nan}, "anion_factor = NaN"),
    ],
)
def test_parameters_are_checked(wrong, message):
    with pytest.raises(BatchError, match=message):
        bonds(ROCK_SALT, **wrong)
