"""Broken CIFs: no crash, no hang, and every record is either in the batch or quarantined."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pyhpc.crystals import Limits, iter_records, read_records
from pyhpc.gallery import crystals_path
from pyhpc.records import Outcome
from tests.cifs import COLUMNS, cif, record

LIMITS = Limits(max_text_bytes=1 << 20, max_sites=2000)
SEEDS = [
    cif(),
    cif(operators=(), header="_symmetry_space_group_name_H-M 'F m -3 m'"),
    cif(
        ["Li1 Li1+ 0.3333 0.6667 0.1(2) ? 4", "O1 O2- . . 0 0.5 1", "X1 '0.5Nb + 0.5Zr' 0 0 0 1 1"],
        columns=(*COLUMNS, "symmetry_multiplicity"),
        cell=("4.1(2)", 4.1, 9, 90, 90, 120),
        operators=["x,y,z", "-y,x-y,z+1/3", "-x+y,-x,z+.66667"],
        header="_chemical_formula_sum 'Li O'\n_cell_formula_units_Z 3\n_publ_text\n;\n text ' \n;",
        footer="loop_\n_atom_type_symbol\n_atom_type_oxidation_number\nLi1+ 1\nO2- -2",
    ),
    cif(name="a") + cif(name="b"),
]
TOKENS = [
    b"'", b'"', b";", b"\n;\n", b"loop_\n", b"data_", b"\ndata_x\n", b"save_", b"_", b"#", b"?",
    b".", b"1e999", b"-1e300", b"99999999999999999999", b"nan", b"inf", b"0", b"()", b"(5)", b",",
    b"x,y,z", b"1/0", b"\0", b"\xff\xfe", b"\xe9", b"\r", b"\t", b"[", b"{", b"$", b"\\", b"'x' y",
]  # fmt: skip


def mutate(rng, data):
    """One to a few random injuries."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(0, len(data) + 1))
        match rng.integers(0, 7):
            case 0 if data:
                data[at % len(data)] ^= 1 << int(rng.integers(0, 8))
            case 1:
                del data[at:]
            case 2:
                data[at:at] = TOKENS[rng.integers(len(TOKENS))]
            case 3:
                del data[at : at + int(rng.integers(1, 40))]
            case 4:
                lines = data.split(b"\n")
                k = int(rng.integers(len(lines)))
                data = bytearray(b"\n".join([*lines[:k], lines[k], *lines[k:]]))
            case 5:
                lines = data.split(b"\n")
                rng.shuffle(lines)
                data = bytearray(b"\n".join(lines))
            case _:
                words = data.split(b" ")
                words[rng.integers(len(words))] = TOKENS[rng.integers(len(TOKENS))]
                data = bytearray(b" ".join(words))
    return bytes(data)


def assert_accounted_for(records):
    """Each record is in the batch or quarantined, never both; the batch is sound."""
    result = read_records(records, LIMITS)
    batch = result.batch
    for k in range(len(records)):
        quarantined = any(
            reason.outcome is Outcome.QUARANTINED for reason in result.reasons.get(k, [])
        )
        assert quarantined != (k in result.positions), (records[k].text, result.reasons.get(k))
    for reasons in result.reasons.values():
        for reason in reasons:
            assert reason.message
            assert "\n" not in reason.message
            assert len(reason.message) < 400
    assert np.isfinite(batch.lattices).all()
    assert np.all((batch.frac_coords >= 0) & (batch.frac_coords < 1))
    assert np.all((batch.occupancies > 0) & (batch.occupancies <= 1 + 1e-12))
    assert np.all((batch.atomic_numbers >= 1) & (batch.atomic_numbers <= 118))
    assert np.all(np.diff(batch.site_offsets) > 0)
    assert np.all(np.diff(batch.species_offsets) > 0)
    assert np.all(np.diff(batch.site_offsets) <= LIMITS.max_sites)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files(seed):
    rng = np.random.default_rng(seed)
    texts = [mutate(rng, SEEDS[k % len(SEEDS)].encode()) for k in range(1500)]
    assert_accounted_for([record(text) for text in texts])


def test_mutated_real_files(shared_data):
    rng = np.random.default_rng(7)
    real = [r.text for r in iter_records(shared_data("cif_pymatgen/cifs.tar.gz"))]
    texts = [mutate(rng, text) for text in real for _ in range(3)]
    assert_accounted_for([record(text) for text in texts])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes(data):
    assert_accounted_for([record(data), record(b"data_x\n" + data)])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=13, max_size=13
    )
)
def test_any_values(values):
    """Whatever stands where a value should stand, quoted so that the syntax holds."""
    quoted = ["'" + v.replace("'", "").replace("\n", "").replace("\r", "") + "'" for v in values]
    text = cif(
        [" ".join(quoted[:6])], cell=quoted[6:12], header=f"_chemical_formula_sum {quoted[12]}"
    )
    assert_accounted_for([record(text)])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.lists(st.floats(0.1, 300), min_size=3, max_size=3),
    st.lists(st.floats(1, 179), min_size=3, max_size=3),
    st.integers(1, 230),
)
def test_any_numbers(coordinates, lengths, angles, number):
    x, y, z = coordinates
    text = cif(
        [f"Li1 Li {x} {y} {z} 1"],
        cell=(*lengths, *angles),
        operators=(),
        header=f"_space_group_IT_number {number}",
    )
    assert_accounted_for([record(text)])


@pytest.mark.parametrize(
    "text",
    [
        "data_x\n" + "loop_\n" * 50_000,
        "data_x\n" + "_a " * 100_000,
        "data_x\nsave_y\n" * 20_000,
        "'" * 500_000,
        "data_x\n_a '" + "' '" * 200_000,
        ";\n" * 200_000,
        "data_x _a " + "data_" * 100_000,
        "data_x\n" + " data_ 'a" * 50_000,
        cif(["Li1 Li 0 0 0 1"] * 20_000),
        cif([f"Li{k} Li {k * 1e-5:.5f} 0 0 0.01" for k in range(20_000)]),
        cif(operators=["x,y,z"] * 50_000),
        cif(operators=["+".join(["x"] * 10_000) + ",y,z"]),
        cif(header="_chemical_formula_sum '" + "Li" * 200_000 + "'"),
        cif(header="_symmetry_space_group_name_Hall '" + "P" * 200_000 + "'", operators=()),
        cif([f"Li1 Li{'+' * 200_000} 0 0 0 1"]),
        cif([f"Li1 Li 0.{'3' * 200_000} 0 0 1"]),
    ],
    ids=lambda text: text[:20].replace("\n", " "),
)
def test_repetitions_do_not_hang(tmp_path, text):
    path = tmp_path / "x.cif"
    path.write_text(text)
    records = list(iter_records(path))
    assert records
    result = read_records(records)
    assert len(result.positions) + len(result.reasons) >= len(records)


def test_plain_files_are_read_as_gemmi_reads_them():
    """After a comment with a character that is not ASCII, gemmi reads the same text."""
    rng = np.random.default_rng(20261121)
    records = [r for r in iter_records(crystals_path()) if r.text.isascii()]
    n_plain = 0
    for round_ in range(6):
        texts = [mutate(rng, r.text) if round_ else r.text for r in records]
        texts = [text for text in texts if text.isascii()]
        plain = read_records([record(text) for text in texts], LIMITS)
        marked = ["# \N{ANGSTROM SIGN}\n".encode() + text for text in texts]
        by_gemmi = read_records([record(text) for text in marked], LIMITS)
        assert codes(plain) == codes(by_gemmi)
        assert_array_equal(plain.positions, by_gemmi.positions)
        assert_same_batch(plain.batch, by_gemmi.batch)
        n_plain += len(plain.batch)
    assert n_plain > len(records), "some that were changed are read as well"


def codes(result):
    """Codes of the findings; messages tell of lines, of which one has one more."""
    return {k: [reason.code for reason in result.reasons[k]] for k in sorted(result.reasons)}


def assert_same_batch(one, other):
    """Bit for bit."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.tobytes() == b.tobytes(), field.name
        else:
            assert a == b
