import pytest

from pyhpc.errors import PyhpcError
from pyhpc.studies.costs import estimate_seconds
from pyhpc.studies.job import read_job
from tests.study_jobs import JOB, write_study


def broken(tmp_path, old, new):
    assert old in JOB
    path = write_study(tmp_path, text=JOB.replace(old, new, 1))
    with pytest.raises(PyhpcError) as caught:
        read_job(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "A tiny study"', "", ["study.title", "missing", "a text"]),
        ('title = "A tiny study"', "title = 3", ["study.title = 3", "a text"]),
        ('groups = "papers"', 'groups = "journals"', ["study.groups", "random, papers"]),
        ('transform = "log10"', 'transform = "ln"', ["target.transform", "log10, none"]),
        ('id = "name"', 'id = "name"\nsep = 1', ["unknown key data.sep", "Allowed: folders"]),
        ("folds = 4", "folds = 4.5", ["splits.random.folds = 4.5", "whole number"]),
        ("folds = 4", "folds = 1", ["splits.random.folds", "two folds"]),
        ("seeds = [1, 2]", "seeds = [1, true]", ["splits.random.seeds[1] = True"]),
        ('kind = "grouped"', 'kind = "group"', ["splits.papers.kind", "leave_one_out"]),
        ('columns = ["doi"]', "", ["splits.papers.columns", "at least one"]),
        ('splits = ["random"]', 'splits = ["folds"]', ["experiments[0].splits", "random, papers"]),
        ('name = "mean"', 'name = "published"', ["experiments[1].name", "taken"]),
        ('name = "mean"', 'name = "a/b"', ["experiments[1].name"]),
        ("r2 = 0.5", "r3 = 0.5", ["experiments[0].published.r3", "r2, rmse, mae"]),
        ('leak = "knows_bounds"', "", ["leak_audit", "target.leak"]),
        ('worse = "mean"', 'worse = "median"', ["comparisons[0].worse", "trees"]),
        ('worse = "gated.baseline"', 'worse = "gated.base"', ["'base'", "baseline, specialist"]),
        ('section = "old"', 'section = "odd"', ["experiments[0].section", "old, new"]),
        ("[study]", "[study", ["is no TOML"]),
        ("[features]", "[featurize]\nmobile_ion = 'Xx'\n[features]", ["'Xx'", "no element"]),
        ('id = "name"', 'id = "name"\nlattice = ["x"]', ["data.lattice", "alpha"]),
        ('id = "name"', 'id = "name"\ndataset = "icsd"', ["data.dataset", "obelix"]),
    ],
)
def test_errors_name_the_key_and_what_is_allowed(tmp_path, old, new, words):
    message = broken(tmp_path, old, new)
    assert "job.toml" in message
    for word in words:
        assert word in message


def test_a_missing_file(tmp_path):
    with pytest.raises(PyhpcError, match="can't be read"):
        read_job(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "name", ["bulk_modulus.toml", "conductivity.toml", "demo.toml", "matbench_log_kvrh.toml"]
)
def test_the_shipped_jobs_are_sound(name):
    from pathlib import Path

    job = read_job(Path(__file__).parents[1] / "jobs" / name)
    assert job.experiments


def test_the_estimate_of_a_strategy_is_that_of_the_fits_it_makes():
    trees = {"kind": "xgboost", "features": ["x"] * 100, "n_trees": 400}
    one = estimate_seconds(trees, 400)
    assert estimate_seconds(trees | {"max_bin": 64}, 400) < one
    loss = {"kind": "pseudo_huber", "slope": 0.1}
    assert estimate_seconds(trees | {"loss": loss}, 400) == one
    assert estimate_seconds({"kind": "bagged", "model": trees, "n": 3}, 400) == pytest.approx(
        3 * one
    )
    blend = {"kind": "blend", "models": [trees, trees | {"kind": "extra_trees"}]}
    gate = {"kind": "soft_gate", "baseline": blend, "specialist": blend, "n_folds": 0}
    assert estimate_seconds(gate, 400) == pytest.approx(2 * estimate_seconds(blend, 400))
    assert estimate_seconds(gate | {"n_folds": 2}, 400) == pytest.approx(
        6 * estimate_seconds(blend, 400)
    )
