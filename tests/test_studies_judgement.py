"""Subsets, extrapolation, uncertainty and diagnosis in the results of a study."""

import csv
import json

import numpy as np
import pytest

from pyhpc.cli import main
from pyhpc.studies.label_noise import errors_beside
from tests.study_jobs import metrics_of, write_study

pytest.importorskip("xgboost", reason="the extra ml is not installed")
pytest.importorskip("jinja2", reason="the extra ml is not installed")

JOB = """
[study]
name = "beyond"
title = "Beyond random folds"

[data]
folders = ["data"]
train = "train.csv"
id = "name"
numbers = ["x", "z", "has_z"]
composition = "formula"
other_labels = ["y2"]

[target]
column = "y"
transform = "log10"
label = "log10 y"

[subsets.binaries]
column = "total_elements"
equals = ["2"]
label = "binary compounds"

[splits.random]
kind = "random"
folds = 4

[splits.stratified]
kind = "stratified"
columns = ["target_quintile", "total_elements", "anion_class"]
folds = 4

[splits.clusters]
kind = "clusters"
columns = ["x", "magpie_emb_*"]
folds = 3

[splits.tails]
kind = "target_tails"
share = 0.2

[models.trees]
kind = "xgboost"
features = ["x", "z"]
n_trees = 60
max_depth = 3
colsample_bytree = 1.0

[[experiments]]
name = "trees"
model = "trees"
splits = ["random", "stratified", "clusters", "tails"]
diagnose = true

[[experiments]]
name = "collapsed"
splits = ["random"]
diagnose = true
[experiments.model]
kind = "raw_target"
model = { like = "trees", n_trees = 2, learning_rate = 0.01 }

[[experiments]]
name = "calibrated"
splits = ["random"]
[experiments.model]
kind = "cross_fitted"
model = "trees"
errors = { like = "trees", features = ["x", "z", "baseline_prediction"] }
n_folds = 3
"""


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        main(["run", *map(str, arguments), "--workers", "0"])
    return caught.value.code


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("beyond")
    (root / "data").mkdir()
    generator = np.random.default_rng(3)
    formulas = ["LiCl", "Li2O", "Li3PS4", "Li7La3Zr2O12", "LiFePO4"]
    lines = ["name,formula,x,z,has_z,y,y2"]
    for k in range(160):
        x, z = generator.normal(size=2)
        noise = 0.05 * generator.normal(size=2)
        y, y2 = 10 ** (x + 0.3 * z + noise)
        lines.append(f"n{k},{formulas[k % 5]},{x:.5f},{z:.5f},1,{y:.6g},{y2:.6g}")
    (root / "data" / "train.csv").write_text("\n".join(lines) + "\n")
    (root / "job.toml").write_text(JOB)
    assert run(root / "job.toml", "--out", root / "out") == 0
    return root / "out"


def predictions(folder, experiment, split):
    with (folder / f"{experiment}_predictions.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


def test_scores_before_the_transform_are_those_of_the_quantity(finished):
    rows = predictions(finished, "trees", "random")
    truth, found = (10 ** np.array([float(r[k]) for r in rows]) for k in ("y_true", "y_pred"))
    scores = metrics_of(finished)["trees"]["splits"]["random"]
    assert scores["raw_mae"]["value"] == pytest.approx(np.abs(truth - found).mean(), rel=1e-6)
    r2 = 1 - ((truth - found) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert scores["raw_r2"]["value"] == pytest.approx(r2, rel=1e-6)


def test_a_subset_is_scored_on_its_rows_alone(finished):
    rows = [r for r in predictions(finished, "trees", "random") if int(r["id"][1:]) % 5 < 2]
    mae = np.mean([abs(float(r["y_true"]) - float(r["y_pred"])) for r in rows])
    scores = metrics_of(finished)["trees"]["subsets"]["random"]["binaries"]
    assert scores["mae"]["value"] == pytest.approx(mae, rel=1e-6)
    assert "binary compounds" in (finished / "report.md").read_text()


def test_tails_are_harder_than_random_folds(finished):
    rows = predictions(finished, "trees", "tails")
    assert len(rows) == 64
    low = [float(r["y_true"]) for r in rows if r["fold"] == "0"]
    high = [float(r["y_true"]) for r in rows if r["fold"] == "1"]
    assert max(low) < min(high)
    scores = metrics_of(finished)["trees"]["splits"]
    assert scores["tails"]["mae"]["value"] > 1.5 * scores["random"]["mae"]["value"]


def test_clusters_are_left_out_whole(finished):
    assert {r["fold"] for r in predictions(finished, "trees", "clusters")} == {"0", "1", "2"}


def test_the_page_shows_noise_balance_and_raw_coverage(finished):
    page = (finished / "report.md").read_text()
    for words in ("The noise of the label", "How far the share of a level", "raw spread: held"):
        assert words in page
    assert "against the other" in page
    labels = json.loads((finished / "provenance.json").read_text())["labels"]
    assert 0.02 < labels["pairs"][0]["median"] < 0.1
    for name in ("calibration.png", "sparsification.png"):
        assert (finished / name).read_bytes().startswith(b"\x89PNG")


def test_what_intervals_gain_by_following_the_spread(finished):
    rows = predictions(finished, "calibrated", "random")
    truth, found, lower, upper, fold = (
        np.array([float(r[k]) for r in rows])
        for k in ("y_true", "y_pred", "lower", "upper", "fold")
    )
    errors, plain = np.abs(truth - found), np.empty(len(rows))
    for k in range(4):
        others = np.sort(errors[fold != k])
        plain[fold == k] = others[int(np.ceil(0.9 * (len(others) + 1))) - 1]
    untransformed = (10**upper - 10**lower).mean()
    untransformed /= (10 ** (found + plain) - 10 ** (found - plain)).mean()
    ratios = [
        (upper - lower).mean() / (2 * plain).mean(),
        np.median(upper - lower) / np.median(2 * plain),
        untransformed,
    ]
    told = ", ".join(f"{100 * (1 - ratio):+.0f}%" for ratio in ratios)
    page = (finished / "report.md").read_text()
    section = page[page.index("## Uncertainty") :]
    (line,) = (x for x in section.splitlines() if x.startswith("| calibrated "))
    assert f"| {told} |" in line


def test_the_diagnosis_tells_a_collapsed_model_from_a_sound_one(finished):
    page = (finished / "report.md").read_text()
    told = page[page.index("## Diagnosis") :]
    lines = [line for line in told.splitlines() if line.startswith("- ")]
    collapsed = next(line for line in lines if line.startswith("- collapsed:"))
    assert "collapsed to one value" in collapsed
    sound = next(line for line in lines if line.startswith("- trees:"))
    assert "collapsed" not in sound


def test_errors_are_told_by_the_agreement_of_labels():
    label = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    other = np.array([1.1, 2.0, 5.0, np.nan, 1.0])
    found = errors_beside(label, other, np.array([1.2, 2.0, 4.5, 0.0, 0.0]), 0.5)
    assert (found["rows"], found["disagree"]) == (3, 1)
    assert found["against_label"] == pytest.approx((0.2 + 0 + 1.5) / 3)
    assert found["against_other"] == pytest.approx((0.1 + 0 + 0.5) / 3)
    assert found["where_they_agree"] == pytest.approx(0.1)
    assert found["where_they_disagree"] == pytest.approx(1.5)
    assert errors_beside(label, other[::-1] * np.nan, label, 0.5)["against_label"] is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('equals = ["2"]', 'equals = ["9"]', "subsets.binaries: no row has total_elements = 9"),
        ('column = "total_elements"', 'column = "colour"', "no column 'colour'"),
        ("share = 0.2", "share = 0.6", "splits.tails: tails of 0.6"),
        ('kind = "target_tails"', 'kind = "target_tails"\ncolumns = ["x"]', "does not go with"),
        ('["x", "magpie_emb_*"]', '["nothing_*"]', "splits.clusters.columns names 'nothing_*'"),
    ],
)
def test_mistakes_are_named_before_any_fit(tmp_path, capsys, old, new, words):
    path = write_study(tmp_path, text=JOB.replace('other_labels = ["y2"]\n', "").replace(old, new))
    assert run(path, "--out", tmp_path / "out") != 0
    assert words in " ".join(capsys.readouterr().err.split())
    assert not list((tmp_path / "out" / "work").glob("fits-*"))
