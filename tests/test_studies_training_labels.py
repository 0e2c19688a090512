"""Labels of other sources: trained on, never scored, and left out with what they belong to."""

import csv

import numpy as np
import pytest

from pyhpc.cli import main
from pyhpc.errors import PyhpcError
from pyhpc.executors.inline import InlineExecutor
from pyhpc.studies.job import read_job
from pyhpc.studies.table import build_table

pytest.importorskip("xgboost", reason="the extra ml is not installed")
pytest.importorskip("jinja2", reason="the extra ml is not installed")

JOB = """
[study]
name = "labels"
title = "Two sources of labels"
groups = "formulas"

[data]
folders = ["data"]
train = "train.csv"
id = "name"
numbers = ["x"]
composition = "formula"

[target]
column = "y"
transform = "log10"
training_labels = ["y2", "y3"]

[splits.random]
kind = "random"
folds = 4

[splits.formulas]
kind = "grouped"
columns = ["formula"]
folds = 3

[splits.one_out]
kind = "leave_one_out"
columns = ["formula"]

[splits.clusters]
kind = "clusters"
columns = ["x"]
folds = 3

[splits.tails]
kind = "target_tails"
share = 0.25

[[experiments]]
name = "nearest"
model = { kind = "nearest", features = ["x"] }
splits = ["random", "formulas", "one_out", "clusters", "tails"]
diagnose = true

[[experiments]]
name = "own"
model = { kind = "nearest", features = ["x"] }
splits = ["random"]
own_label = true
"""
FORMULAS = ["LiCl", "NaCl", "KCl"]
KNOWN = 12
"""Rows of the target: x is 0, 1, ... and log10 y the same."""
OTHER = np.arange(KNOWN) + np.where(np.arange(KNOWN) < KNOWN / 2, -0.25, 0.25)
"""log10 of the other label of rows that are nearly the same."""


def write(folder, extra=()):
    """Write rows with a target, and beside each the same x again with another label alone."""
    (folder / "data").mkdir()
    lines = ["name,formula,x,y,y2,y3"]
    for k in range(KNOWN):
        lines.append(f"n{k},{FORMULAS[k // 4]},{k},{10.0**k},,")
    for k in range(KNOWN):
        lines.append(f"m{k},{FORMULAS[k // 4]},{k + 0.01},,{10.0 ** OTHER[k]},nan")
    (folder / "data" / "train.csv").write_text("\n".join([*lines, *extra]) + "\n")
    (folder / "job.toml").write_text(JOB)
    return folder / "job.toml"


def build(path):
    def run(job):
        InlineExecutor().submit(job).wait()

    return build_table(read_job(path), path.parent / "work", run)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("labels"))
    with pytest.raises(SystemExit) as caught:
        main(["run", str(path), "--out", str(path.parent / "out"), "--workers", "0"])
    assert caught.value.code == 0
    return path.parent / "out"


def errors(folder, experiment, split):
    """Distance of each row's prediction from its own label, by row."""
    with (folder / f"{experiment}_predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return {row["id"]: float(row["y_pred"]) - float(row["y_true"]) for row in rows}


def test_rows_of_another_source_are_trained_on_and_never_scored(finished):
    found = errors(finished, "nearest", "random")
    assert set(found) == {f"n{k}" for k in range(KNOWN)}
    # The nearest row is the one with the same x and the other label.
    assert np.allclose(np.abs(list(found.values())), 0.25)
    # Without them it is a whole number, or the mean of two that are equally far.
    own = 2 * np.array(list(errors(finished, "own", "random").values()))
    np.testing.assert_allclose(own, np.rint(own), atol=1e-6)


@pytest.mark.parametrize("split", ["formulas", "one_out", "clusters", "tails"])
def test_they_are_left_out_with_what_they_belong_to(finished, split):
    found = errors(finished, "nearest", split)
    assert found
    assert not any(name.startswith("m") for name in found)
    assert all(abs(error) > 0.7 for error in found.values())


def test_the_report_says_what_other_labels_change(finished):
    page = (finished / "report.md").read_text()
    assert "this changes 0 rows, and adds 12 that have no y." in page


def test_several_labels_of_a_row_are_averaged_but_for_bounds(tmp_path):
    extra = ["a,LiCl,20,100,10000,1e6", "b,LiCl,21,<100,10000,", "c,LiCl,22,,<5,", "d,LiCl,23,,0,"]
    study = build(write(tmp_path, extra))
    assert study.sources["left_out"]["no target"] == 0
    # A bound is no label to average with, and 0 has no logarithm.
    assert study.auxiliary["id"].to_pylist() == [f"m{k}" for k in range(KNOWN)]
    assert study.ids[-2:] == ["a", "b"]
    assert study.sources["training_labels"] == {"added": 12, "changed": 1}
    np.testing.assert_allclose(study.target.values[-2:], [2, 2])
    np.testing.assert_allclose(study.learned.values[KNOWN : KNOWN + 2], [4, 2])
    np.testing.assert_array_equal(study.learned.lower[KNOWN : KNOWN + 2], [4, -np.inf])
    np.testing.assert_allclose(study.learned.values[-KNOWN:], OTHER)


def test_test_rows_are_what_their_own_label_says(tmp_path):
    path = write(tmp_path)
    path.write_text(JOB.replace('train = "train.csv"', 'train = "train.csv"\ntest = "test.csv"'))
    lines = ["name,formula,x,y,y2,y3", "t,LiCl,5,100,10000,", "u,LiCl,6,,10000,"]
    (tmp_path / "data" / "test.csv").write_text("\n".join(lines) + "\n")
    study = build(path)
    assert (study.ids[-1], study.n_train, len(study.ids)) == ("t", KNOWN, KNOWN + 1)
    assert study.learned.values[KNOWN] == study.target.values[KNOWN] == 2
    assert study.sources["left_out"]["no target"] == 1


def test_a_label_is_not_its_own_second_source(tmp_path):
    path = write(tmp_path)
    path.write_text(JOB.replace('["y2", "y3"]', '["y", "y2"]'))
    with pytest.raises(PyhpcError, match=r"training_labels names 'y', which is target\.column"):
        read_job(path)
