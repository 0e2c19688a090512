"""``pyhpc diagnose``: what it reads, what it says of files that it can't use."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyhpc.diagnosis.reading import read_predictions
from pyhpc.errors import PyhpcError

N = 90


@pytest.fixture
def columns(rng):
    """Give columns of good predictions by name."""
    best = rng.uniform(50, 300, N)
    return {
        "id": [f"{k:03}" for k in range(N)],
        "y_true": best + 10 * rng.normal(size=N),
        "y_pred": best,
        "density": rng.normal(size=N),
    }


def write_csv(path, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def write_parquet(path, columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_a_collapsed_model_gets_its_page(pyhpc, tmp_path, columns, rng):
    columns["y_pred"] = rng.uniform(128, 133, N)
    file = write_csv(tmp_path / "predictions.csv", columns)
    code, out, _ = pyhpc("diagnose", file)
    assert code == 0
    assert "'y_true' is the truth, 'y_pred' the prediction." in out
    assert "further columns of numbers: density" in out
    assert "The predictions have collapsed to one value" in out
    assert "- Train on the logarithm of the target" in out
    folder = tmp_path / "predictions_diagnosis"
    assert sorted(path.name for path in folder.iterdir()) == ["diagnosis.html", "diagnosis.json"]
    stored = json.loads((folder / "diagnosis.json").read_text())
    assert {c["key"]: c["verdict"] for c in stored["checks"]}["collapse"] == "serious"
    assert "Diagnosis of predictions.csv" in (folder / "diagnosis.html").read_text()


def test_a_good_model_is_told_so(pyhpc, tmp_path, columns):
    file = write_parquet(tmp_path / "p.parquet", columns)
    code, out, _ = pyhpc("diagnose", file, "--out", tmp_path / "page", "--log")
    assert code == 0
    assert "serious" not in out
    assert "decimal logarithms" in (tmp_path / "page" / "diagnosis.html").read_text()


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [
        ("target", "prediction"),
        ("Measured", "Predicted"),
        ("K_true (GPa)", "K_pred (GPa)"),
        ("bulk modulus true", "bulk-modulus-pred"),
    ],
)
def test_columns_are_found_by_their_usual_names(tmp_path, columns, truth, prediction):
    renamed = {
        {"y_true": truth, "y_pred": prediction}.get(name, name): values
        for name, values in columns.items()
    }
    found = read_predictions(write_csv(tmp_path / "p.csv", renamed))
    assert (found.truth_name, found.prediction_name) == (truth, prediction)
    assert list(found.arguments["features"]) == ["density"]
    assert found.arguments["ids"][7] == "007"


def test_columns_may_be_named(tmp_path, columns):
    renamed = dict(zip(("who", "a", "b", "density"), columns.values(), strict=True))
    file = write_csv(tmp_path / "p.csv", renamed)
    found = read_predictions(file, truth="a", prediction="b", identifier="who")
    assert found.arguments["ids"][7] == "007"
    np.testing.assert_array_equal(found.arguments["truth"], columns["y_true"])


def test_features_come_by_id_from_a_run_or_a_table(tmp_path, columns, rng):
    file = write_csv(tmp_path / "p.csv", columns)
    order = rng.permutation(N)[:-5]
    table = {
        "id": [columns["id"][k] for k in order] + ["other"],
        "volume": [*order.astype(float), -1.0],
        "word": ["x"] * (N - 4),
    }
    (tmp_path / "out" / "parts").mkdir(parents=True)
    write_parquet(tmp_path / "out" / "parts" / "0.parquet", table)
    for features in (tmp_path / "out", write_csv(tmp_path / "f.csv", table)):
        known = read_predictions(file, features=features).arguments["features"]
        assert list(known) == ["volume"]
        present = np.isfinite(known["volume"])
        assert present.sum() == N - 5
        np.testing.assert_array_equal(known["volume"][present], np.flatnonzero(present))


def test_predictions_of_a_study_are_read_one_split_and_repetition_at_a_time(tmp_path, columns):
    rows = {name: [*values, *values, *values] for name, values in columns.items()}
    rows |= {
        "split": ["random"] * 2 * N + ["paper"] * N,
        "seed": [0] * N + [1] * N + [0] * N,
        "fold": [k % 5 for k in range(3 * N)],
        "is_bound": [int(k % N < 4) for k in range(3 * N)],
    }
    file = write_csv(tmp_path / "p.csv", rows)
    found = read_predictions(file)
    assert len(found.arguments["truth"]) == N - 4
    assert len(set(found.arguments["folds"])) == 5
    assert any("split 'random'" in note for note in found.notes)
    assert any("2 repetitions" in note for note in found.notes)
    assert any("4 rows whose truth is known as a bound" in note for note in found.notes)
    assert list(found.arguments["features"]) == ["density"]
    paper = read_predictions(file, split="paper")
    assert len(paper.arguments["truth"]) == N - 4
    with pytest.raises(PyhpcError, match="no rows of split 'papers'"):
        read_predictions(file, split="papers")


def test_training_rows_of_the_same_file_are_those_to_compare_with(tmp_path, columns):
    columns["split"] = ["train"] * 60 + ["test"] * 30
    columns["formula"] = ["LiCl"] * 50 + ["NaCl"] * 40
    arguments = read_predictions(write_csv(tmp_path / "p.csv", columns)).arguments
    assert len(arguments["truth"]) == 30
    assert arguments["train_ids"] == columns["id"][:60]
    assert arguments["train_formulas"] == columns["formula"][:60]
    assert arguments["formulas"] == ["NaCl"] * 30
    np.testing.assert_array_equal(arguments["train_truth"], columns["y_true"][:60])
    np.testing.assert_array_equal(arguments["train_features"]["density"], columns["density"][:60])


def test_rows_that_were_trained_on_are_found(pyhpc, tmp_path, columns):
    file = write_csv(tmp_path / "p.csv", columns)
    train = write_csv(tmp_path / "train.csv", {"id": columns["id"][:40], "target": range(40)})
    code, out, _ = pyhpc("diagnose", file, "--train", train)
    assert code == 0
    assert "40 of 90 rows (44 %) are themselves among the training rows" in out


def test_empty_cells_are_missing_predictions(pyhpc, tmp_path, columns):
    columns["y_pred"] = ["" if k % 9 == 0 else v for k, v in enumerate(columns["y_pred"])]
    code, _, _ = pyhpc("diagnose", write_csv(tmp_path / "p.csv", columns))
    assert code == 0
    stored = json.loads((tmp_path / "p_diagnosis" / "diagnosis.json").read_text())
    rows = next(c for c in stored["checks"] if c["key"] == "rows")
    assert rows["numbers"]["without_prediction"] == 10


def broken(columns, **changes):
    return {name: changes.get(name, values) for name, values in columns.items()}


@pytest.mark.parametrize(
    ("content", "options", "message", "remedy"),
    [
        (None, [], "there is no", "Check the path"),
        ("", [], "can't be read as CSV", "Correct the file"),
        ("id,y_true,y_pred\n1,2\n", [], "can't be read as CSV", "Correct the file"),
        ("id,y_true,y_pred\n", [], "only 0 of 0 rows", "check the columns"),
        ("id,y_true,y_pred\na,1,2\nb,1,?\n", [], "row 2: y_pred is '?'", "Correct the cell"),
        ("id,y_true,y_pred\na,<1e-9,2\n", [], "row 1: y_true is '<1e-9'", "Correct the cell"),
        ("id,a,y_pred\n1,2,3\n", [], "looks like truth", "--truth; it has id, a, y_pred"),
        ("id,y_true,b\n1,2,3\n", [], "looks like prediction", "--prediction; it has"),
        ("mp-1,2.5,3.25\n", [], "looks like truth", "no header line"),
        ("id,y_true,y_pred,y_pred\n1,2,3,4\n", [], "two columns 'y_pred'", "Rename one"),
        ("id,y_true,y_pred\n1,2,3\n", ["--truth", "z"], "no column 'z'", "--truth may be id"),
        ("y_true,y_pred\n2,3\n", ["--features", "p.csv"], "no column of ids", "--id"),
        ("id,y_true,y_pred\n1,2,3\n", ["--split", "x"], "no column 'split'", "Leave out"),
        ("id,y_true,y_pred\n1,2,3\n", ["--features", "none"], "there is no", "Check the path"),
        ("id,y_true,y_pred\n1,2,3\n", ["--features", "."], "no Parquet files", "folder of a run"),
    ],
)
def test_files_that_can_not_be_used(
    pyhpc, tmp_path, monkeypatch, content, options, message, remedy
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "p.csv").write_text(content)
    code, _, errors = pyhpc("diagnose", "p.csv", *options)
    assert code == 1
    assert message in errors
    assert remedy in errors
    assert not (tmp_path / "p_diagnosis").exists()


def test_tables_of_features_must_name_each_row_once(tmp_path, columns):
    file = write_csv(tmp_path / "p.csv", columns)
    twice = write_csv(tmp_path / "f.csv", {"id": ["001", "002", "001"], "v": [1, 2, 3]})
    with pytest.raises(PyhpcError, match="two rows of the id '001'"):
        read_predictions(file, features=twice)
    others = write_csv(tmp_path / "o.csv", {"id": ["mp-1", "mp-2"], "v": [1, 2]})
    with pytest.raises(PyhpcError, match="such as '000', its id such as 'mp-1'"):
        read_predictions(file, features=others)


def test_a_truncated_parquet_file_is_an_error(pyhpc, tmp_path, columns):
    file = write_parquet(tmp_path / "p.parquet", columns)
    file.write_bytes(file.read_bytes()[:200])
    code, _, errors = pyhpc("diagnose", file)
    assert code == 1
    assert "can't be read as Parquet" in errors
