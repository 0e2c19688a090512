"""Tables of studies: rows, structures in columns and archives, compositions, left-out rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyhpc.crystals import read
from pyhpc.errors import PyhpcError
from pyhpc.executors.inline import InlineExecutor
from pyhpc.features.formulas import parse_formula
from pyhpc.gallery import crystals_path
from pyhpc.studies.job import read_job
from pyhpc.studies.structures import match_records
from pyhpc.studies.table import build_table

pytest.importorskip("xgboost", reason="the extra ml is not installed")

JOB = """
[study]
name = "small"
title = "A small table"

[data]
{data}

[target]
column = "{column}"
transform = "log10"

[featurize]
groups = ["composition", "lattice"]

[splits.classes]
kind = "grouped"
columns = ["anion_class"]

[[experiments]]
name = "mean"
model = {{ kind = "mean" }}
splits = ["classes"]
"""

NAMES = ["AlN", "BN_cubic", "CaCO3_calcite", "C_diamond", "Al2O3_corundum"]
FORMULAS = ["AlN", "BN", "CaCO3", "C", "Al2O3"]
CLASSES = ["nitride", "nitride", "oxide", "element", "oxide"]


def cif_of(name):
    return (crystals_path() / f"{name}.cif").read_text()


def build(folder, data, *, column="K"):
    path = folder / "job.toml"
    folders = "" if "folders" in data else 'folders = ["."]\n'
    path.write_text(JOB.format(data=folders + data, column=column))

    return build_table(
        read_job(path), folder / "work", lambda job: InlineExecutor().submit(job).wait()
    )


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


def features_of(study):
    return {name: np.asarray(study.table[name]) for name in study.features}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Table of the structures in a folder."""
    folder = tmp_path_factory.mktemp("expected")
    (folder / "cifs").mkdir()
    for name in NAMES:
        (folder / "cifs" / f"{name}.cif").write_text(cif_of(name))
    write_csv(folder / "t.csv", [{"id": name, "K": k + 1} for k, name in enumerate(NAMES)])
    return build(folder, 'train = "t.csv"\nid = "id"\nstructures = "cifs"')


def test_words_are_made_of_the_structures(expected):
    table = expected.table
    assert table["formula"].to_pylist() == FORMULAS
    assert table["anion_class"].to_pylist() == CLASSES
    assert table["chemical_system"].to_pylist() == ["Al-N", "B-N", "C-Ca-O", "C", "Al-O"]
    assert set(table["metallic"].to_pylist()) == {"nonmetal"}
    assert expected.texts("K") == ["1", "2", "3", "4", "5"]
    assert expected.target.values.tolist() == np.log10([1, 2, 3, 4, 5]).tolist()
    assert table["structure_ok"].to_pylist() == [1.0] * 5
    features = features_of(expected)
    assert np.isfinite(features["charge_imbalance"]).sum() >= 4
    assert np.isfinite(features["density"]).all()


@pytest.mark.parametrize("kind", ["csv", "parquet", "records", "split"])
def test_a_column_of_structures_gives_the_features_of_a_folder(tmp_path, expected, kind):
    cells = [cif_of(name) for name in NAMES]
    if kind in ("records", "split"):
        batch = read(crystals_path())
        cells[1:3] = [
            batch.select([batch.ids.index(name)]).to_pymatgen()[0].as_dict() for name in NAMES[1:3]
        ]
    rows = [{"K": k + 1.0, "structure": cell} for k, cell in enumerate(cells)]
    if kind == "csv":
        name = "t.csv"
        write_csv(tmp_path / name, rows)
    elif kind == "parquet":
        name = "t.parquet"
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    else:
        name = "t.json.gz"
        split = {
            "index": list(range(5)),
            "columns": ["K", "structure"],
            "data": [list(row.values()) for row in rows],
        }
        text = json.dumps(rows if kind == "records" else split)
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    study = build(tmp_path, f'train = "{name}"\nstructure = "structure"')
    assert study.ids == [f"t-0000{k}" for k in range(1, 6)]
    assert study.table["formula"].to_pylist() == FORMULAS
    found, wanted = features_of(study), features_of(expected)
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        if name != "li_site_avg_multiplicity":
            np.testing.assert_allclose(values, wanted[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_rows_find_their_records_by_the_last_part_of_the_path(tmp_path, expected):
    members = {f"cif/{name}.cif": cif_of(name) for name in NAMES}
    write_archive(tmp_path / "cifs.tar.gz", members)
    write_csv(tmp_path / "t.csv", [{"id": name, "K": k + 1} for k, name in enumerate(NAMES)])
    study = build(tmp_path, 'train = "t.csv"\nid = "id"\nstructures = "cifs.tar.gz"')
    found, wanted = features_of(study), features_of(expected)
    for name, values in found.items():
        np.testing.assert_array_equal(values, wanted[name], err_msg=name)
    write_archive(tmp_path / "cifs.tar.gz", members | {"old/AlN.cif": cif_of("AlN")})
    with pytest.raises(PyhpcError, match="row AlN may be cif/AlN or old/AlN"):
        build(tmp_path, 'train = "t.csv"\nid = "id"\nstructures = "cifs.tar.gz"')


def test_the_whole_name_goes_before_the_last_part():
    records = ["a/x", "x", "b/y", "c/z", "d/z"]
    assert match_records(["x", "y", "c/z", "w"], records) == ["x", "b/y", "c/z", None]
    with pytest.raises(PyhpcError, match="row z may be c/z or d/z"):
        match_records(["z"], records)


def test_rows_are_left_out_and_counted(tmp_path):
    doubtful = cif_of("AlN").replace("_cell_volume", "_cell_volume 99\n_x")
    assert "_cell_volume 99" in doubtful
    rows = [
        {"id": "good", "f": "", "K": 1, "cif": cif_of("AlN")},
        {"id": "doubtful", "f": "", "K": 2, "cif": doubtful},
        {"id": "stated", "f": "Li3PO4", "K": 3, "cif": ""},
        {"id": "stated_too", "f": "Cu3Au", "K": 4, "cif": "no crystal"},
        {"id": "neither", "f": "", "K": 5, "cif": ""},
        {"id": "broken", "f": "", "K": 6, "cif": "data_x"},
        {"id": "no_target", "f": "AlN", "K": "", "cif": cif_of("AlN")},
    ]
    write_csv(tmp_path / "train.csv", rows)
    write_csv(tmp_path / "test.csv", [row | {"id": row["id"] + "_2"} for row in rows[1:]])
    study = build(
        tmp_path,
        'train = "train.csv"\ntest = "test.csv"\nid = "id"\ncomposition = "f"\nstructure = "cif"',
    )
    assert study.ids[:4] == ["good", "doubtful", "stated", "stated_too"]
    assert study.n_train == 4
    assert study.ids[4:] == ["doubtful_2", "stated_2", "stated_too_2"]
    assert study.sources["left_out"] == {
        "no target": 2,
        "neither composition nor structure": 4,
    }
    assert study.texts("metallic") == ["nonmetal", "nonmetal", "nonmetal", "metal"]
    assert study.texts("formula") == ["AlN", "AlN", "Li3PO4", "Cu3Au"]
    assert study.table["structure_ok"].to_pylist() == [1, 0, 0, 0, 0, 0, 0]
    density = np.asarray(study.table["density"])
    assert np.isfinite(density).tolist() == [True, True, False, False, True, False, False]
    assert study.target.values[:4].tolist() == np.log10([1, 2, 3, 4]).tolist()
    assert np.isfinite(np.asarray(study.table["magpie_emb_0"])).all()


def test_a_table_without_any_composition_says_so(tmp_path):
    write_csv(tmp_path / "t.csv", [{"id": "a", "K": 1, "cif": ""}])
    data = 'train = "t.csv"\nid = "id"\nstructure = "cif"'
    with pytest.raises(PyhpcError, match="no row has anything in its column 'cif'"):
        build(tmp_path, data)
    write_csv(tmp_path / "t.csv", [{"id": "a", "K": 1, "cif": "data_a"}])
    with pytest.raises(PyhpcError, match="no training row has a composition or a structure"):
        build(tmp_path, data)


def test_other_labels_show_the_noise_of_the_training_rows(tmp_path):
    rows = [
        {"id": name, "K": 10.0 * (k + 1), "other": other, "cif": cif_of(name)}
        for k, (name, other) in enumerate(zip(NAMES, [10, 200, "", 0, "<3"], strict=True))
    ]
    write_csv(tmp_path / "t.csv", rows)
    write_csv(tmp_path / "u.csv", [rows[0] | {"id": "test", "other": 1e9}])
    study = build(
        tmp_path,
        'train = "t.csv"\ntest = "u.csv"\nid = "id"\nstructure = "cif"\nother_labels = ["other"]',
    )
    noise = study.sources["labels"]
    assert noise["without_logarithm"] == {"K": 0, "other": 1}
    assert noise["bound"] == pytest.approx(0.25 * np.std(np.log10([10, 20, 30, 40, 50])))
    (pair,) = noise["pairs"]
    assert (pair["first"], pair["second"], pair["rows"]) == ("K", "other", 2)
    assert pair["mean"] == pytest.approx(0.5)
    assert pair["share_beyond"] == 0.5


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('structure = "cif"', "no column 'cif'"),
        (
            'structure = "K"\nstructures = "t.csv"',
            "data.structures does not go with data.structure",
        ),
        ('structures = "t.csv"', "rows without data.id"),
        ('other_labels = ["K2"]', "no column 'K2'"),
    ],
)
def test_errors(tmp_path, data, words):
    write_csv(tmp_path / "t.csv", [{"K": 1}])
    with pytest.raises(PyhpcError, match=words):
        build(tmp_path, 'train = "t.csv"\n' + data)


def test_the_set_of_bulk_moduli(tmp_path, shared_data):
    """Every row with a target finds its structure, and the sources of labels agree as published."""
    folder = shared_data("elasticity")
    study = build(
        tmp_path,
        f'folders = ["{folder}"]\ndataset = "elasticity"\ntrain = "kvrh.csv"\nid = "mp_id"\n'
        'structures = "cifs.tar.gz"\nother_labels = ["K_VRH_matcalc2025", "K_VRH_me228"]',
        column="K_VRH_matbench2019",
    )
    assert len(study.ids) == study.n_train == 9851
    assert study.sources["left_out"] == {"no target": 1434, "neither composition nor structure": 0}
    assert study.sources["structures"]["records"] == 11269
    assert study.sources["structures"]["rows with a structure"] == 9851
    atoms = [sum(parse_formula(text).values()) for text in study.texts("formula")]
    units = np.asarray(study.table["n_total_atoms"]) / atoms
    np.testing.assert_array_equal(units, np.rint(units))
    pairs = {(one["first"], one["second"]): one for one in study.sources["labels"]["pairs"]}
    noise = pairs["K_VRH_matbench2019", "K_VRH_matcalc2025"]
    assert noise["rows"] == 2879
    assert noise["median"] < 0.01 < 0.03 < noise["mean"]
    assert study.sources["labels"]["without_logarithm"]["K_VRH_me228"] == 18
