"""The cost that is guessed from a text grows with the sites it describes."""

from __future__ import annotations

import pytest

from pyhpc.crystals.cost import estimate_cost
from tests.fake_task import record

HEADER = """data_x
_cell_length_a 5
loop_
_symmetry_equiv_pos_as_xyz
{operators}
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_occupancy
{atoms}
{after}"""


def cif(*, operators=1, atoms=1, after=""):
    return record(
        "x",
        HEADER.format(
            operators="\n".join(["'x, y, z'"] * operators),
            atoms="\n".join(["Li1 0.5 1"] * atoms),
            after=after,
        ),
    )


def test_images_cost_less_than_other_atoms():
    few, many = estimate_cost(cif(atoms=3)), estimate_cost(cif(atoms=24))
    assert few < estimate_cost(cif(operators=8, atoms=3)) < many
    most = estimate_cost(cif(atoms=20_000))
    assert estimate_cost(cif(operators=192, atoms=10_000)) < most
    assert estimate_cost(cif(atoms=30_000)) == most


def test_cost_is_of_the_size_of_what_was_measured():
    """Medians of batches on one core of 3 GHz: 0.12 ms, 0.5 ms, 0.5 s."""
    found = [estimate_cost(cif(atoms=atoms)) for atoms in (4, 60, 12_000)]
    assert found == pytest.approx([1.2e-4, 5e-4, 0.6], rel=0.2)


@pytest.mark.parametrize("after", ["loop_\n_bond\n1\n2\n", "_cell_length_b 5\n", "\nnotes\n"])
def test_what_follows_the_atoms_does_not_count(after):
    assert estimate_cost(cif(atoms=5, after=after)) == estimate_cost(cif(atoms=5))


@pytest.mark.parametrize("text", ["", "_atom_site_label", "loop_\n_atom_site_label\n", "\xff" * 9])
def test_odd_text_has_a_cost(text):
    assert 0 < estimate_cost(record("x", text)) < 0.1


def test_formats_without_tags_count_lines():
    poscar = [record("x", "Li\n" * n, format="poscar") for n in (10, 100)]
    assert estimate_cost(poscar[0]) < estimate_cost(poscar[1])


def test_json_counts_coordinates():
    few, many = (record("x", '{"abc": [0, 0, 0]},' * n, format="pymatgen") for n in (10, 100))
    assert estimate_cost(few) < estimate_cost(many)
