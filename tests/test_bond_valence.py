"""Bond-valence sums: by hand, against an oracle, pymatgen, and what must not change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Element, Lattice, Structure

from pyhpc import CrystalBatch, tables
from pyhpc.kernels import (
    STATUS_NAMES,
    BatchError,
    bond_valence_sums,
    neighbor_list,
)

from .crystals import cif_crystals, random_crystal, random_lattice, supercell

CUBE = np.eye(3)
FCC = 0.5 * (1 - CUBE)


def disordered(lattice, frac_coords, sites, *, asymmetric_index=None):
    """Batch of one crystal; each site is a list of (element, occupancy, charge)."""
    z, occupancies, charges = zip(*(entry for site in sites for entry in site), strict=True)
    n = len(sites)
    return CrystalBatch(
        ids=["x"],
        lattices=np.asarray(lattice, dtype=float)[None],
        site_offsets=[0, n],
        frac_coords=frac_coords,
        species_offsets=np.cumsum([0, *map(len, sites)]),
        atomic_numbers=[Element(symbol).Z for symbol in z],
        occupancies=occupancies,
        oxidation_states=charges,
        asymmetric_index=np.full(n, -1) if asymmetric_index is None else asymmetric_index,
    )


def ordered(lattice, frac_coords, *species):
    return disordered(lattice, frac_coords, [[(symbol, 1.0, q)] for symbol, q in species])


NACL = ordered(5.64 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], ("Na", 1), ("Cl", -1))


def status_name(result, k=0):
    return STATUS_NAMES[result.status[k]]


def test_rock_salt_by_hand():
    result = bond_valence_sums(NACL, cutoff=3.0)
    expected = 6 * np.exp((2.15 - 2.82) / 0.37)
    assert result.sums == pytest.approx([expected, expected], rel=1e-12)
    assert result.expected.tolist() == [1.0, 1.0]
    assert result.estimated.tolist() == [0.0, 0.0]
    assert result.gii == pytest.approx([abs(expected - 1)], rel=1e-12)
    # Eight more chlorines at sqrt(3) times the distance.
    farther = expected + 8 * np.exp((2.15 - 2.82 * np.sqrt(3)) / 0.37)
    assert bond_valence_sums(NACL, cutoff=6.0).sums[0] == pytest.approx(farther, rel=1e-12)


def test_each_pair_has_its_own_softness():
    batch = ordered(6.0 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], ("La", 3), ("O", -2))
    by_hand = 6 * np.exp((2.086 - 3.0) / 0.45)
    assert bond_valence_sums(batch, cutoff=3.5).sums[0] == pytest.approx(by_hand, rel=1e-12)


SOUND = {
    "MgO": ordered(4.212 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], ("Mg", 2), ("O", -2)),
    "ZnS": ordered(5.4093 * FCC, [[0, 0, 0], [0.25, 0.25, 0.25]], ("Zn", 2), ("S", -2)),
    "CsCl": ordered(4.123 * CUBE, [[0, 0, 0], [0.5, 0.5, 0.5]], ("Cs", 1), ("Cl", -1)),
    "CaF2": ordered(
        5.4626 * FCC,
        [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]],
        ("Ca", 2),
        ("F", -1),
        ("F", -1),
    ),
    "Li2O": ordered(
        4.619 * FCC,
        [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]],
        ("O", -2),
        ("Li", 1),
        ("Li", 1),
    ),
    "TiO2": ordered(
        np.diag([4.5937, 4.5937, 2.9587]),
        [
            [0, 0, 0],
            [0.5, 0.5, 0.5],
            [0.3048, 0.3048, 0],
            [0.6952, 0.6952, 0],
            [0.8048, 0.1952, 0.5],
            [0.1952, 0.8048, 0.5],
        ],
        *[("Ti", 4)] * 2,
        *[("O", -2)] * 4,
    ),
    "SrTiO3": ordered(
        3.905 * CUBE,
        [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]],
        ("Sr", 2),
        ("Ti", 4),
        *[("O", -2)] * 3,
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_sums_are_near_the_valences(name):
    result = bond_valence_sums(SOUND[name])
    assert result.sums == pytest.approx(result.expected, rel=0.18)
    assert result.gii[0] < 0.3
    assert not result.estimated.any()


def test_water_has_a_sum_near_one_for_hydrogen():
    # Ice-like: a bond of 0.98 and a hydrogen bond of 1.80 angstrom on one line.
    batch = ordered(
        np.diag([2.78, 9.0, 9.0]), [[0, 0, 0], [0.98 / 2.78, 0, 0]], ("O", -2), ("H", 1)
    )
    assert bond_valence_sums(batch).sums[1] == pytest.approx(1.0, abs=0.05)


def test_charges_pick_the_parameters():
    def single(cation, charge, anion, anion_charge):
        batch = ordered(
            9.0 * CUBE, [[0, 0, 0], [2 / 9, 0, 0]], (cation, charge), (anion, anion_charge)
        )
        result = bond_valence_sums(batch, cutoff=3.0)
        assert result.sums[0] == result.sums[1]
        return result.sums[0], result.estimated[0]

    def valence(r0, b):
        return pytest.approx(np.exp((r0 - 2) / b), rel=1e-12)

    assert single("Fe", 2, "O", -2) == (valence(1.734, 0.37), 0)
    assert single("Fe", 3, "O", -2) == (valence(1.759, 0.37), 0)
    assert single("Fe", 8 / 3, "O", -2) == (valence(1.759, 0.37), 0)
    assert single("Fe", 6, "O", -2) == (valence(1.795, 0.30), 0), "unspecified charge"
    assert single("Li", 0.3, "O", -1) == (valence(1.466, 0.37), 0), "peroxide as oxide"
    assert single("Pt", 3, "O", -2)[1] == 1, "nearest charge where the elements say nothing"
    assert single("Pt", 3, "O", -2)[0] == single("Pt", 2, "O", -2)[0]
    li_bi = okeeffe_brese_r0("Li", "Bi")
    assert single("Li", 1, "Bi", -3) == (valence(li_bi, 0.37), 1), "from the elements"


def okeeffe_brese_r0(one, two):
    rows = {
        row["symbol"]: (float(row["r"]), float(row["c"])) for row in tables.rows("okeeffe_brese")
    }
    (r1, c1), (r2, c2) = rows[one], rows[two]
    return r1 + r2 - r1 * r2 * (np.sqrt(c1) - np.sqrt(c2)) ** 2 / (c1 * r1 + c2 * r2)


def test_every_row_of_brown_reaches_the_kernel():
    rows = tables.rows("bond_valence")
    assert len(rows) == 1159
    batch = CrystalBatch.concatenate(
        [
            ordered(
                20.0 * CUBE,
                [[0, 0, 0], [0.1, 0, 0]],
                (row["cation"], 7 if row["cation_valence"] == "9" else int(row["cation_valence"])),
                (row["anion"], int(row["anion_valence"])),
            )
            for row in rows
        ]
    )
    result = bond_valence_sums(batch, cutoff=3.0)
    assert (result.status == 0).all()
    exact = {(row["cation"], row["anion"]) for row in rows if row["cation_valence"] == "7"}
    for row, value in zip(rows, result.sums[::2], strict=True):
        if row["cation_valence"] == "9" and (row["cation"], row["anion"]) in exact:
            continue
        by_hand = np.exp((float(row["r0"]) - 2.0) / float(row["b"]))
        assert value == pytest.approx(by_hand, rel=1e-10), row


def naive_sums(batch, cutoff, b):
    """Sums of one crystal from its pair list, with the parameters of the elements."""
    sums = np.zeros(batch.n_sites)
    pairs = neighbor_list(batch, cutoff)
    entries = [
        [
            (Element.from_Z(int(batch.atomic_numbers[s])).symbol, batch.occupancies[s], q)
            for s in range(*batch.species_offsets[site : site + 2])
            for q in [batch.oxidation_states[s]]
        ]
        for site in range(batch.n_sites)
    ]
    for i, j, distance in zip(pairs.i, pairs.j, pairs.distances, strict=True):
        filled = [sum(occupancy for _, occupancy, _ in entries[site]) for site in (i, j)]
        if distance < 1.0 and max(filled) < 1 and sum(filled) <= 1.01:
            continue
        for own, own_occupancy, own_charge in entries[i]:
            for other, occupancy, charge in entries[j]:
                if own_charge * charge < 0:
                    valence = np.exp((okeeffe_brese_r0(own, other) - distance) / b)
                    sums[i] += own_occupancy / filled[0] * occupancy * valence
    return sums


def random_disordered(rng, n_sites=7):
    """Random sites of one to three species, some of them in part occupied, no hydrogen."""
    sites = []
    for _ in range(n_sites):
        n = rng.integers(1, 4)
        occupancies = rng.dirichlet(np.ones(n)) * rng.choice([1.0, 0.5, 0.3])
        symbols = rng.choice(["Li", "Na", "Ti", "O", "S", "F"], n)
        charges = rng.choice([-2.0, -1.0, 0.0, 1.0, 4.0], n)
        sites.append([*zip(symbols, occupancies, charges, strict=True)])
    sites[0] = [("Li", 0.4, 1.0)]
    sites[1] = [("O", 1.0, -2.0)]
    lattice = random_lattice(rng, edge=(4.0, 8.0))
    return disordered(lattice, rng.uniform(-1.5, 2.5, (n_sites, 3)), sites)


@pytest.mark.parametrize("b", [0.37, 0.31])
def test_disordered_crystals_match_the_naive_sum(rng, b):
    for _ in range(5):
        batch = random_disordered(rng)
        result = bond_valence_sums(batch, cutoff=5.0, parameters="okeeffe_brese", b=b)
        assert status_name(result) == "ok"
        assert result.sums == pytest.approx(naive_sums(batch, 5.0, b), rel=1e-10)
        assert result.estimated[result.sums > 0] == pytest.approx(1.0)
        starts = batch.species_offsets[:-1]
        total = np.add.reduceat(batch.occupancies, starts)
        charges = np.abs(batch.oxidation_states) * batch.occupancies
        expected = np.add.reduceat(charges, starts) / total
        assert result.expected == pytest.approx(expected)
        charged = expected > 0
        squares = (total * (result.sums - expected) ** 2)[charged].sum() / total[charged].sum()
        assert result.gii[0] == pytest.approx(np.sqrt(squares))


def test_a_half_occupied_neighbour_counts_half():
    half = disordered(
        5.64 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], [[("Na", 1.0, 1)], [("Cl", 0.5, -1)]]
    )
    full, result = bond_valence_sums(NACL), bond_valence_sums(half)
    assert result.sums == pytest.approx(full.sums * [0.5, 1.0], rel=1e-12)
    squares = (result.sums - 1) ** 2
    assert result.gii[0] == pytest.approx(np.sqrt((squares[0] + 0.5 * squares[1]) / 1.5))


def test_a_site_split_into_equal_species_is_the_ordered_site():
    split = disordered(
        5.64 * FCC,
        [[0, 0, 0], [0.5, 0.5, 0.5]],
        [[("Na", 0.5, 1), ("Na", 0.5, 1)], [("Cl", 0.25, -1), ("Cl", 0.75, -1)]],
    )
    full, result = bond_valence_sums(NACL), bond_valence_sums(split)
    assert result.sums == pytest.approx(full.sums, rel=1e-12)
    assert result.gii == pytest.approx(full.gii, rel=1e-12)


def test_a_mixed_site_is_the_mean_of_its_species():
    positions = [[0, 0, 0], [0.5, 0.5, 0.5]]
    mixed = disordered(5.2 * FCC, positions, [[("Na", 0.7, 1), ("Ca", 0.3, 2)], [("F", 1, -1)]])
    na = bond_valence_sums(ordered(5.2 * FCC, positions, ("Na", 1), ("F", -1)))
    ca = bond_valence_sums(ordered(5.2 * FCC, positions, ("Ca", 2), ("F", -1)))
    result = bond_valence_sums(mixed)
    mean = 0.7 * na.sums + 0.3 * ca.sums
    assert result.sums == pytest.approx(mean, rel=1e-12)
    assert result.expected == pytest.approx([1.3, 1.0])


@pytest.mark.parametrize(
    ("one", "two", "distance", "bonded"),
    [
        (("Li", 0.5, 1), ("O", 0.5, -2), 0.4, False),
        (("Li", 0.5, 1), ("O", 0.505, -2), 0.4, False),
        (("Li", 0.5, 1), ("O", 0.5, -2), 0.0, False),
        (("Li", 0.5, 1), ("O", 0.5, -2), 1.01, True),
        (("Li", 0.6, 1), ("O", 0.5, -2), 0.9, True),
        (("Li", 1.0, 1), ("O", 0.005, -2), 0.9, True),
        (("H", 0.5, 1), ("O", 0.5, -2), 0.96, True),
        (("H", 0.5, 1), ("O", 0.5, -2), 0.6, False),
        (("H", 1.0, 1), ("O", 1.0, -2), 0.6, True),
    ],
)
def test_alternatives_of_one_site_are_no_bond(one, two, distance, bonded):
    batch = disordered(10.0 * CUBE, [[0, 0, 0], [distance / 10, 0, 0]], [[one], [two]])
    result = bond_valence_sums(batch, cutoff=4.0)
    assert status_name(result) == "ok"
    assert np.all((result.sums > 0) == bonded)
    assert np.isfinite(result.gii[0])


def test_each_bond_counts_once_at_either_end(rng):
    batch = random_disordered(rng, 9)
    kept = np.where(batch.species_sites % 2, -1.0, 1.0)
    result = bond_valence_sums(batch.with_oxidation_states(kept), cutoff=5.0)
    assert status_name(result) == "ok"
    total = np.add.reduceat(batch.occupancies, batch.species_offsets[:-1]) * result.sums
    assert total[::2].sum() == pytest.approx(total[1::2].sum(), rel=1e-10)


def test_sites_of_an_orbit_are_summed_once():
    cell = supercell(SOUND["TiO2"], (2, 2, 1))
    orbits = np.tile([0, 0, 1, 1, 1, 1], 4)
    alone = bond_valence_sums(cell)
    together = bond_valence_sums(replace(cell, asymmetric_index=orbits))
    assert together.sums == pytest.approx(alone.sums, rel=1e-12)
    assert together.gii == pytest.approx(alone.gii, rel=1e-12)
    for values in (together.sums, together.estimated):
        assert len(set(values[orbits == 0])) == len(set(values[orbits == 1])) == 1
    # A wrong index shows that the value of the first site is the one that is copied.
    moved = replace(cell, frac_coords=cell.frac_coords + 0.01 * (np.arange(24) == 12)[:, None])
    strained = bond_valence_sums(moved).sums
    copied = bond_valence_sums(replace(moved, asymmetric_index=orbits)).sums
    assert strained[12] != pytest.approx(strained[0], rel=1e-3)
    assert copied[12] == copied[0] == strained[0]


@pytest.mark.parametrize("change", ["oxidation_states", "occupancies", "atomic_numbers"])
def test_orbits_with_different_species_are_not_believed(change):
    cell = supercell(SOUND["MgO"], (2, 2, 2))
    values = getattr(cell, change).copy()
    values[4] = {"oxidation_states": 3.0, "occupancies": 0.5, "atomic_numbers": 20}[change]
    cell = replace(cell, **{change: values})
    result = bond_valence_sums(replace(cell, asymmetric_index=np.tile([0, 1], 8)))
    assert result.sums.tobytes() == bond_valence_sums(cell).sums.tobytes()


def ionic(rng, n_sites=12):
    """Random crystal of oxides and fluorides, charges in turn."""
    batch = random_crystal(rng, n_sites, edge=(5.0, 9.0))
    z = np.where(np.arange(n_sites) % 2, rng.choice([8, 9], n_sites), rng.choice([3, 22], n_sites))
    charges = np.select([z == 8, z == 9, z == 3], [-2.0, -1.0, 1.0], 4.0)
    return replace(batch, atomic_numbers=z, oxidation_states=charges)


def test_translation_rotation_and_whole_shifts_change_nothing(rng):
    batch = ionic(rng)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = replace(
        batch,
        lattices=batch.lattices @ rotation,
        frac_coords=batch.frac_coords + rng.uniform(-2, 2, 3) + rng.integers(-3, 4, (12, 3)),
    )
    before, after = bond_valence_sums(batch), bond_valence_sums(moved)
    assert after.sums == pytest.approx(before.sums, rel=1e-9)
    assert after.gii == pytest.approx(before.gii, rel=1e-9)


def test_permutation_and_supercell_follow(rng):
    batch = ionic(rng)
    order = rng.permutation(12)
    before = bond_valence_sums(batch)
    after = bond_valence_sums(
        replace(
            batch,
            frac_coords=batch.frac_coords[order],
            atomic_numbers=batch.atomic_numbers[order],
            oxidation_states=batch.oxidation_states[order],
        )
    )
    assert after.sums == pytest.approx(before.sums[order], rel=1e-9)
    many = bond_valence_sums(supercell(batch, (1, 3, 2)))
    assert many.sums == pytest.approx(np.tile(before.sums, 6), rel=1e-9)
    assert many.gii == pytest.approx(before.gii, rel=1e-9)


def test_threads_and_batches_do_not_change_a_bit(rng):
    crystals = [ionic(rng, int(n)) for n in rng.integers(2, 20, 25)]
    crystals.append(supercell(ionic(rng, 10), (5, 5, 5)))
    batch = CrystalBatch.concatenate(crystals)
    assert crystals[-1].n_sites > 1024
    one, four = (bond_valence_sums(batch, threads=n) for n in (1, 4))
    alone = [bond_valence_sums(crystal) for crystal in crystals]
    for name in ("sums", "expected", "estimated", "gii", "status"):
        assert getattr(one, name).tobytes() == getattr(four, name).tobytes()
        joined = np.concatenate([getattr(result, name) for result in alone])
        assert getattr(one, name).tobytes() == joined.tobytes()


def test_crystals_that_can_not_be_summed_leave_the_others_alone(rng):
    unknown = NACL.with_oxidation_states([1.0, np.nan])
    alloy = ordered(3.0 * CUBE, [[0, 0, 0], [0.5, 0.5, 0.5]], ("Cu", 0), ("Zn", 0))
    cations = ordered(3.0 * CUBE, [[0, 0, 0], [0.5, 0.5, 0.5]], ("Cu", 1), ("Zn", 2))
    vacant = disordered(
        5.6 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], [[("Na", 1.0, 1)], [("Cl", 0.0, -1)]]
    )
    exotic = ordered(6.0 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], ("He", 2), ("S", -2))
    flat = replace(NACL, lattices=[[[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0]]])
    crystals = [NACL, unknown, alloy, NACL, cations, vacant, exotic, flat, NACL]
    result = bond_valence_sums(CrystalBatch.concatenate(crystals))
    names = [STATUS_NAMES[status] for status in result.status]
    assert names == [
        "ok",
        "missing_oxidation_states",
        "no_ion_pairs",
        "ok",
        "no_ion_pairs",
        "no_ion_pairs",
        "missing_bond_parameters",
        "singular_lattice",
        "ok",
    ]
    ok = result.status == 0
    assert np.array_equal(np.isfinite(result.gii), ok)
    assert np.array_equal(np.isfinite(result.sums), np.repeat(ok, 2))
    assert result.sums[np.repeat(ok, 2)].tobytes() == np.tile(result.sums[:2], 3).tobytes()
    assert "He2+ with S" in result.errors[6]
    assert "site 1" in result.errors[1]


def test_neutral_sites_have_no_say_in_the_index():
    batch = ordered(
        5.64 * FCC,
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]],
        ("Na", 1),
        ("Cl", -1),
        ("Ar", 0),
    )
    result = bond_valence_sums(batch)
    assert result.sums[2] == result.expected[2] == 0.0
    assert result.gii == pytest.approx(bond_valence_sums(NACL).gii, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoff": 0.0}, "cutoff"),
        ({"cutoff": np.nan}, "cutoff"),
        ({"parameters": "brown"}, "okeeffe_brese"),
        ({"b": 0.31}, "okeeffe_brese"),
        ({"parameters": "okeeffe_brese", "b": 0.0}, "b = 0"),
        ({"parameters": "okeeffe_brese", "b": np.inf}, "b = inf"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(options, message):
    with pytest.raises(BatchError, match=message):
        bond_valence_sums(NACL, **options)


def test_published_softness_is_the_default():
    plain = bond_valence_sums(NACL, parameters="okeeffe_brese")
    named = bond_valence_sums(NACL, parameters="okeeffe_brese", b=0.37)
    assert plain.sums.tobytes() == named.sums.tobytes()


def pymatgen_sums(batch, cutoff):
    """Absolute sums of one crystal by pymatgen, which uses b = 0.31; none where its rule of
    electronegativities does not pair one anion with all the others.
    """
    from pymatgen.analysis.bond_valence import (
        BV_PARAMS,
        ELECTRONEG,
        calculate_bv_sum,
        calculate_bv_sum_unordered,
    )

    bounds = batch.species_offsets
    species = [
        {
            Element.from_Z(int(batch.atomic_numbers[s])): batch.occupancies[s]
            for s in range(bounds[site], bounds[site + 1])
        }
        for site in range(batch.n_sites)
    ]
    elements = set().union(*species)
    anions = elements & set(ELECTRONEG)
    if len(anions) != 1 or len(elements) == 1 or not elements <= set(BV_PARAMS):
        return None
    anion = anions.pop()
    if any(element.X >= anion.X for element in elements - {anion}):
        return None
    structure = Structure(Lattice(batch.lattices[0]), species, batch.frac_coords)
    neighbors = structure.get_all_neighbors(cutoff)
    total = calculate_bv_sum if structure.is_ordered else calculate_bv_sum_unordered
    sums = [total(site, near) for site, near in zip(structure, neighbors, strict=True)]
    charges = np.where(batch.atomic_numbers == anion.Z, -1.0, 1.0)
    return np.abs(sums), charges


def assert_matches_pymatgen(batch, cutoff):
    expected = pymatgen_sums(batch, cutoff)
    if expected is None:
        return 0
    sums, charges = expected
    result = bond_valence_sums(
        batch.with_oxidation_states(charges), cutoff=cutoff, parameters="okeeffe_brese", b=0.31
    )
    assert result.sums == pytest.approx(sums, rel=1e-9, abs=1e-12)
    return 1


@pytest.mark.parametrize("name", SOUND)
def test_sums_match_pymatgen(name):
    assert assert_matches_pymatgen(SOUND[name], 5.0) == 1


def test_mixed_sites_match_pymatgen():
    # pymatgen multiplies by the site's own occupancy: the same where the site is full.
    mixed = disordered(
        3.9 * CUBE,
        [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]],
        [
            [("Li", 0.5, 1), ("La", 0.5, 3)],
            [("Ti", 0.9, 4), ("Zr", 0.1, 4)],
            *[[("O", 1.0, -2)]] * 3,
        ],
    )
    assert assert_matches_pymatgen(mixed, 5.0) == 1


def test_real_crystals_match_pymatgen(shared_data):
    crystals = cif_crystals(shared_data("mp/mp_cifs_a.tar.gz"), 50)
    compared = [assert_matches_pymatgen(one, 4.0) for one in crystals if one.n_sites <= 40]
    assert sum(compared) >= 50
