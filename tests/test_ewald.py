"""Ewald sums: Madelung constants, an oracle, symmetries of the energy, error bounds, pymatgen."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import tarfile
import warnings

import gemmi
import numpy as np
import pytest

from pyhpc import CrystalBatch
from pyhpc.kernels import COULOMB_CONSTANT, STATUS_NAMES, BatchError, ewald_site_energies
from tests.crystals import FCC, ionic, random_ionic, random_lattice, rock_salt, supercell

FCC_PRIMITIVE = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
BCC_PRIMITIVE = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]])
HEXAGONAL = np.array([[1, 0, 0], [-0.5, math.sqrt(0.75), 0], [0, 0, math.sqrt(8 / 3)]])
QUARTERS = np.array(list(itertools.product([0.25, 0.75], repeat=3)))


def naive_site_energies(batch, alpha, n_real, n_reciprocal):
    """Ewald sum of one crystal by its formula, over boxes of images and waves, site by site."""
    lattice, frac = batch.lattices[0], batch.frac_coords
    charges, volume = batch.oxidation_states, abs(np.linalg.det(batch.lattices[0]))

    def box(n):
        return np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)

    potentials = -2 * alpha / math.sqrt(math.pi) * charges
    potentials -= math.pi / (volume * alpha**2) * charges.sum()
    erfc = np.vectorize(math.erfc)
    for i, j in itertools.product(range(len(frac)), repeat=2):
        delta = frac[j] - frac[i]
        vectors = (delta - np.round(delta) + box(n_real)) @ lattice
        distances = np.linalg.norm(vectors, axis=1)
        distances = distances[(distances > 1e-9) & (alpha * distances < 7)]
        potentials[i] += charges[j] * (erfc(alpha * distances) / distances).sum()
    indices = box(n_reciprocal)
    waves = 2 * math.pi * indices[np.any(indices != 0, axis=1)] @ np.linalg.inv(lattice).T
    phases = np.exp(1j * waves @ (frac @ lattice).T)
    squared = (waves**2).sum(1)
    weights = 4 * math.pi / volume * np.exp(-squared / (4 * alpha**2)) / squared
    potentials += np.real((weights * (phases @ charges).conj()) @ phases)
    return 0.5 * COULOMB_CONSTANT * charges * potentials


# Energy per formula unit is -M k_e / d. Constants of rock salt, CsCl and zincblende: R. E. Crandall
# and J. P. Buhler, J. Phys. A 20, 5497 (1987), doi:10.1088/0305-4470/20/16/024 (unit charges,
# d the nearest distance). Wurtzite with c/a = sqrt(8/3), u = 3/8. Fluorite (charges 2, -1) and Cu2O
# (charges 1, -2) for d = the cubic edge: Y. Sakamoto, J. Chem. Phys. 28, 164 (1958),
# doi:10.1063/1.1744060; 11.636575 is 5.038785 for the nearest distance, or 2.519392 for the
# product of charges taken off.
MADELUNG = {
    "rock salt": (np.eye(3), np.vstack([FCC, FCC + 0.5]), [1] * 4 + [-1] * 4, 4, 0.5, 1.7475645946),
    "rock salt, primitive": (
        FCC_PRIMITIVE,
        [[0, 0, 0], [0.5, 0.5, 0.5]],
        [1, -1],
        1,
        0.5,
        1.7475645946,
    ),
    "CsCl": (
        np.eye(3),
        [[0, 0, 0], [0.5, 0.5, 0.5]],
        [1, -1],
        1,
        math.sqrt(0.75),
        1.7626747731,
    ),
    "zincblende": (
        np.eye(3),
        np.vstack([FCC, FCC + 0.25]),
        [1] * 4 + [-1] * 4,
        4,
        math.sqrt(3) / 4,
        1.6380550534,
    ),
    "zincblende, primitive": (
        FCC_PRIMITIVE,
        [[0, 0, 0], [0.25, 0.25, 0.25]],
        [1, -1],
        1,
        math.sqrt(3) / 4,
        1.6380550534,
    ),
    "wurtzite": (
        HEXAGONAL,
        [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.375], [2 / 3, 1 / 3, 0.875]],
        [1, 1, -1, -1],
        2,
        math.sqrt(3 / 8),
        1.6413216273,
    ),
    "fluorite": (np.eye(3), np.vstack([FCC, QUARTERS]), [2] * 4 + [-1] * 8, 4, 1.0, 11.6365752270),
    "fluorite, primitive": (
        FCC_PRIMITIVE,
        [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]],
        [2, -1, -1],
        1,
        1.0,
        11.6365752270,
    ),
    "Cu2O": (
        np.eye(3),
        np.vstack([[[0, 0, 0], [0.5, 0.5, 0.5]], FCC + 0.25]),
        [-2] * 2 + [1] * 4,
        2,
        1.0,
        10.2594570331,
    ),
}


@pytest.mark.parametrize("scale", [0.7, 4.2, 60.0])
@pytest.mark.parametrize("name", MADELUNG)
def test_madelung_constants(name, scale):
    lattice, frac_coords, charges, n_formula, distance, constant = MADELUNG[name]
    batch = ionic(np.array(lattice) * scale, np.array(frac_coords), np.array(charges, float))
    result = ewald_site_energies(batch, 1e-12)
    found = -result.total_energies[0] / n_formula * distance * scale / COULOMB_CONSTANT
    assert found == pytest.approx(constant, rel=1e-10)


# Energy per charge is -A k_e / r_s, r_s the radius of the sphere of a charge's volume: R. A.
# Coldwell-Horsfall and A. A. Maradudin, J. Math. Phys. 1, 395 (1960), doi:10.1063/1.1703670
# (1.76011888, 1.79185851 and 1.79174723 Ry). The cubic box of edge L is -2.837297 k_e / (2 L).
@pytest.mark.parametrize("scale", [0.9, 3.0, 25.0])
@pytest.mark.parametrize(
    ("lattice", "frac_coords", "constant"),
    [
        (np.eye(3), [[0, 0, 0]], 1.760118884 / 2),
        (BCC_PRIMITIVE, [[0.3, 0, 0.9]], 1.791858511 / 2),
        (np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], 1.791858511 / 2),
        (FCC_PRIMITIVE, [[0.1, 0.2, 0.3]], 1.791747230 / 2),
        (np.eye(3), FCC, 1.791747230 / 2),
    ],
)
def test_wigner_crystals(lattice, frac_coords, constant, scale):
    n = len(frac_coords)
    batch = ionic(lattice * scale, frac_coords, np.ones(n))
    result = ewald_site_energies(batch, 1e-12)
    radius = (3 * scale**3 * np.linalg.det(lattice) / (4 * math.pi * n)) ** (1 / 3)
    expected = -constant * COULOMB_CONSTANT / radius
    assert result.site_energies == pytest.approx(np.full(n, expected), rel=2e-9)
    assert result.net_charges[0] == n
    if n == 1 and np.array_equal(lattice, np.eye(3)):
        in_a_box = -2.837297479 * COULOMB_CONSTANT / (2 * scale)
        assert result.total_energies[0] == pytest.approx(in_a_box, rel=1e-9)


def test_coulomb_constant():
    from scipy import constants

    exact = constants.e / (4 * math.pi * constants.epsilon_0) * 1e10
    # 1e-9 is what the vacuum permittivity changed by between the CODATA sets of 2018 and 2022.
    assert pytest.approx(exact, rel=1e-9) == COULOMB_CONSTANT


@pytest.mark.parametrize("neutral", [True, False])
def test_agrees_with_the_formula(rng, neutral):
    for n_sites in (1, 2, 5, 8):
        lattice = random_lattice(rng, edge=(4.0, 6.0), skew=0.2)
        batch = random_ionic(rng, n_sites, neutral=neutral, lattice=lattice)
        if not np.any(batch.oxidation_states):
            continue
        expected = naive_site_energies(batch, 0.7, 7, 12)
        result = ewald_site_energies(batch, 1e-12)
        assert result.site_energies == pytest.approx(expected, rel=1e-11, abs=1e-10)
        assert result.total_energies[0] == pytest.approx(expected.sum(), rel=1e-11, abs=1e-10)


@pytest.mark.parametrize("neutral", [True, False])
def test_does_not_depend_on_alpha(rng, neutral):
    batch = random_ionic(rng, 20, neutral=neutral)
    reference = ewald_site_energies(batch, 1e-13)
    for alpha in (0.15, 0.3, 0.6, 1.2):
        result = ewald_site_energies(batch, 1e-12, alpha=alpha, parts=True)
        tolerance = result.error_bounds[0] + reference.error_bounds[0]
        assert np.abs(result.site_energies - reference.site_energies).max() <= tolerance
        # The parts do, so that the agreement says something.
        assert np.abs(result.self_energies - reference.site_energies).max() > 1
        assert (np.abs(result.background_energies).max() > 1e-3) != neutral


def test_parts_sum_to_the_site_energies(rng):
    batch = random_ionic(rng, 12, neutral=False)
    result = ewald_site_energies(batch, parts=True)
    names = ("real", "reciprocal", "self", "background")
    parts = [getattr(result, f"{name}_energies") for name in names]
    assert np.array_equal(sum(parts), result.site_energies)
    assert ewald_site_energies(batch).real_energies is None


def test_how_the_sum_was_cut(rng):
    batch = CrystalBatch.concatenate(
        [random_ionic(rng, 12), ionic(np.eye(3) * 4, FCC, np.zeros(4))]
    )
    waves = ewald_site_energies(batch, 1e-8, alpha=0.4, method="direct")
    assert waves.alphas[0] == 0.4
    # The Gaussian about as wide as the window is sqrt(beta / 2) / r_cut, and the transform of the
    # window falls to about exp(-beta) at the last wave, a little beyond beta / r_cut.
    beta = 2 * (0.4 * waves.real_cutoffs[0]) ** 2
    assert 1e-14 < math.exp(-beta) < 1e-8
    assert 0 < waves.reciprocal_cutoffs[0] * waves.real_cutoffs[0] - beta < 1
    assert np.array_equal(waves.mesh_sizes, np.zeros((2, 3)))
    assert np.all(np.isnan([waves.alphas[1], waves.real_cutoffs[1], waves.reciprocal_cutoffs[1]]))
    mesh = ewald_site_energies(batch, 1e-8, method="mesh")
    assert np.all(mesh.mesh_sizes[0] > 1)
    assert np.array_equal(mesh.mesh_sizes[1], [0, 0, 0])


def test_motions_of_the_crystal(rng):
    batch = random_ionic(rng, 15, neutral=False)
    result = ewald_site_energies(batch, 1e-12)

    def energies(**changes):
        return ewald_site_energies(dataclasses.replace(batch, **changes), 1e-12)

    def agree(found, expected=result.site_energies):
        assert found == pytest.approx(expected, abs=2 * result.error_bounds[0])

    agree(energies(frac_coords=batch.frac_coords + rng.normal(size=3)).site_energies)
    shifts = rng.integers(-30, 30, size=(15, 3))
    agree(energies(frac_coords=batch.frac_coords + shifts).site_energies)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    agree(energies(lattices=batch.lattices @ rotation).site_energies)
    other_basis = np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]])
    changed = energies(
        lattices=other_basis @ batch.lattices,
        frac_coords=batch.frac_coords @ np.linalg.inv(other_basis),
    )
    agree(changed.site_energies)
    order = rng.permutation(15)
    permuted = energies(
        frac_coords=batch.frac_coords[order], oxidation_states=batch.oxidation_states[order]
    )
    agree(permuted.site_energies, result.site_energies[order])
    scaled = energies(lattices=batch.lattices * 7.3)
    assert scaled.site_energies * 7.3 == pytest.approx(result.site_energies, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("neutral", [True, False])
def test_supercells(rng, neutral):
    batch = random_ionic(rng, 5, neutral=neutral)
    single = ewald_site_energies(batch, 1e-11)
    # The last is large enough to be worked on by several threads.
    for repeats in ((2, 1, 1), (1, 3, 2), (6, 6, 6)):
        repeated = ewald_site_energies(supercell(batch, repeats), 1e-11)
        n_cells = math.prod(repeats)
        tolerance = single.error_bounds[0] + repeated.error_bounds[0]
        tiled = np.tile(single.site_energies, n_cells)
        assert np.abs(repeated.site_energies - tiled).max() <= tolerance
        assert repeated.total_energies == pytest.approx(
            single.total_energies * n_cells, abs=tolerance * 5 * n_cells
        )


@pytest.mark.parametrize("method", ["direct", "mesh"])
def test_threads_and_batches_change_no_bit(rng, method):
    large = supercell(random_ionic(rng, 11), (5, 5, 4))
    crystals = [random_ionic(rng, n, neutral=n % 2 == 0) for n in (3, 8, 40, 1, 17)] + [large]
    batch = CrystalBatch.concatenate(crystals)
    one = ewald_site_energies(batch, parts=True, threads=1, method=method)
    many = ewald_site_energies(batch, parts=True, threads=4, method=method)
    for field in dataclasses.fields(one):
        if field.name != "errors":
            assert np.array_equal(getattr(one, field.name), getattr(many, field.name)), field.name
    alone = [ewald_site_energies(single, threads=3, method=method) for single in crystals]
    for name in ("site_energies", "total_energies", "error_bounds", "net_charges"):
        joined = np.concatenate([getattr(result, name) for result in alone])
        assert np.array_equal(getattr(one, name), joined), name


def test_disordered_sites_carry_their_mean_charge(rng):
    ordered = random_ionic(rng, 6)
    weights = rng.uniform(0.1, 0.9, size=6)
    charges = ordered.oxidation_states
    # Half of the charge on one species, the rest on another, at different occupancies.
    split = CrystalBatch(
        ids=["split"],
        lattices=ordered.lattices,
        site_offsets=[0, 6],
        frac_coords=ordered.frac_coords,
        species_offsets=np.arange(7) * 2,
        atomic_numbers=np.tile([3, 8], 6),
        occupancies=np.stack([weights, 1 - weights], 1).ravel(),
        oxidation_states=np.stack([charges / 2 / weights, charges / 2 / (1 - weights)], 1).ravel(),
        asymmetric_index=np.full(6, -1),
    )
    expected = ewald_site_energies(ordered).site_energies
    assert ewald_site_energies(split).site_energies == pytest.approx(expected, rel=1e-12)


def test_alternatives_close_to_one_another_stay_in_the_sum():
    lattice = np.eye(3) * 5.0
    frac = np.array([[0, 0, 0], [0.06, 0, 0], [0.5, 0.5, 0.5]])
    batch = ionic(lattice, frac, [0.5, 0.5, -1.0])
    result = ewald_site_energies(batch, 1e-12)
    assert result.site_energies == pytest.approx(naive_site_energies(batch, 0.7, 4, 10), abs=1e-9)
    assert result.site_energies[0] > 0  # 0.25 e^2 at 0.3 A outweighs the rest.


def orbits(batch, index):
    return dataclasses.replace(batch, asymmetric_index=np.asarray(index, dtype=np.int32))


def test_sites_that_are_the_same_by_symmetry(rng):
    # Three general positions of P432, whose rotations are the signed permutations.
    operators = [
        np.array(
            [[sign * (k == p) for k in range(3)] for sign, p in zip(signs, order, strict=True)]
        )
        for order in itertools.permutations(range(3))
        for signs in itertools.product([1, -1], repeat=3)
    ]
    operators = [w for w in operators if round(np.linalg.det(w)) == 1]
    generators = np.array([[0.11, 0.23, 0.31], [0.41, 0.07, 0.19], [0.02, 0.34, 0.45]])
    frac = np.concatenate([generators @ w.T for w in operators])
    charges = np.tile([2.0, -1.0, -1.0], len(operators))
    batch = ionic(np.eye(3) * 11.0, frac, charges)
    labelled = orbits(batch, np.tile([0, 1, 2], len(operators)))
    full = ewald_site_energies(batch, 1e-11)
    reduced = ewald_site_energies(labelled, 1e-11)
    tolerance = full.error_bounds[0] + reduced.error_bounds[0]
    assert np.abs(full.site_energies - reduced.site_energies).max() <= tolerance
    by_orbit = reduced.site_energies.reshape(-1, 3)
    assert np.array_equal(by_orbit, np.broadcast_to(by_orbit[0], by_orbit.shape))
    # The labels alone say what is the same: a wrong one gives one energy to both sites.
    wrong = np.arange(len(frac))
    wrong[2] = 1
    trusted = ewald_site_energies(orbits(batch, wrong)).site_energies
    assert trusted[2] == trusted[1]
    assert abs(full.site_energies[2] - full.site_energies[1]) > 0.01
    # Charges that break the symmetry switch it off for all sites, also those with equal charges.
    broken = charges.copy()
    broken[0] = 3.0
    uneven = ionic(np.eye(3) * 11, frac, broken)
    expected = ewald_site_energies(uneven, 1e-11).site_energies
    found = ewald_site_energies(orbits(uneven, labelled.asymmetric_index), 1e-11).site_energies
    assert np.array_equal(found, expected)


def status_name(result, k=0):
    return STATUS_NAMES[int(result.status[k])]


def test_neutral_atoms_have_no_energy():
    result = ewald_site_energies(ionic(np.eye(3) * 4, FCC, np.zeros(4)), parts=True)
    assert status_name(result) == "ok"
    assert np.array_equal(result.site_energies, np.zeros(4))
    assert np.array_equal(result.real_energies, np.zeros(4))
    assert result.total_energies[0] == result.error_bounds[0] == result.net_charges[0] == 0


def test_uncharged_sites_do_not_matter(rng):
    batch = random_ionic(rng, 7)
    charges = np.concatenate([batch.oxidation_states, [0, 0]])
    frac = np.vstack([batch.frac_coords, batch.frac_coords[:1], [[0.3, 0.3, 0.3]]])
    result = ewald_site_energies(ionic(batch.lattices[0], frac, charges))
    assert status_name(result) == "ok"
    assert np.array_equal(result.site_energies[7:], [0, 0])
    expected = ewald_site_energies(batch).site_energies
    assert result.site_energies[:7] == pytest.approx(expected, rel=1e-12)


def test_faults_of_one_crystal_leave_the_others_alone():
    good = rock_salt()
    unknown = good.with_oxidation_states([1, 1, 1, 1, -1, np.nan, -1, -1])
    infinite = good.with_oxidation_states([1, 1, 1, 1, -1, np.inf, -1, -1])
    coincident = ionic(np.eye(3) * 4, [[0, 0, 0], [0.5, 0.5, 0.5], [1.0, 1e-3, -1.0]], [2, -1, -1])
    slab = dataclasses.replace(good, pbc=[True, True, False])
    batch = CrystalBatch.concatenate([unknown, good, coincident, slab, infinite])
    result = ewald_site_energies(batch, parts=True)
    assert [status_name(result, k) for k in range(5)] == [
        "missing_oxidation_states",
        "ok",
        "coincident_sites",
        "not_periodic",
        "not_finite",
    ]
    expected = ewald_site_energies(good)
    sites = slice(*batch.site_offsets[1:3])
    assert np.array_equal(result.site_energies[sites], expected.site_energies)
    assert np.array_equal(result.total_energies[1], expected.total_energies[0])
    others = np.delete(result.site_energies, np.arange(sites.start, sites.stop))
    assert np.all(np.isnan(others))
    assert np.all(np.isnan(result.error_bounds[[0, 2, 3, 4]]))
    assert "site 5" in result.errors[0]
    assert "0 and 2 are 4.00e-3 A apart" in result.errors[2]
    assert "[true, true, false]" in result.errors[3]


def test_coincident_sites_by_their_labels_are_found_too():
    frac = [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1005], [0.9, 0.9, 0.9], [0.9, 0.9, 0.8995]]
    batch = orbits(ionic(np.eye(3) * 5, frac, [1.0, -1, 1, -1]), [0, 1, 0, 1])
    assert status_name(ewald_site_energies(batch)) == "coincident_sites"


@pytest.mark.parametrize("alpha", [1e-4, 1e4])
def test_absurd_alpha_is_refused_before_the_work(alpha):
    result = ewald_site_energies(rock_salt(), alpha=alpha)
    assert status_name(result) == "too_many_ewald_terms"


@pytest.mark.parametrize(
    "options",
    [{"accuracy": 0.0}, {"accuracy": 1e-15}, {"accuracy": 0.5}, {"accuracy": math.nan}]
    + [{"alpha": alpha} for alpha in (0.0, -1.0, math.inf, math.nan)],
)
def test_senseless_parameters(options):
    with pytest.raises(BatchError, match=next(iter(options))):
        ewald_site_energies(rock_salt(), **options)


def test_unknown_method():
    with pytest.raises(ValueError, match="'auto', 'direct' or 'mesh', not \"fast\""):
        ewald_site_energies(rock_salt(), method="fast")


def pymatgen_energies(structure):
    """Site and total energies by pymatgen, converged to about 1e-12."""
    from pymatgen.analysis.ewald import EwaldSummation

    ewald = EwaldSummation(structure, acc_factor=12)
    return [ewald.get_site_energy(k) for k in range(len(structure))], ewald.total_energy


def batch_of_structure(structure):
    """Batch of one pymatgen structure with oxidation states."""
    entries = [list(site.species.items()) for site in structure]
    species = list(itertools.chain.from_iterable(entries))
    return CrystalBatch(
        ids=["pymatgen"],
        lattices=structure.lattice.matrix[None],
        site_offsets=[0, len(structure)],
        frac_coords=structure.frac_coords,
        species_offsets=np.concatenate([[0], np.cumsum([len(entry) for entry in entries])]),
        atomic_numbers=[specie.Z for specie, _ in species],
        occupancies=[occupancy for _, occupancy in species],
        oxidation_states=[specie.oxi_state for specie, _ in species],
        asymmetric_index=np.full(len(structure), -1),
    )


def charge_sites(rng, structure):
    """Give every species of every site an arbitrary charge, such that the cell is neutral."""
    from pymatgen.core import Species, Structure

    sites = []
    for site in structure:
        charges = rng.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0], size=len(site.species))
        sites.append(
            [
                (el.symbol, occ, q)
                for (el, occ), q in zip(site.species.items(), charges, strict=True)
            ]
        )
    occupancy = sum(occ for entries in sites for _, occ, _ in entries)
    excess = sum(occ * q for entries in sites for _, occ, q in entries) / occupancy
    species = [{Species(el, q - excess): occ for el, occ, q in entries} for entries in sites]
    return Structure(structure.lattice, species, structure.frac_coords)


def worst_deviation(structures):
    """Largest deviation from pymatgen's site energies, relative to the largest of its crystal."""
    result = ewald_site_energies(
        CrystalBatch.concatenate([batch_of_structure(structure) for structure in structures]), 1e-10
    )
    assert not np.any(result.status)
    worst = 0.0
    start = 0
    for structure, total in zip(structures, result.total_energies, strict=True):
        expected, expected_total = pymatgen_energies(structure)
        found = result.site_energies[start : start + len(structure)]
        start += len(structure)
        worst = max(worst, np.abs(found - expected).max() / np.abs(expected).max())
        assert total == pytest.approx(expected_total, rel=1e-6, abs=1e-6)
    return worst


def test_agrees_with_pymatgen_on_crystals_made_here(rng):
    from pymatgen.core import Lattice, Structure

    structures = []
    for n_sites in (2, 5, 11, 20):
        batch = random_ionic(rng, n_sites)
        structure = Structure(Lattice(batch.lattices[0]), ["Na"] * n_sites, batch.frac_coords)
        structure.replace(0, {"Na": 0.3, "K": 0.4})
        structures.append(charge_sites(rng, structure))
    assert worst_deviation(structures) < 1e-9


def test_charged_total_agrees_with_pymatgen(rng):
    from pymatgen.core import Lattice, Species, Structure

    batch = random_ionic(rng, 6)
    species = [Species("Na", charge) for charge in (1, 2, -1, 3, 1, 1)]
    structure = Structure(Lattice(batch.lattices[0]), species, batch.frac_coords)
    result = ewald_site_energies(batch_of_structure(structure), 1e-10)
    assert result.net_charges[0] == 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the structure is charged
        total = pymatgen_energies(structure)[1]
    assert result.total_energies[0] == pytest.approx(total, rel=1e-8)


def archived(path, accept, limit):
    """Texts of the members of a tar file that a function accepts, up to a limit."""
    found = 0
    with tarfile.open(path) as archive:
        for member in archive:
            if not member.name.endswith(".cif"):
                continue
            text = archive.extractfile(member).read().decode()
            if accept(text):
                yield text
                found += 1
            if found == limit:
                return


def test_agrees_with_pymatgen_on_materials_project_crystals(rng, shared_data):
    from pymatgen.core import Lattice, Structure

    path = shared_data("mp/mp_cifs_a.tar.gz")
    structures = []
    for text in archived(path, lambda text: text.count("\n") < 66, 300):
        small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
        cell = small.cell
        lattice = Lattice.from_parameters(cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma)
        elements = [site.element.name for site in small.sites]
        frac = [site.fract.tolist() for site in small.sites]
        structures.append(charge_sites(rng, Structure(lattice, elements, frac)))
    assert len(structures) == 300
    assert worst_deviation(structures) < 1e-6


@pytest.mark.filterwarnings("ignore")  # of pymatgen, about the files
def test_agrees_with_pymatgen_on_conductors(rng, shared_data):
    from pymatgen.io.cif import CifParser

    path = shared_data("obelix/cifs.tar.gz")
    structures = []
    for text in archived(path, lambda text: len(text) < 5000, 80):
        try:
            structure = CifParser(io.StringIO(text)).parse_structures(primitive=False)[0]
        except ValueError:
            continue
        if len(structure) <= 60:
            structures.append(charge_sites(rng, structure))
    assert sum(not structure.is_ordered for structure in structures) >= 10
    assert worst_deviation(structures) < 1e-6
