"""The catalogue of features: names, groups, schema."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pyhpc.features import CATALOGUE, GROUPS, Settings, catalogue, schema, select
from pyhpc.features.elements import SYMBOLS

NAMES = {
    "composition": [
        "li_fraction",
        "anion_fraction",
        "total_elements",
        *(f"smact_stoich_{k}" for k in range(103)),
        *(f"magpie_emb_{k}" for k in range(22)),
    ],
    "lattice": [
        *(f"lattice_{name}" for name in ("a", "b", "c", "alpha", "beta", "gamma")),
        *("volume", "density", "volume_per_atom", "n_total_atoms", "n_li_sites"),
        *("lattice_anisotropy_bc_a", "lattice_anisotropy_max_min"),
        *("angle_deviation_from_ortho", "is_cubic_like", "has_cif_struct"),
    ],
    "symmetry": ["space_group_number", "crystal_system"],
    "mobile_ion": [
        *("li_concentration", "framework_density", "li_li_min_dist", "li_li_avg_dist"),
        *("li_anion_min_dist", "li_coordination_avg", "li_site_avg_multiplicity"),
    ],
    "physics": [
        *("bv_mismatch_avg", "bv_mismatch_std", "ewald_energy_avg", "ewald_energy_std"),
        *("li_voronoi_cn_avg", "has_bv", "has_ewald", "has_voronoi"),
        *("gii", "madelung_energy_per_atom", "valence_method", "valence_margin"),
    ],
}


@pytest.mark.parametrize("group", NAMES)
def test_the_names_of_the_reference_study_are_there(group):
    assert set(NAMES[group]) <= set(GROUPS[group])


def test_names_are_unique_and_in_one_group():
    names = [feature.name for feature in CATALOGUE]
    assert len(set(names)) == len(names)
    assert sum(len(names) for names in GROUPS.values()) == len(names)


def test_magpie_statistics_are_not_stored_twice():
    magpie = [name for name in GROUPS["composition"] if name.startswith("magpie_")]
    assert len(magpie) == 22 * 6
    assert not any(name.startswith("magpie_mean_") for name in magpie)


def test_every_feature_says_what_it_is():
    for feature in CATALOGUE:
        assert feature.unit
        assert feature.source
        assert feature.meaning
        assert "\n" not in feature.meaning


def test_schema_is_the_catalogue_with_metadata():
    made = schema()
    assert made.names == ["id", *(feature.name for feature in CATALOGUE)]
    for feature in CATALOGUE:
        field = made.field(feature.name)
        assert field.type == feature.dtype
        assert field.metadata == {
            b"group": feature.group.encode(),
            b"unit": feature.unit.encode(),
            b"meaning": feature.meaning.encode(),
            b"source": feature.source.encode(),
        }
    assert made.metadata == {
        b"mobile_ion": b"Li",
        b"groups": b"composition,lattice,symmetry,mobile_ion,physics,mechanical",
    }


def test_groups_come_in_the_order_of_the_catalogue():
    names = [feature.name for feature in select(["lattice", "composition"])]
    assert names == [*GROUPS["composition"], *GROUPS["lattice"]]


@pytest.mark.parametrize("groups", [["composition", "magic"], []])
def test_an_unknown_group_lists_the_valid_ones(groups):
    with pytest.raises(ValueError, match="valid groups are composition, lattice, symmetry"):
        select(groups)


def test_a_bare_string_is_not_taken_for_a_list():
    with pytest.raises(ValueError, match=r"\['lattice'\]"):
        Settings(groups="lattice")


def test_names_follow_the_mobile_ion():
    lithium = {feature.name for feature in CATALOGUE}
    sodium = {feature.name for feature in catalogue("Na")}
    assert len(sodium) == len(lithium)
    assert {"na_fraction", "n_na_sites", "na_na_min_dist", "na_voronoi_cn_avg"} <= sodium - lithium
    assert {name for name in sodium & lithium if "li_" in name} == set()
    assert "mobile_ion" in schema(["lattice"], "Na").metadata.__repr__()


def test_no_ion_makes_two_features_of_one_name():
    for symbol in SYMBOLS[:96]:
        names = [feature.name for feature in catalogue(symbol)]
        assert len(set(names)) == len(names), symbol


@pytest.mark.parametrize("ion", ["Xx", "li", ""])
def test_an_ion_that_is_no_element_is_refused(ion):
    with pytest.raises(ValueError, match="no element"):
        catalogue(ion)


@pytest.mark.parametrize("wrong", [{"symprec": 0.0}, {"accuracy": 1.0}, {"mobile_ion": "Q"}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


def test_settings_give_the_schema():
    assert Settings(groups=["lattice"]).schema.equals(schema(["lattice"]), check_metadata=True)
    assert isinstance(Settings().schema, pa.Schema)
