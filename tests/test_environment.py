"""Surroundings of an ion's sites, against distances worked out by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from pyhpc import CrystalBatch
from pyhpc.kernels import STATUS_NAMES, BatchError, ion_environments, neighbor_list
from tests.crystals import crystal, random_crystal, supercell
from tests.named_crystals import antifluorite, from_sites, metal, rock_salt, split_site

OXYGEN = np.zeros(118)
OXYGEN[7] = 2.6
ANIONS = np.isin(np.arange(118), [8 - 1, 16 - 1, 17 - 1])
FIELDS = ("amounts", "ion_distances", "anion_distances", "coordination_numbers")


def test_antifluorite():
    found = ion_environments(antifluorite(3, 8, 4.62), 3, OXYGEN, ANIONS)
    assert list(found.sites) == list(range(4, 12))
    np.testing.assert_allclose(found.ion_distances, 2.31, rtol=1e-12)
    np.testing.assert_allclose(found.anion_distances, 4.62 * 3**0.5 / 4, rtol=1e-12)
    np.testing.assert_array_equal(found.coordination_numbers, 4.0)
    np.testing.assert_array_equal(found.amounts, 1.0)


def test_bonds_are_shorter_than_the_cutoff_of_their_element():
    batch = rock_salt(3, 17, 5.13)
    chlorine = np.zeros(118)
    for cutoff, expected in ((2.5, 0), (2.6, 6), (4.5, 14)):
        chlorine[16] = cutoff
        found = ion_environments(batch, 3, chlorine, ANIONS)
        np.testing.assert_array_equal(found.coordination_numbers, expected)
        np.testing.assert_allclose(found.anion_distances, 2.565, rtol=1e-12)


def test_an_anion_counts_with_its_occupancy():
    sites = [([0, 0, 0], {3: 1.0}), ([0.4, 0, 0], {8: 0.75, 9: 0.25}), ([0, 0.45, 0], {8: 0.5})]
    found = ion_environments(from_sites(np.eye(3) * 5.0, sites), 3, OXYGEN, ANIONS)
    np.testing.assert_allclose(found.coordination_numbers, [0.75 + 0.5])


@pytest.mark.parametrize(
    ("element", "charge", "distance", "number"),
    [
        (16, np.nan, 2.0, 2),
        (16, -2.0, 2.0, 2),
        (16, 0.0, 2.0, 2),
        # The sulfur of a sulfate is no anion, the hydrogen of a hydride is one.
        (16, 6.0, 2.4, 1),
        (1, 1.0, 2.4, 1),
        (1, np.nan, 2.4, 1),
        (1, -1.0, 2.0, 2),
    ],
)
def test_the_charge_says_what_an_anion_is(element, charge, distance, number):
    # Something at 2.0 angstrom from lithium, oxygen at 2.4.
    frac = [[0, 0, 0], [0.2, 0, 0], [0, 0.24, 0]]
    cutoffs = OXYGEN.copy()
    cutoffs[element - 1] = 3.0
    batch = crystal(np.eye(3) * 10, frac, [3, element, 8], oxidation_states=[1.0, charge, -2.0])
    found = ion_environments(batch, 3, cutoffs, ANIONS)
    np.testing.assert_allclose(found.anion_distances, [distance])
    np.testing.assert_array_equal(found.coordination_numbers, [number])


def test_alternatives_of_a_split_site_are_no_neighbours():
    found = ion_environments(split_site(), 3, OXYGEN, ANIONS)
    # The nearest one that can be filled too is an image of the same half, a cell away, or of the
    # other half, 0.6 angstrom nearer.
    np.testing.assert_allclose(found.ion_distances, [5.4, 5.4], rtol=1e-12)
    np.testing.assert_array_equal(found.amounts, [0.5, 0.5])


def test_close_sites_that_are_full_together_are_neighbours():
    batch = split_site()
    full = CrystalBatch(
        **{
            name: getattr(batch, name)
            for name in batch.__dataclass_fields__
            if name != "occupancies"
        },
        occupancies=np.where(batch.atomic_numbers == 3, 0.8, batch.occupancies),
    )
    np.testing.assert_allclose(ion_environments(full, 3, OXYGEN, ANIONS).ion_distances, [0.6, 0.6])


@pytest.mark.parametrize(("edge", "expected"), [(8.0, 8.0), (19.0, 19.0), (21.0, np.nan)])
def test_lonely_ions_look_as_far_as_20_angstrom(edge, expected):
    batch = crystal(np.eye(3) * edge, [[0, 0, 0], [0.5, 0.5, 0.5]], [3, 8])
    found = ion_environments(batch, 3, OXYGEN, ANIONS)
    np.testing.assert_allclose(found.ion_distances, [expected])
    np.testing.assert_allclose(found.anion_distances, [edge * 3**0.5 / 2])


def test_no_anion_and_no_ion():
    found = ion_environments(metal(3, 3.5), 3, OXYGEN, ANIONS)
    assert np.isnan(found.anion_distances).all()
    np.testing.assert_array_equal(found.coordination_numbers, 0.0)
    np.testing.assert_allclose(found.ion_distances, 3.5 * 3**0.5 / 2)
    none = ion_environments(metal(26, 2.87), 3, OXYGEN, ANIONS)
    assert none.status[0] == 0
    assert len(none.sites) == 0


def test_agreement_with_the_neighbour_list(rng):
    for n_sites in (3, 8, 20):
        batch = random_crystal(rng, n_sites)
        numbers = rng.choice([3, 8, 26], size=n_sites)
        numbers[:2] = [3, 8]
        batch = crystal(batch.lattices[0], batch.frac_coords, numbers)
        found = ion_environments(batch, 3, OXYGEN, ANIONS)
        pairs = neighbor_list(batch, 20.0)
        for k, site in enumerate(found.sites):
            near = pairs.i == site
            species, distances = numbers[pairs.j[near]], pairs.distances[near]
            np.testing.assert_allclose(found.ion_distances[k], distances[species == 3].min())
            oxygens = distances[species == 8]
            np.testing.assert_allclose(found.anion_distances[k], oxygens.min())
            assert found.coordination_numbers[k] == (oxygens < 2.6).sum()


def test_a_supercell_has_the_same_surroundings(rng):
    batch = split_site()
    one = ion_environments(batch, 3, OXYGEN, ANIONS)
    many = ion_environments(supercell(batch, (2, 3, 1)), 3, OXYGEN, ANIONS)
    assert len(many.sites) == 6 * len(one.sites)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(many, name), np.tile(getattr(one, name), 6), atol=1e-12)


def test_threads_and_batches_do_not_change_a_bit(rng):
    crystals = [random_crystal(rng, n) for n in (5, 30, 2)]
    # Large enough to be treated in parallel within itself.
    crystals.append(supercell(antifluorite(3, 8, 4.62), (5, 5, 4)))
    crystals.append(split_site())
    batch = CrystalBatch.concatenate(crystals)
    one = ion_environments(batch, 3, OXYGEN, ANIONS, threads=1)
    four = ion_environments(batch, 3, OXYGEN, ANIONS, threads=4)
    alone = [ion_environments(part, 3, OXYGEN, ANIONS, threads=1) for part in crystals]
    for name in ("sites", *FIELDS):
        np.testing.assert_array_equal(getattr(one, name), getattr(four, name))
    for name in FIELDS:
        joined = np.concatenate([getattr(part, name) for part in alone])
        np.testing.assert_array_equal(getattr(one, name), joined)


def test_a_bad_crystal_does_not_fail_its_batch():
    bad = crystal(np.eye(3) * 4, [[np.nan, 0, 0]], [3])
    batch = CrystalBatch.concatenate([bad, antifluorite(3, 8, 4.62)])
    found = ion_environments(batch, 3, OXYGEN, ANIONS)
    assert [STATUS_NAMES[status] for status in found.status] == ["not_finite", "ok"]
    assert list(found.sites) == list(range(5, 13))


def test_a_crystal_of_absurd_density_is_refused(rng):
    batch = crystal(np.eye(3) * 0.5, rng.random((2000, 3)), np.full(2000, 3))
    found = ion_environments(batch, 3, OXYGEN, ANIONS)
    assert STATUS_NAMES[found.status[0]] == "too_many_pairs"


@pytest.mark.parametrize("cutoffs", [np.zeros(117), np.full(118, -1.0), np.full(118, np.nan)])
def test_wrong_cutoffs_are_refused(cutoffs):
    with pytest.raises(BatchError, match="bond_cutoffs"):
        ion_environments(metal(3, 3.5), 3, cutoffs, ANIONS)
