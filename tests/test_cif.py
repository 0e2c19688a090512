"""What a CIF may say, rule by rule, on small files."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pyhpc.crystals import CrystalReadError, SourceError, read, read_records
from pyhpc.records import Outcome, Reason, Record
from tests.cifs import COLUMNS, cif, read_one, record

FM3M = "-F 4 2 3"


def amounts(batch):
    """Atoms per cell by atomic number, of the first crystal."""
    totals = np.bincount(batch.atomic_numbers, weights=batch.occupancies)
    return {int(z): pytest.approx(totals[z]) for z in np.flatnonzero(totals)}


def test_plain_cell():
    batch, reasons = read_one(cif())
    assert reasons == {}
    assert batch.ids == ("x",)
    assert_allclose(batch.lattices[0], 5.64 * np.eye(3), rtol=0)
    assert_array_equal(batch.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert_array_equal(batch.atomic_numbers, [11, 17])
    assert_array_equal(batch.occupancies, [1, 1])
    assert np.isnan(batch.oxidation_states).all()
    assert_array_equal(batch.asymmetric_index, [0, 1])
    assert batch.pbc.all()


def test_lattice_has_the_stated_parameters():
    cell = (3.1, 4.2, 5.3, 71.0, 83.0, 104.0)
    batch, _ = read_one(cif(cell=cell))
    rows = batch.lattices[0]
    lengths = np.linalg.norm(rows, axis=1)
    cosines = [rows[i] @ rows[j] / lengths[i] / lengths[j] for i, j in ((1, 2), (0, 2), (0, 1))]
    assert_allclose(lengths, cell[:3], rtol=1e-14)
    assert_allclose(np.degrees(np.arccos(cosines)), cell[3:], rtol=1e-13)
    assert np.linalg.det(rows) > 0


def test_hexagonal_lattice_is_exact():
    batch, _ = read_one(cif(cell=(3, 3, 5, 90, 90, 120)))
    assert_array_equal(batch.lattices[0, 1, 0], -1.5)
    assert_array_equal(batch.lattices[0, 2, :2], 0)


@pytest.mark.parametrize(
    "header",
    [
        "_space_group_name_Hall '-F 4 2 3'",
        "_symmetry_space_group_name_Hall '-F 4 2 3'",
        "_symmetry_space_group_name_H-M 'F m -3 m'",
        "_space_group_name_H-M_alt Fm-3m",
        "_SYMMETRY_SPACE_GROUP_NAME_H-M 'F m 3 m'",
        "_symmetry_Int_Tables_number 225",
        "_space_group_IT_number 225",
        "_space_group_name_Hall ?\n_space_group_IT_number 225",
        "_space_group_name_Hall nonsense\n_space_group_IT_number 225",
    ],
)
def test_symmetry_without_operators(header):
    batch, reasons = read_one(cif(operators=(), header=header))
    assert reasons == {}
    assert amounts(batch) == {11: 4, 17: 4}
    assert_array_equal(batch.asymmetric_index, np.repeat([0, 1], 4))


@pytest.mark.parametrize("tag", ["_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"])
def test_listed_operators_come_before_the_symbol(tag):
    header = f"_symmetry_Int_Tables_number 225\nloop_\n{tag}\nx,y,z\n'x,1/2+y,.5+Z'"
    batch, reasons = read_one(cif(operators=(), header=header))
    assert reasons == {}
    assert amounts(batch) == {11: 2, 17: 2}


def test_single_operator_without_a_loop():
    batch, reasons = read_one(cif(operators=(), header="_symmetry_equiv_pos_as_xyz x,y,z"))
    assert reasons == {}
    assert amounts(batch) == {11: 1, 17: 1}


@pytest.mark.parametrize(
    ("header", "gamma", "images"),
    [
        ("_symmetry_space_group_name_H-M 'R -3 m'", 120, 3),
        ("_symmetry_space_group_name_H-M 'R -3 m H'", 120, 3),
        ("_symmetry_Int_Tables_number 166", 120, 3),
        ("_symmetry_space_group_name_H-M 'R -3 m'", 60, 1),
        ("_symmetry_Int_Tables_number 166", 60, 1),
    ],
)
def test_rhombohedral_axes_follow_the_cell(header, gamma, images):
    cell = (4, 4, 12, 90, 90, 120) if gamma == 120 else (4, 4, 4, 60, 60, 60)
    batch, reasons = read_one(cif(["Li1 Li 0 0 0 1"], cell=cell, operators=(), header=header))
    assert reasons == {}
    assert batch.n_sites == images


def test_origin_choice_two_is_standard():
    # The diamond site is at 1/8 in origin choice 2, at 0 in choice 1.
    cell = (5.43, 5.43, 5.43, 90, 90, 90)
    for header, x in (
        ("_symmetry_Int_Tables_number 227", 0.125),
        ("_symmetry_space_group_name_H-M 'F d -3 m'", 0.125),
        ("_symmetry_space_group_name_H-M 'F d -3 m Z'", 0.125),
        ("_symmetry_space_group_name_H-M 'F d -3 m S'", 0),
        ("_symmetry_space_group_name_H-M 'F d -3 m :1'", 0),
    ):
        batch, reasons = read_one(
            cif([f"Si1 Si {x} {x} {x} 1"], cell=cell, operators=(), header=header)
        )
        assert reasons == {}, header
        assert batch.n_sites == 8, header


@pytest.mark.parametrize(
    ("header", "code", "n_sites"),
    [
        ("", "symmetry_missing", 2),
        ("_symmetry_space_group_name_H-M 'Q 9'", "symmetry_missing", 2),
        ("_symmetry_space_group_name_H-M 'Q 9'\n_space_group_IT_number 225", "setting_assumed", 8),
        ("_symmetry_space_group_name_H-M 'P 1'\n_space_group_IT_number 225", "setting_assumed", 2),
    ],
)
def test_doubtful_symmetry_is_reported(header, code, n_sites):
    batch, reasons = read_one(cif(operators=(), header=header))
    assert list(reasons) == [code]
    assert reasons[code].outcome is Outcome.DEGRADED
    assert batch.n_sites == n_sites


def test_special_position_counts_once_and_becomes_exact():
    rotations = ["x,y", "-y,x-y", "-x+y,-x"]
    operators = [f"{xy},{z}" for z in ("z", "-z") for xy in rotations]
    for third, two_thirds in (("0.3333", "0.6667"), ("0.33333", "0.66667"), ("-0.6667", "-.3333")):
        sites = [f"B1 B {third} {two_thirds} 0.00003 1", "Li1 Li 0.1667 0.3333 0.49998 1"]
        batch, reasons = read_one(cif(sites, cell=(3, 3, 5, 90, 90, 120), operators=operators))
        assert reasons == {}
        assert amounts(batch) == {5: 1, 3: 3}
        expected = [
            [1 / 3, 2 / 3, 0],
            [1 / 6, 1 / 3, 0.5],
            [2 / 3, 5 / 6, 0.5],
            [1 / 6, 5 / 6, 0.5],
        ]
        assert_allclose(batch.frac_coords, expected, atol=1e-15)


def test_images_closer_than_the_tolerance_of_gemmi_stay_apart():
    # Split sites 0.3 angstrom apart are two sites, each half filled.
    sites = ["Li1 Li 0.03 0 0 0.5", "O1 O 0.5 0.5 0.5 1"]
    batch, reasons = read_one(cif(sites, cell=(5, 5, 5, 90, 90, 90), operators=["x,y,z", "-x,y,z"]))
    assert reasons == {}
    assert_allclose(batch.frac_coords[:2], [[0.03, 0, 0], [0.97, 0, 0]], atol=1e-12)
    assert amounts(batch) == {3: 1, 8: 1}


def test_coordinates_are_wrapped_into_the_cell():
    batch, _ = read_one(cif(["Li1 Li -0.25 1.5 12.0 1"]))
    assert_array_equal(batch.frac_coords, [[0.75, 0.5, 0.0]])


def test_rows_on_one_position_become_one_site():
    operators = ["x,y,z", "-x,-y,-z"]
    sites = [
        "Fe1 Fe3+ 0.25 0.3 0.4 0.5",
        "Mn1 Mn2+ -0.25 -0.30003 -0.4 0.3",
        "Fe2 Fe3+ 0.25 0.3 0.4 0.1",
        "Fe3 Fe2+ 0.25 0.3 0.4 0.1",
    ]
    batch, reasons = read_one(cif(sites, operators=operators))
    assert reasons == {}
    assert batch.n_sites == 2
    assert_array_equal(batch.asymmetric_index, [0, 0])
    assert_array_equal(batch.atomic_numbers[:3], [26, 25, 26])
    assert_allclose(batch.occupancies[:3], [0.6, 0.3, 0.1])
    assert_array_equal(batch.oxidation_states[:3], [3, 2, 2])


def test_asymmetric_index_counts_merged_rows_once():
    sites = ["Na1 Na 0 0 0 0.5", "K1 K 0 0 0 0.5", "Cl1 Cl 0.5 0.5 0.5 1", "F1 F .2 .2 .2 0"]
    batch, _ = read_one(cif(sites))
    assert_array_equal(batch.asymmetric_index, [0, 1])


@pytest.mark.parametrize("value", ["?", "."])
def test_unknown_occupancy_is_one(value):
    batch, reasons = read_one(cif([f"Na1 Na 0 0 0 {value}"]))
    assert reasons == {}
    assert_array_equal(batch.occupancies, [1])


def test_numbers_with_uncertainties():
    sites = ["Na1 Na 0.1234(5) .25 -1.5e-1(2) 0.50(1)"]
    batch, reasons = read_one(cif(sites, cell=("5.640(3)", "5.(1)", 6, "90.(0)", 90, 90)))
    assert reasons == {}
    assert_allclose(batch.frac_coords, [[0.1234, 0.25, 0.85]])
    assert_allclose(batch.occupancies, [0.5])
    assert_allclose(np.diag(batch.lattices[0]), [5.64, 5, 6])


def test_charges_from_type_symbols():
    symbols = ["Li1+", "O2-", "O-2", "Fe+3", "Na+", "Cl-", "D1+", "D", "Cu1.5+", "K"]
    sites = [f"A{k} {s} 0 0 {k / 10} 1" for k, s in enumerate(symbols)]
    batch, reasons = read_one(cif(sites, cell=(9, 9, 9, 90, 90, 90)))
    assert reasons == {}
    assert_array_equal(batch.atomic_numbers, [3, 8, 8, 26, 11, 17, 1, 1, 29, 19])
    nan = np.nan
    assert_array_equal(batch.oxidation_states, [1, -2, -2, 3, 1, -1, 1, nan, 1.5, nan])


def test_charges_from_the_loop_of_types():
    footer = "loop_\n_atom_type_symbol\n_atom_type_oxidation_number\nFe2+ 2.5\nO -2\nLi ?"
    sites = ["Fe1 Fe2+ 0 0 0 1", "O1 O .5 .5 .5 1", "O2 O2- .5 0 0 1", "Li1 Li 0 .5 0 1"]
    batch, _ = read_one(cif(sites, footer=footer))
    assert_array_equal(batch.oxidation_states, [2.5, -2, -2, np.nan])


def test_labels_where_there_are_no_type_symbols():
    columns = ("label", "fract_x", "fract_y", "fract_z")
    sites = ["Li1 0 0 0", "FE(2) .5 0 0", "O3A 0 .5 0", "D4 0 0 .5", "Ow1 .5 .5 0"]
    batch, reasons = read_one(cif(sites, columns=columns))
    assert reasons == {}
    assert_array_equal(batch.atomic_numbers, [3, 26, 8, 1, 8])


def test_formula_decides_between_two_readings():
    sites = ["CA1 0 0 0", "O1 .5 0 0", "O2 0 .5 0"]
    columns = ("label", "fract_x", "fract_y", "fract_z")
    batch, _ = read_one(cif(sites, columns=columns))
    assert batch.atomic_numbers[0] == 20
    batch, reasons = read_one(cif(sites, columns=columns, header="_chemical_formula_sum 'C O2'"))
    assert reasons == {}
    assert batch.atomic_numbers[0] == 6


def test_mixture_in_one_symbol():
    batch, reasons = read_one(cif(["M1 '0.8Nb + 0.2Zr' 0 0 0 0.5"]))
    assert reasons == {}
    assert batch.n_sites == 1
    assert_array_equal(batch.atomic_numbers, [41, 40])
    assert_allclose(batch.occupancies, [0.4, 0.1])


def test_cartesian_coordinates():
    columns = ("label", "Cartn_x", "Cartn_y", "Cartn_z")
    cell = (4, 4, 6, 90, 90, 120)
    batch, reasons = read_one(cif(["Li1 1.0 1.7320508 3.0"], columns=columns, cell=cell))
    assert reasons["cartesian_frame_assumed"].outcome is Outcome.DEGRADED
    assert_allclose(batch.frac_coords, [[0.5, 0.5, 0.5]], atol=1e-8)


def test_single_atom_without_a_loop():
    text = cif([], columns=()).replace("loop_\n", "", 2).replace("_symmetry_equiv_pos_as_xyz\n", "")
    text = text.replace("'x,y,z'", "_symmetry_equiv_pos_as_xyz 'x,y,z'")
    text += "_atom_site_label Po1\n" + "".join(f"_atom_site_fract_{k} 0.5\n" for k in "xyz")
    batch, reasons = read_one(text)
    assert reasons == {}
    assert_array_equal(batch.atomic_numbers, [84])


def test_missing_angle_is_90():
    batch, reasons = read_one(cif(cell=(3, 4, 5, None, 90, 90)))
    assert reasons["cell_angle_assumed"].outcome is Outcome.DEGRADED
    assert_allclose(batch.lattices[0], np.diag([3, 4, 5]), atol=1e-15)


def test_dot_is_zero_and_question_mark_is_unknown():
    sites = ["K1 K .5 . . 1", "F1 F ? 0 0 1", "F2 F 0 0 . 1"]
    batch, reasons = read_one(cif(sites))
    assert_array_equal(batch.frac_coords, [[0.5, 0, 0], [0, 0, 0]])
    assert set(reasons) == {"coordinate_assumed", "site_without_coordinates"}
    assert "2 sites" in reasons["coordinate_assumed"].message
    assert "'F1'" in reasons["site_without_coordinates"].message.replace('"', "'")


@pytest.mark.parametrize("symbol", ["X", "Du", "Vac", ".", "?"])
def test_dummy_atoms_are_left_out(symbol):
    batch, reasons = read_one(cif(["Na1 Na 0 0 0 1", f"Q1 {symbol} .5 0 0 1"]))
    assert_array_equal(batch.atomic_numbers, [11])
    assert list(reasons) == ["dummy_site"]


def test_dummy_by_its_flag():
    columns = (*COLUMNS, "calc_flag")
    batch, reasons = read_one(cif(["Na1 Na 0 0 0 1 d", "C1 C .5 0 0 1 dum"], columns=columns))
    assert_array_equal(batch.atomic_numbers, [11])
    assert list(reasons) == ["dummy_site"]


def test_negative_occupancy_is_left_out():
    batch, reasons = read_one(cif(["Na1 Na 0 0 0 1", "K1 K .5 0 0 -0.02(3)"]))
    assert_array_equal(batch.atomic_numbers, [11])
    assert list(reasons) == ["negative_occupancy"]


@pytest.mark.parametrize("symbol", ["OH", "H2O", "Wat", "O-H"])
def test_hydrogens_without_a_position(symbol):
    batch, reasons = read_one(cif(["Na1 Na 0 0 0 1", f"O1 {symbol} .5 .5 .5 1"]))
    assert_array_equal(batch.atomic_numbers, [11, 8])
    assert list(reasons) == ["implicit_hydrogen"]
    assert reasons["implicit_hydrogen"].outcome is Outcome.DEGRADED


def test_hydrogens_missing_from_the_formula():
    header = "_chemical_formula_sum 'Na O H'\n_cell_formula_units_Z 1"
    sites = ["Na1 Na 0 0 0 1", "O1 O .5 .5 .5 1"]
    _, reasons = read_one(cif(sites, header=header))
    assert list(reasons) == ["implicit_hydrogen"]
    assert "H 0.00, expected H 1.00" in reasons["implicit_hydrogen"].message


def test_occupancy_slightly_above_one_is_scaled():
    sites = ["Na1 Na 0 0 0 0.67", "K1 K 0 0 0 0.335"]
    batch, reasons = read_one(cif(sites))
    assert reasons == {}
    assert_allclose(batch.occupancies.sum(), 1, rtol=1e-15)
    assert_allclose(batch.occupancies[0] / batch.occupancies[1], 2)


def test_occupancy_above_one():
    batch, reasons = read_one(cif(["Na1 Na 0 0 0 1.12"]))
    assert reasons["occupancy_above_one"].outcome is Outcome.DEGRADED
    assert "1.1200" in reasons["occupancy_above_one"].message
    assert_array_equal(batch.occupancies, [1])
    batch, reasons = read_one(cif(["Na1 Na 0 0 0 1", "Na2 Na 0 0 0 1"]))
    assert reasons["occupancy_above_one"].outcome is Outcome.QUARANTINED
    assert len(batch) == 0


@pytest.mark.parametrize(
    "header",
    [
        "_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 4",
        "_chemical_formula_sum NaCl",
        "_chemical_formula_sum 'Na4 Cl4'\n_cell_formula_units_Z 4",
        "_chemical_formula_sum ?",
        "_chemical_formula_sum '(Na Cl)4'",
    ],
)
def test_formula_that_agrees(header):
    _, reasons = read_one(cif(operators=(), header=f"_space_group_IT_number 225\n{header}"))
    assert reasons == {}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 8", "Na 8.00, Cl 8.00"),
        ("_chemical_formula_sum 'Na Cl2'", "Cl 6.00"),
        ("_chemical_formula_sum 'Na2 Cl2 O'\n_cell_formula_units_Z 2", "O 2.00"),
        ("_chemical_formula_sum 'Na8 Cl8'", "Na 8.00, Cl 8.00"),
    ],
)
def test_formula_that_does_not_agree(header, expected):
    batch, reasons = read_one(cif(operators=(), header=f"_space_group_IT_number 225\n{header}"))
    assert list(reasons) == ["formula_mismatch"]
    assert reasons["formula_mismatch"].outcome is Outcome.DEGRADED
    assert expected in reasons["formula_mismatch"].message
    assert len(batch) == 1


def test_formula_of_a_disordered_crystal():
    sites = ["Li1 Li 0 0 0 0.333", "La1 La .5 .5 .5 0.557"]
    _, reasons = read_one(cif(sites, header="_chemical_formula_sum 'Li0.33 La0.56'"))
    assert reasons == {}
    _, reasons = read_one(cif(sites, header="_chemical_formula_sum 'Li0.40 La0.56'"))
    assert list(reasons) == ["formula_mismatch"]


@pytest.mark.parametrize(
    ("declared", "codes"),
    [
        (("4", "4"), []),
        (("?", "."), []),
        (("48", "48"), []),  # the order of the site symmetry, as old files have it
        (("4", "8"), ["multiplicity_mismatch"]),
        (("1", "1"), ["multiplicity_mismatch"]),
    ],
)
def test_declared_multiplicities(declared, codes):
    columns = (*COLUMNS, "symmetry_multiplicity")
    sites = [f"Na1 Na 0 0 0 1 {declared[0]}", f"Cl1 Cl .5 .5 .5 1 {declared[1]}"]
    text = cif(sites, columns=columns, operators=(), header="_space_group_IT_number 225")
    _, reasons = read_one(text)
    assert list(reasons) == codes


def test_close_sites():
    sites = ["Na1 Na 0 0 0 1", "Cl1 Cl 0.99 0 0 1"]
    batch, reasons = read_one(cif(sites, cell=(9, 9, 9, 90, 90, 90)))
    assert list(reasons) == ["close_sites"]
    assert "Na and Cl are 0.090 A apart" in reasons["close_sites"].message
    assert batch.n_sites == 2
    alternatives = ["Na1 Na 0 0 0 0.5", "Cl1 Cl 0.99 0 0 0.5"]
    _, reasons = read_one(cif(alternatives, cell=(9, 9, 9, 90, 90, 90)))
    assert reasons == {}


def test_volume_mismatch():
    _, reasons = read_one(cif(header="_cell_volume 179.4(2)"))
    assert reasons == {}
    _, reasons = read_one(cif(header="_cell_volume 190"))
    assert list(reasons) == ["volume_mismatch"]


def test_operator_that_is_no_symmetry_of_the_lattice():
    text = cif(cell=(5, 5, 7, 90, 90, 90), operators=["x,y,z", "z,x,y"])
    _, reasons = read_one(text)
    assert list(reasons) == ["operator_mismatch"]
    assert "\"'z,x,y'\"" in reasons["operator_mismatch"].message


def test_operators_without_the_identity():
    batch, reasons = read_one(cif(["Na1 Na .1 .2 .3 1"], operators=["-x,-y,-z"]))
    assert list(reasons) == ["identity_missing"]
    assert batch.n_sites == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_structure"),
        ("nothing", "syntax_error"),
        ("data_x\n_tag 'open\n", "syntax_error"),
        ("data_x\nloop_\n_a\n_b\n1 2 3\n", "syntax_error"),
        ("data_x\n_cell_length_a 5\n", "no_structure"),
        ("data_a\n_x 1\ndata_b\n_y 2\n", "no_structure"),
        (cif(cell=(5, None, 5, 90, 90, 90)), "missing_cell"),
        (cif(cell=(5, "?", 5, 90, 90, 90)), "missing_cell"),
        (cif(cell=(5, "abc", 5, 90, 90, 90)), "bad_number"),
        (cif(cell=(5, -5, 5, 90, 90, 90)), "bad_number"),
        (cif(cell=(5, "nan", 5, 90, 90, 90)), "bad_number"),
        (cif(cell=(5, 5, 5, 30, 30, 90)), "bad_cell"),
        (cif(cell=(5, 5, 5, 90, 90, 180)), "bad_cell"),
        (cif(cell=(5, 5, 5, 60, 60, 120)), "bad_cell"),
        (cif(["Na1 Na 0 zero 0 1"]), "bad_number"),
        (cif(["Na1 Na 0 1e15 0 1"]), "bad_number"),
        (cif(["Na1 Na 0 1e999 0 1"]), "bad_number"),
        (cif(["Na1 Na 0 0 0 full"]), "bad_number"),
        (cif(["M1 M 0 0 0 1"]), "unknown_element"),
        (cif(["N1 NO3 0 0 0 1"]), "composite_site"),
        (cif(operators=["x,y"]), "bad_operator"),
        (cif(operators=["x,y,z", "x,y,__import__('os')".replace("'", "")]), "bad_operator"),
        (cif(["Na1 Na ? ? ? 1"]), "no_sites"),
        (cif(["Na1 Na 0 0 0 0"]), "no_sites"),
        (cif(["Na1 0 0"], columns=("label", "fract_x", "fract_y")), "no_sites"),
    ],
)
def test_what_can_not_be_read_is_quarantined(text, code):
    batch, reasons = read_one(text)
    assert len(batch) == 0
    assert list(reasons)[-1] == code
    assert reasons[code].outcome is Outcome.QUARANTINED
    assert reasons[code].message
    assert "\n" not in reasons[code].message


def test_duplicate_tag():
    batch, reasons = read_one(cif(header="_cell_volume 179.4\n_cell_volume 1"))
    assert list(reasons) == ["duplicate_tag"]
    assert "_cell_volume" in reasons["duplicate_tag"].message
    assert len(batch) == 1


def test_several_blocks_on_one_line_are_not_lost_in_silence():
    batch, reasons = read_one(cif().rstrip() + " " + cif(name="second"))
    assert list(reasons) == ["several_blocks"]
    assert len(batch) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_encodings(encoding):
    text = cif(header="_publ_author_name 'Müller, Å.'").encode(encoding)
    batch, reasons = read_one(text)
    assert reasons == {}
    assert batch.n_sites == 2


def test_windows_line_ends():
    batch, reasons = read_one(cif().replace("\n", "\r\n"))
    assert reasons == {}
    assert batch.n_sites == 2


def test_records_keep_their_order_and_every_one_is_accounted_for():
    refused = Record("gone", b"", "cif", "a.tar", 0, 0, Reason("r", "source", "quarantined", "m"))
    records = [record(cif(), name="a"), record("broken"), refused, record(cif(), name="b")]
    result = read_records(records)
    assert result.batch.ids == ("a", "b")
    assert_array_equal(result.positions, [0, 3])
    assert set(result.reasons) == {1, 2}
    assert result.reasons[2] == [refused.refused]


def test_no_records():
    result = read_records([])
    assert len(result.batch) == 0
    assert result.batch.lattices.shape == (0, 3, 3)
    assert result.batch.frac_coords.shape == (0, 3)


def test_batch_is_a_loop_over_its_records_for_any_number_of_threads():
    operators = ["x,y,z", "-x,-y,z", "-y,x,z", "y,-x,z"]
    rng = np.random.default_rng(5)
    texts = []
    for n in rng.integers(1, 12, size=40):
        coords = rng.uniform(size=(n, 3))
        sites = [f"A{k} Li {x:.5f} {y:.5f} {z:.5f} 0.9" for k, (x, y, z) in enumerate(coords)]
        texts.append(cif(sites, cell=(20, 20, 9, 90, 90, 90), operators=operators))
    records = [record(text, name=str(k)) for k, text in enumerate(texts)]
    one, many = (read_records(records, threads=n).batch for n in (1, 4))
    singles = [read_records([r]).batch for r in records]
    joined = type(one).concatenate(singles)
    for name in (
        "ids",
        "lattices",
        "site_offsets",
        "frac_coords",
        "species_offsets",
        "atomic_numbers",
        "occupancies",
        "oxidation_states",
        "asymmetric_index",
    ):
        assert_array_equal(getattr(one, name), getattr(many, name))
        assert_array_equal(getattr(one, name), getattr(joined, name))


def test_read_gives_a_batch_or_says_which_record(tmp_path):
    (tmp_path / "good.cif").write_text(cif())
    assert read(tmp_path / "good.cif").ids == ("good",)
    (tmp_path / "bad.cif").write_text("data_x\n_cell_length_a 5\n")
    with pytest.raises(CrystalReadError, match=r"bad\.cif: record 'bad' .*no_structure.*on_error"):
        read(tmp_path)
    assert read(tmp_path, on_error="skip").ids == ("good",)
    with pytest.raises(ValueError, match="on_error"):
        read(tmp_path, on_error="ignore")
    with pytest.raises(SourceError, match="does not exist"):
        read(tmp_path / "missing.cif")
