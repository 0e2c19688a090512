"""Studies from the job file to the report, their cache, and their way back from a kill."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyhpc import models
from pyhpc.cli import main
from pyhpc.models import load
from pyhpc.studies import fitting, table
from pyhpc.studies.fits import count_test_fits
from pyhpc.tasks.fit import code_versions
from tests.study_jobs import (
    GALLERY,
    JOB,
    metrics_of,
    results_tree,
    write_gated_demo,
    write_study,
)

pytest.importorskip("xgboost", reason="the extra ml is not installed")
pytest.importorskip("jinja2", reason="the extra ml is not installed")


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        main(["run", *map(str, arguments), "--workers", "0"])
    return caught.value.code


@pytest.mark.parametrize("module", [models, fitting, table])
def test_fits_are_of_other_versions_once_their_code_is_edited(tmp_path, monkeypatch, module):
    before = code_versions.__wrapped__()
    original = Path(module.__file__)
    copy = tmp_path / "copy"
    shutil.copytree(original.parent, copy)
    monkeypatch.setattr(module, "__file__", str(copy / original.name))
    assert code_versions.__wrapped__() == before
    with (copy / original.name).open("a") as file:
        file.write("# edited")
    after = code_versions.__wrapped__()
    assert {name for name in before if before[name] != after[name]} == {"code of fits"}


def fits_run(folder):
    """Fits that each call had to run, from the log."""
    log = (folder / "run.log").read_text()
    return [int(number) for number in re.findall(r"of which (\d+) are to be run", log)]


def provenance_of(folder):
    return json.loads((folder / "provenance.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    job = write_study(root)
    assert run(job, "--out", root / "out") == 0
    return job, root / "out"


def test_the_results_are_complete(finished):
    _, out = finished
    names = {path.name for path in out.iterdir()}
    for experiment in ("published", "published_no_leak", "mean", "trees", "gated", "bagged"):
        assert {
            f"{experiment}_cv_parity.png",
            f"{experiment}_test_parity.png",
            f"{experiment}_predictions.csv",
        } <= names
    assert {
        "feature_importance.csv",
        "feature_importance.png",
        "metrics.json",
        "metrics.csv",
        "comparisons.csv",
        "target_distributions.png",
        "interval_coverage.png",
        "job.toml",
        "resolved.json",
        "provenance.json",
        "report.md",
        "report.html",
        "run.log",
    } <= names
    assert not [name for name in names if name.endswith(".tmp")]


def test_the_predictions_are_those_of_the_metrics(finished):
    _, out = finished
    with (out / "gated_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    counts = {}
    for row in rows:
        counts[row["split"]] = counts.get(row["split"], 0) + 1
    assert counts == {"random": 2 * 48, "papers": 48, "test": 12}
    test = [row for row in rows if row["split"] == "test"]
    error = sum(abs(float(row["y_true"]) - float(row["y_pred"])) for row in test) / len(test)
    mae = metrics_of(out)["gated"]["splits"]["test"]["mae"]
    assert mae["value"] == pytest.approx(error, rel=1e-8)
    assert mae["lower"] < mae["value"] < mae["upper"]
    assert {row["gate"] for row in rows} == {"0", "1"}
    assert all(float(row["lower"]) <= float(row["y_pred"]) <= float(row["upper"]) for row in rows)
    assert sum(int(row["is_bound"]) for row in test) == len(
        [k for k in range(48, 60) if k % 8 == 3]
    )


def test_papers_stay_together(finished):
    _, out = finished
    with (out / "mean_predictions.csv").open() as file:
        fold = {row["id"]: row["fold"] for row in csv.DictReader(file) if row["split"] == "papers"}
    for k in range(48):
        assert fold[f"n{k}"] == fold[f"n{k - k % 3}"]
    assert fold["n9"] == fold["n0"]


def test_the_leak_shows(finished):
    _, out = finished
    report = (out / "report.md").read_text()
    assert "knows_bounds: tells bounds from measurements" in report
    assert "| published |" in report
    clean = metrics_of(out)["published_no_leak"]["splits"]["random"]["r2"]["value"]
    row = next(line for line in report.splitlines() if line.startswith("| published |"))
    assert f"| {clean:.3f} [" in row
    assert "As it should be" in report


def test_the_page_needs_no_other_file(finished):
    _, out = finished
    page = (out / "report.html").read_text()
    figures = len(list(out.glob("*.png")))
    assert page.count('src="data:image/png;base64,') == figures
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)


def test_a_stored_model_predicts_what_was_written(finished):
    import pyarrow.parquet as pq

    _, out = finished
    table = pq.read_table(out / "work" / "table.parquet").slice(48)
    with (out / "bagged_predictions.csv").open() as file:
        written = [float(r["y_pred"]) for r in csv.DictReader(file) if r["split"] == "test"]
    found = load(out / "models" / "bagged").predict(table)
    assert found.tolist() == pytest.approx(written, rel=1e-9)


def test_again_nothing_is_run_and_nothing_changes(finished, capsys):
    job, out = finished
    before = results_tree(out)
    assert run(job, "--out", out, "--dry-run") == 0
    assert "0 to run" in capsys.readouterr().out
    assert run(job, "--out", out) == 0
    assert fits_run(out)[-1] == 0
    assert results_tree(out) == before


def test_another_device_is_another_study(finished, capsys):
    job, out = finished
    assert run(job, "--out", out, "--device", "cpu", "--dry-run") == 0
    assert "0 to run" in capsys.readouterr().out
    assert run(job, "--out", out, "--device", "cuda", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "(cuda)" in shown
    assert " 0 to run" not in shown


def test_a_change_costs_what_it_changes(finished, tmp_path):
    """Only fits whose data, model or folds are others are run again."""
    _, out = finished
    changed = JOB.replace("n = 3", "n = 2").replace("seeds = [1, 2]", "seeds = [2]")
    job = write_study(tmp_path, text=changed)
    (tmp_path / "out").mkdir()
    (out / "work").rename(tmp_path / "out" / "work")
    try:
        assert run(job, "--out", tmp_path / "out") == 0
    finally:
        (tmp_path / "out" / "work").rename(out / "work")
    # The bagged model on 4 + 3 folds and for the test rows, and the 4 folds of the trees whose
    # importance is now measured on the other seed.
    assert fits_run(tmp_path / "out") == [4 + 3 + 1 + 4]
    # Two versions of the bagged model have now been asked for the test rows.
    assert provenance_of(tmp_path / "out")["test_fits"]["bagged"] == 2
    assert "Of 1 experiments, more than one version" in (tmp_path / "out/report.md").read_text()


def test_a_strategy_is_compared_with_its_own_baseline(finished):
    """The trees inside of the gate are those that stand alone: same rows, same seed."""
    with (finished[1] / "comparisons.csv").open() as file:
        rows = list(csv.DictReader(file))
    gains = {
        name: [list(row.values())[1:] for row in rows if row["comparison"] == name]
        for name in ("gate over trees", "gate over its baseline")
    }
    assert len(gains["gate over trees"]) == 6
    assert gains["gate over its baseline"] == gains["gate over trees"]
    assert any(float(row[2]) != 0 for row in gains["gate over trees"])


def test_the_summary_names_the_gains_that_are_told_from_zero(finished):
    with (finished[1] / "comparisons.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "r2"]
    told = [row for row in rows if not float(row["lower"]) <= 0 <= float(row["upper"])]
    assert 0 < len(told) < len(rows)
    summary = (finished[1] / "report.md").read_text().split("## ")[1]
    for row in told:
        assert f"R2 {float(row['gain']):+.4f} [" in summary
    assert f"Of {len(rows) - len(told)} further comparisons" in summary


def test_the_test_rows_are_left_unread_until_they_are_asked_for(tmp_path, finished):
    job, out = write_study(tmp_path), tmp_path / "out"
    assert run(job, "--out", out, "--no-test") == 0
    assert all("test" not in found["splits"] for found in metrics_of(out).values())
    assert provenance_of(out)["test_fits"] == {}
    assert "test rows were predicted" not in (out / "report.md").read_text()
    assert run(job, "--out", out) == 0
    assert fits_run(out)[-1] == 6
    assert results_tree(out) == results_tree(finished[1])
    assert set(provenance_of(out)["test_fits"].values()) == {1}
    assert "They were read once" in (out / "report.md").read_text()


def test_the_test_rows_are_not_read_before_all_folds_are_done(tmp_path):
    """A fit of a fold that fails ends the study, with no look at the test rows."""
    text = JOB.replace('indicators = ["has_z"]', 'indicators = ["x"]')
    out = tmp_path / "out"
    assert run(write_study(tmp_path, text=text), "--out", out) == 1
    assert list(out.glob("work/fits-*/manifests/*.json"))
    assert count_test_fits(out / "work") == {}


def test_a_killed_study_goes_on(tmp_path, finished):
    job = write_study(tmp_path)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pyhpc", "run", str(job), "--out", str(out), "--workers", "0"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if list(out.glob("work/fits-*/manifests/*.json")):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(out.glob("work/fits-*/manifests/*.json")))
    assert done >= 1
    assert run(job, "--out", out) == 0
    # The same plan was gone on with: there are but that of the folds and that of the test rows.
    assert len(list(out.glob("work/fits-*"))) == 2
    logs = list(out.glob("work/fits-*/attempts/*.log"))
    assert done <= len(list(out.glob("work/fits-*/manifests/*.json"))) <= len(logs) <= done + 5
    assert results_tree(out) == results_tree(finished[1])


def test_a_fit_that_fails_is_named(tmp_path, capsys):
    text = JOB.replace('indicators = ["has_z"]', 'indicators = ["x"]')
    assert run(write_study(tmp_path, text=text), "--out", tmp_path / "out") == 1
    assert "gated/random/1/0: no training row has all of x at 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('features = ["@plain"]\n', 'features = ["@plane"]\n', ["'@plane'", "@plain"]),
        ('plain = ["x", ', 'plain = ["xx*", ', ["features.plain", "'xx*'", "no column"]),
        ("n_trees = 8", "n_tree = 8", ["n_tree", "n_trees"]),
        ("n_trees = 8", 'n_trees = "8"', ["n_trees", "int"]),
        ('kind = "gated"', 'kind = "gate"', ["'gate'", "soft_gate"]),
        ('baseline = "trees"', 'baseline = "tree"', ["'tree'", "no model", "trees"]),
        ("gated.baseline", "trees.baseline", ["comparisons[2].worse", "trees has no baseline"]),
        ('id = "name"', 'id = "nam"', ["'nam'", "name, formula"]),
        ('id = "name"', 'id = "has_z"', ["two rows", "unique"]),
        ('column = "y"', 'column = "formula"', ["'LiCl'", "number, or a bound"]),
        ('composition = "formula"', 'composition = "doi"', ["row n0", "no formula"]),
        ('train = "train.csv"', 'train = "none.csv"', ["no none.csv", "--data"]),
    ],
)
def test_errors_that_the_data_show(tmp_path, capsys, old, new, words):
    assert old in JOB
    job = write_study(tmp_path, n_train=8, n_test=2, text=JOB.replace(old, new, 1))
    assert run(job, "--out", tmp_path / "out") == 1
    message = " ".join(capsys.readouterr().err.split())
    for word in words:
        assert word in message


def test_structures_give_their_features(tmp_path):
    job = write_gated_demo(tmp_path)
    assert run(job, "--out", tmp_path / "out", "--data", GALLERY) == 0
    with (tmp_path / "out" / "gated_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    # NaAl11O17 holds no lithium: the baseline predicts it, the specialist all others.
    assert {row["id"] for row in rows if row["gate"] == "0"} == {"NaAl11O17"}
    assert len({row["id"] for row in rows}) == 13
    assert provenance_of(tmp_path / "out")["left_out"]["no target"] == 83
    assert "left out: 83 with no target." in (tmp_path / "out" / "report.md").read_text()
