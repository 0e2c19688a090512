"""All groups together: independence of the batch, invariances, reasons, files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pyhpc
from pyhpc import CrystalBatch
from pyhpc.features import (
    CATALOGUE,
    GROUPS,
    Settings,
    featurize_with_reasons,
    one_hot_space_group,
    schema,
    unexplained,
)
from pyhpc.records import Outcome, Reason, worst
from tests.crystals import crystal, random_crystal, supercell
from tests.named_crystals import antifluorite, from_sites, metal, rock_salt, split_site

EXTENSIVE = {
    *("lattice_a", "lattice_b", "lattice_c", "volume", "n_total_atoms", "n_sites", "n_li_sites"),
    *("li_site_avg_multiplicity", "lattice_anisotropy_bc_a", "lattice_anisotropy_max_min"),
    # What the assignment is sure of grows with the number of sites that speak for it.
    "valence_margin",
}


def garnet_like():
    """Mixed and partly filled sites, all three kinds of lithium occupancy."""
    sites = [
        ([0.0, 0.0, 0.0], {40: 0.75, 73: 0.25}),
        ([0.5, 0.5, 0.5], {57: 1.0}),
        ([0.5, 0.0, 0.0], {8: 1.0}),
        ([0.0, 0.5, 0.0], {8: 1.0}),
        ([0.0, 0.0, 0.5], {8: 1.0}),
        ([0.25, 0.25, 0.5], {3: 0.375}),
        ([0.75, 0.75, 0.5], {3: 0.375}),
    ]
    return from_sites(np.diag([4.6, 4.7, 4.9]), sites, name="garnet-like")


def flat():
    return crystal([[3, 0, 0], [0, 3, 0], [3, 3, 1e-9]], [[0, 0, 0]], [3], name="flat")


@pytest.fixture(scope="module")
def zoo():
    """Crystals of every kind, with failures among them."""
    rng = np.random.default_rng(7)
    return CrystalBatch.concatenate(
        [
            rock_salt(3, 9, 4.0262, name="LiF"),
            garnet_like(),
            flat(),
            metal(26, 2.87, name="Fe"),
            antifluorite(3, 16, 5.71, occupancy=0.5, name="half Li2S"),
            rock_salt(11, 17, 5.64, name="NaCl"),
            split_site(),
            random_crystal(rng, 12),
            metal(118, 4.0, name="Og"),
            rock_salt(2, 9, 4.0, name="HeF"),
            from_sites(np.eye(3) * 4, [([0, 0, 0], {3: 0.0})], name="vacuum"),
            crystal(np.eye(3) * 5, [[0, 0, 0], [0.5, 0, 0]], [3, 9], pbc=(1, 1, 0), name="slab"),
        ]
    )


@pytest.fixture(scope="module")
def result(zoo):
    return featurize_with_reasons(zoo)


def bits(table):
    """Columns in a form that compares bit for bit, NaN included."""
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_floating(column.type):
            columns[name] = column.to_numpy().view(np.int64).tolist()
        else:
            columns[name] = column.to_pylist()
    return columns


def test_columns_are_those_of_the_catalogue(result):
    assert result.table.schema.equals(schema(), check_metadata=True)
    assert result.table.column_names == ["id", *(feature.name for feature in CATALOGUE)]
    assert result.table["id"].to_pylist()[:2] == ["LiF", "garnet-like"]


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_alone_has_the_values_it_has_among_all(zoo, result, group):
    table = pyhpc.featurize(zoo, [group])
    assert table.column_names == ["id", *GROUPS[group]]
    assert bits(table) == bits(result.table.select(table.column_names))


def test_a_row_does_not_depend_on_its_batch_bit_for_bit(zoo, result):
    alone = [featurize_with_reasons(zoo.select([k])) for k in range(len(zoo))]
    joined = pa.concat_tables([part.table for part in alone])
    expected, found = bits(joined), bits(result.table)
    assert {name for name in found if found[name] != expected[name]} == set()
    for k, part in enumerate(alone):
        assert part.reasons.get(0, []) == result.reasons.get(k, [])


def test_a_large_batch_has_the_bits_of_a_small_one(rng):
    crystals = [random_crystal(rng, int(n)) for n in rng.integers(1, 9, size=150)]
    groups = ["composition", "lattice", "mobile_ion"]
    table = pyhpc.featurize(CrystalBatch.concatenate(crystals), groups)
    for k in range(0, 150, 7):
        assert bits(pyhpc.featurize(crystals[k], groups)) == bits(table.slice(k, 1))


def test_threads_do_not_change_a_bit(zoo, result):
    assert bits(pyhpc.featurize(zoo, threads=1)) == bits(pyhpc.featurize(zoo, threads=3))


def test_every_missing_value_has_a_reason(zoo, result):
    by_id = {zoo.ids[k]: reasons for k, reasons in result.reasons.items()}
    assert unexplained(result.table, by_id) == []
    # The check does see what is missing: the zoo has gaps in every group.
    silent = {column for _, column in unexplained(result.table, {})}
    assert all(silent & set(names) for names in GROUPS.values())


def test_a_reason_of_another_group_explains_nothing(zoo, result):
    reasons = {"NaCl": [Reason("no_mobile_ion", "features.physics", Outcome.OK, "no Li")]}
    left = [column for name, column in unexplained(result.table, reasons) if name == "NaCl"]
    assert set(left) <= set(GROUPS["mobile_ion"])
    assert "li_li_min_dist" in left


def test_sound_crystals_have_no_reasons(result):
    assert {r.code for r in result.reasons.get(0, [])} <= {"no_runner_up"}
    assert worst(result.reasons.get(0, [])) is Outcome.OK


def test_a_crystal_that_all_kernels_refuse_keeps_its_row(result):
    values = result.table.to_pylist()[2]
    assert values["li_fraction"] == 1.0
    assert np.isnan(values["li_concentration"]) or values["li_concentration"] > 0
    assert values["space_group_number"] is None
    assert values["crystal_system"] is None
    codes = {reason.code for reason in result.reasons[2]}
    assert "singular_lattice" in codes


@pytest.mark.parametrize(
    "batch", [rock_salt(3, 9, 4.0262), garnet_like(), antifluorite(3, 16, 5.71)]
)
def test_a_supercell_has_the_same_intensive_features(batch):
    one = pyhpc.featurize(batch).to_pylist()[0]
    many = pyhpc.featurize(supercell(batch, (1, 2, 2))).to_pylist()[0]
    for name, value in one.items():
        if name in EXTENSIVE or isinstance(value, str) or name == "is_cubic_like":
            continue
        # At threshold 0 the smallest faces decide, which rounding makes or does not.
        if name == "li_voronoi_cn_avg":
            continue
        if name == "net_charge":
            value = 4 * value
        assert many[name] == pytest.approx(value, rel=1e-7, abs=1e-9, nan_ok=True), name


def test_the_order_of_the_sites_does_not_matter(rng):
    batch = garnet_like()
    order = rng.permutation(batch.n_sites)
    species = [range(*batch.species_offsets[[site, site + 1]]) for site in order]
    flat_species = [entry for entries in species for entry in entries]
    shuffled = CrystalBatch(
        ids=batch.ids,
        lattices=batch.lattices,
        site_offsets=batch.site_offsets,
        frac_coords=batch.frac_coords[order],
        species_offsets=np.concatenate([[0], np.cumsum([len(entries) for entries in species])]),
        atomic_numbers=batch.atomic_numbers[flat_species],
        occupancies=batch.occupancies[flat_species],
        oxidation_states=batch.oxidation_states[flat_species],
        asymmetric_index=batch.asymmetric_index[order],
    )
    one, two = (pyhpc.featurize(b).to_pylist()[0] for b in (batch, shuffled))
    for name, value in one.items():
        if isinstance(value, str) or name == "li_voronoi_cn_avg":
            continue
        assert two[name] == pytest.approx(value, rel=1e-7, abs=1e-9, nan_ok=True), name


def test_parquet_keeps_values_and_metadata(result, tmp_path):
    pq.write_table(result.table, tmp_path / "features.parquet")
    back = pq.read_table(tmp_path / "features.parquet")
    field = back.schema.field("density")
    assert field.metadata[b"unit"] == b"g/cm^3"
    assert field.metadata[b"group"] == b"lattice"
    assert back.schema.metadata[b"mobile_ion"] == b"Li"
    assert bits(back) == bits(result.table)


def test_space_groups_on_demand(result):
    table = one_hot_space_group(result.table)
    assert table.num_columns == result.table.num_columns + 230
    hot = np.stack([table[f"sg_{k}"].to_numpy() for k in range(1, 231)])
    numbers = result.table["space_group_number"].fill_null(0).to_numpy()
    np.testing.assert_array_equal(hot.sum(axis=0), (numbers > 0).astype(int))
    for column, number in enumerate(numbers):
        if number:
            assert hot[number - 1, column] == 1
    assert numbers[0] == 225
    assert result.table["crystal_system"][0].as_py() == "cubic"


def test_times_by_stage(result):
    stages = (
        "composition lattice symmetry valences mobile_ion bond_valence bonds voronoi ewald physics "
        "mechanical"
    )
    assert set(result.seconds) == {*stages.split(), "table"}
    assert all(seconds >= 0 for seconds in result.seconds.values())
    assert set(featurize_with_reasons(metal(26, 2.87), Settings(groups=["lattice"])).seconds) == {
        "composition",
        "lattice",
        "table",
    }


def test_no_crystals_give_no_rows(zoo):
    table = pyhpc.featurize(zoo.select([]))
    assert table.num_rows == 0
    assert table.schema.equals(schema(), check_metadata=True)
