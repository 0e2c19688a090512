"""Structures in pymatgen's JSON, against pymatgen itself."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pymatgen.core import Lattice, Species, Structure

from pyhpc import CrystalBatch
from pyhpc.crystals import Limits, iter_records, read, read_records
from pyhpc.gallery import crystals_path
from pyhpc.records import Record

SALT = {
    "lattice": {"matrix": [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]},
    "sites": [
        {"species": [{"element": "Li", "occu": 1}], "abc": [0, 0, 0]},
        {"species": [{"element": "F", "occu": 1}], "abc": [0.5, 0.5, 0.5]},
    ],
}


def record(structure, name="x"):
    text = structure if isinstance(structure, bytes) else json.dumps(structure).encode()
    return Record(name, text, "pymatgen", "table!0", 0, len(text))


def code_of(structure, limits=None):
    result = read_records([record(structure)], limits or Limits())
    assert len(result.batch) == 0
    return result.reasons[0][-1].code


def assert_equal(found, expected):
    for name in expected.__dataclass_fields__:
        assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_the_gallery_is_read_as_pymatgen_gives_it():
    structures = read(crystals_path(), on_error="skip").to_pymatgen()
    assert any(not structure.is_ordered for structure in structures)
    assert any(isinstance(s, Species) for one in structures for s in one.composition)
    ids = [str(k) for k in range(len(structures))]
    found = read_records(
        [record(one.as_dict(), name) for one, name in zip(structures, ids, strict=True)]
    )
    assert_equal(found.batch, CrystalBatch.from_pymatgen(structures, ids))


def test_periodic_directions_and_charged_disordered_sites():
    lattice = Lattice(np.diag([3.0, 4.0, 5.0]), pbc=(True, False, True))
    species = [{Species("Fe", 3, spin=5): 0.6, Species("Mn", 2): 0.3}, "O"]
    structure = Structure(lattice, species, [[0.1, 0.2, 0.3], [1.5, -0.5, 0.5]], charge=2.4)
    found = read_records([record(structure.as_dict())])
    assert not found.reasons
    assert_equal(found.batch, CrystalBatch.from_pymatgen([structure], ["x"]))


def changed(path, value):
    structure = copy.deepcopy(SALT)
    inner = structure
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return structure


SITE = ("sites", 1)
SPECIES = (*SITE, "species", 0)


@pytest.mark.parametrize(
    ("structure", "code"),
    [
        (b"{", "syntax_error"),
        (b'{"sites": ' + b"[" * 100_000, "syntax_error"),
        (b'{"sites": ' + b"9" * 5000 + b"}", "syntax_error"),
        (b'{"sites": "\xff"}', "syntax_error"),
        ({"a": 1}, "no_structure"),
        ({"sites": 3}, "no_structure"),
        ({"sites": []}, "missing_cell"),
        (changed(("sites",), []), "no_sites"),
        (changed(("lattice",), None), "missing_cell"),
        (changed(("lattice", "matrix"), [[1, 2], [3]]), "bad_number"),
        (changed(("lattice", "matrix", 0), ["4", "0", "0"]), "bad_number"),
        (changed(("lattice", "matrix", 0), [float("nan"), 0, 0]), "bad_number"),
        (changed(("lattice", "matrix", 0), [10**400, 0, 0]), "bad_number"),
        (changed(("lattice", "matrix", 0), [0, 4.0, 0]), "bad_cell"),
        (changed(("lattice", "matrix"), (1e200 * np.eye(3)).tolist()), "bad_cell"),
        (changed(("lattice", "matrix"), (2e4 * np.eye(3)).tolist()), "cell_edge"),
        (changed(("lattice", "pbc"), [1, 1, 1]), "bad_cell"),
        (changed(SITE, None), "no_structure"),
        (changed((*SITE, "abc"), None), "bad_number"),
        (changed((*SITE, "abc"), [0.5, 0.5]), "bad_number"),
        (changed((*SITE, "abc"), [0.5, 0.5, 1e300]), "bad_number"),
        (changed((*SITE, "species"), {"F": 1}), "no_structure"),
        (changed((*SITE, "species"), []), "unknown_element"),
        (changed((*SPECIES, "element"), "X"), "unknown_element"),
        (changed((*SPECIES, "element"), "Fe3+"), "unknown_element"),
        (changed((*SPECIES, "element"), ["F"]), "unknown_element"),
        (changed((*SPECIES, "occu"), 1.3), "occupancy_above_one"),
        (changed((*SPECIES, "occu"), -0.5), "bad_number"),
        (changed((*SPECIES, "occu"), True), "bad_number"),
        (changed((*SPECIES, "occu"), None), "bad_number"),
        (changed((*SPECIES, "oxidation_state"), "1-"), "bad_number"),
        (changed((*SPECIES, "oxidation_state"), 10**400), "bad_number"),
    ],
)
def test_what_is_no_structure_is_refused(structure, code):
    assert code_of(structure) == code


ODD = [None, True, -1, 0, 1e-9, 1e9, 1e308, 10**400, float("nan"), "", "Fe", [], [1], {}, {"a": 1}]


def mutated(value, rng):
    """Replace one value somewhere in a structure."""
    inner = structure = copy.deepcopy(value)
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = keys[rng.integers(len(keys))]
        if not (isinstance(inner[key], list | dict) and inner[key]) or rng.random() < 0.2:
            inner[key] = ODD[rng.integers(len(ODD))]
            return structure
        inner = inner[key]


def test_no_odd_value_raises_or_passes_unseen(rng):
    """Whatever a value is replaced by, there is a crystal of finite numbers, or a reason."""
    texts = [json.dumps(mutated(SALT, rng)).encode() for _ in range(1500)]
    text = json.dumps(SALT).encode()
    for _ in range(500):
        at = rng.integers(len(text))
        texts.append(text[:at] + bytes(rng.integers(32, 127, 2, dtype=np.uint8)) + text[at + 1 :])
    result = read_records([record(one, str(k)) for k, one in enumerate(texts)])
    refused = {k for k, found in result.reasons.items() if found[-1].outcome == "quarantined"}
    assert set(result.positions.tolist()) == set(range(len(texts))) - refused
    assert len(refused) > 500
    assert len(result.batch) > 100
    for name in ("lattices", "frac_coords", "occupancies"):
        assert np.isfinite(getattr(result.batch, name)).all()


def test_limits_hold():
    assert code_of(SALT, Limits(max_sites=1)) == "too_many_sites"
    assert code_of(SALT, Limits(max_text_bytes=50)) == "text_too_large"


def test_close_sites_are_doubtful_unless_they_are_halves():
    near = changed((*SITE, "abc"), [0.05, 0, 0])
    assert [reason.code for reason in read_records([record(near)]).reasons[0]] == ["close_sites"]
    for site in near["sites"]:
        site["species"][0]["occu"] = 0.5
    assert not read_records([record(near)]).reasons


def test_cells_of_a_table_are_told_apart_by_what_they_hold(tmp_path):
    cif = (crystals_path() / "AlN.cif").read_text()
    rows = [{"id": "a", "cif": cif}, {"id": "b", "cif": json.dumps(SALT)}, {"id": "c", "cif": SALT}]
    path = tmp_path / "t.json"
    path.write_text(json.dumps(rows))
    records = list(iter_records(path))
    assert [one.format for one in records] == ["cif", "pymatgen", "pymatgen"]
    batch = read_records(records).batch
    assert batch.ids == ("a", "b", "c")
    assert_equal(batch.select([1]), CrystalBatch.from_pymatgen([Structure.from_dict(SALT)], ["b"]))
