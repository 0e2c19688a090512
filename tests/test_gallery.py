"""The shipped crystals say what their index says, and the broken ones are broken."""

from __future__ import annotations

import functools
import warnings

import gemmi
import pytest
from pymatgen.core import Composition
from pymatgen.io.cif import CifParser
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from pyhpc.gallery import broken_path, crystals_path, index

ENTRIES = index()
CITATION = ("_journal_name_full", "_journal_year", "_journal_volume", "_journal_page_first")
BROKEN = {
    "absurd_cell_edge",
    "coordinate_not_a_number",
    "formula_mismatch",
    "missing_cell",
    "no_atoms",
    "occupancy_above_one",
    "overlapping_atoms",
    "truncated_loop",
    "unknown_element",
    "unparsable_operator",
    "volume_mismatch",
}
by_id = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)


def cif_block(entry):
    """Block of an entry, as gemmi reads it."""
    document = gemmi.cif.read(str(crystals_path() / entry.file))
    return document[entry.id.partition("#")[2]] if "#" in entry.id else document.sole_block()


@functools.cache
def structure(entry):
    """Structure of an entry in its conventional cell, as pymatgen reads it."""
    text = gemmi.cif.Document()
    text.add_copied_block(cif_block(entry))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen tells of every coordinate it rounds
        (parsed,) = CifParser.from_str(text.as_string()).parse_structures(primitive=False)
    return parsed


def test_index_and_files_agree():
    blocks = {}
    for path in crystals_path().glob("*.cif"):
        document = gemmi.cif.read(str(path))
        for block in document:
            name = path.stem if len(document) == 1 else f"{path.stem}#{block.name}"
            blocks[name] = path.name
    assert {entry.id: entry.file for entry in ENTRIES} == blocks
    assert len(ENTRIES) == len(blocks)


def test_there_are_enough():
    assert len(ENTRIES) >= 70
    assert sum(entry.disordered for entry in ENTRIES) >= 14
    assert any("#" in entry.id for entry in ENTRIES)
    size = sum(path.stat().st_size for path in crystals_path().parent.rglob("*.c[is][fv]"))
    assert size < 600_000


@by_id
def test_citation(entry):
    block = cif_block(entry)
    for tag in CITATION:
        assert block.find_value(tag) not in (None, "?", ".", ""), tag
    authors = [gemmi.cif.as_string(value) for value in block.find_values("_publ_author_name")]
    assert authors
    assert entry.citation.startswith(authors[0].split(",")[0])
    assert block.find_value("_journal_year") in entry.citation
    assert (block.find_value("_journal_paper_doi") or "") == entry.doi


@by_id
def test_composition(entry):
    composition = structure(entry).composition.remove_charges()
    stated = Composition(entry.formula)
    if not entry.disordered:
        assert composition.reduced_formula == stated.reduced_formula
    assert set(composition) == set(stated)
    for element in stated:
        fraction = composition.get_atomic_fraction(element)
        assert fraction == pytest.approx(stated.get_atomic_fraction(element), rel=0.02)


@by_id
def test_formula_sum_and_volume(entry):
    block = cif_block(entry)
    cell = structure(entry)
    composition = cell.composition.remove_charges()
    stated = Composition(gemmi.cif.as_string(block.find_value("_chemical_formula_sum")))
    units = block.find_value("_cell_formula_units_Z")
    if units:
        for element in stated:
            assert composition[element] == pytest.approx(stated[element] * int(units), rel=0.02)
    assert cell.volume == pytest.approx(float(block.find_value("_cell_volume")), rel=1e-3)


@by_id
def test_multiplicities(entry):
    block = cif_block(entry)
    table = block.find(
        "_atom_site_",
        ["symmetry_multiplicity", "occupancy", "fract_x", "fract_y", "fract_z"],
    )
    stated = {tuple(row)[2:]: int(row[0]) for row in table}
    assert sum(stated.values()) == len(structure(entry))
    atoms = sum(int(row[0]) * gemmi.cif.as_number(row[1]) for row in table)
    assert atoms == pytest.approx(structure(entry).composition.num_atoms, rel=1e-6)


@by_id
def test_space_group(entry):
    block = cif_block(entry)
    number = int(block.find_value("_space_group_IT_number"))
    group = gemmi.SpaceGroup(gemmi.cif.as_string(block.find_value("_space_group_name_H-M_alt")))
    operators = [
        gemmi.Op(gemmi.cif.as_string(value))
        for value in block.find_values("_space_group_symop_operation_xyz")
    ]
    assert group.number == number
    assert gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operators)) == group
    if not entry.disordered:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spglib announces changes of its error handling
            found = SpacegroupAnalyzer(structure(entry), symprec=1e-3).get_space_group_number()
        assert found == number


@by_id
def test_disorder(entry):
    assert structure(entry).is_ordered is not entry.disordered


@by_id
def test_conductivity_has_a_source(entry):
    assert (entry.sigma is None) == (entry.sigma_citation == "")
    if entry.sigma is not None:
        assert entry.mobile_ion
        assert 0 < entry.sigma < 1
    if entry.mobile_ion:
        assert entry.mobile_ion in Composition(entry.formula)


def test_broken_files_say_what_is_wrong():
    paths = sorted(broken_path().glob("*.cif"))
    assert {path.stem for path in paths} == BROKEN
    for path in paths:
        first, second = path.read_text(encoding="utf-8").splitlines()[:2]
        assert first.startswith("# "), path.name
        assert second.startswith("# Expected: "), path.name
