"""A study on the cluster: features and fits in jobs, results those of one process."""

from __future__ import annotations

import re
import shlex
import sys

import pytest

from pyhpc.cli import main
from tests.slurm.array_runs import ROOT
from tests.slurm.cluster import wait_for
from tests.study_jobs import GALLERY, results_tree, write_gated_demo

pytest.importorskip("xgboost", reason="the extra ml is not installed")
pytest.importorskip("jinja2", reason="the extra ml is not installed")

pytestmark = pytest.mark.slurm


@pytest.fixture(autouse=True)
def _environment(slurm, monkeypatch):
    for name in ("PATH", "SLURM_CONF", "MUNGE_SOCKET"):
        monkeypatch.setenv(name, slurm.env[name])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run(job, out, *options):
    with pytest.raises(SystemExit) as caught:
        main(["run", str(job), "--out", str(out), "--data", str(GALLERY), *options])
    return caught.value.code


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Job file, and its results as one process makes them."""
    folder = tmp_path_factory.mktemp("study")
    job = write_gated_demo(folder)
    assert run(job, folder / "out", "--workers", "0") == 0
    return job, results_tree(folder / "out")


@pytest.fixture
def options(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text('interface = "lo"\nmemory = "2G"\nwalltime = "10"\n')
    return ("--site", str(site), "--jobs", "2")


def check(out, expected):
    """The results are those expected, and nothing was done twice."""
    assert results_tree(out) == expected
    log = (out / "run.log").read_text()
    shards = re.findall(r"(\w+): (\d+) of (\d+) shards done, .* (\d+) attempts lost", log)
    assert [name for name, *_ in shards] == ["featurize", "fit"]
    assert all(done == planned and lost == "0" for _, done, planned, lost in shards)
    begun = list((out / "work").glob("*/attempts/*.log"))
    assert len(begun) == sum(int(planned) for _, _, planned, _ in shards)


@pytest.mark.parametrize("executor", ["slurm", "array"])
def test_results_are_those_of_one_process(study, tmp_path, options, executor):
    job, expected = study
    assert run(job, tmp_path / "out", "--on", executor, *options) == 0
    check(tmp_path / "out", expected)


def test_within_one_job(slurm, study, tmp_path, options):
    job, expected = study
    command = [sys.executable, "-m", "pyhpc", "run", job, "--out", tmp_path / "out"]
    command += ["--data", GALLERY, "--on", "allocation", *options]
    number = slurm.submit(
        *("-N2", "--mem=2000", "--time=10", f"--export=ALL,PYTHONPATH={ROOT}"),
        *("--wrap", "exec " + shlex.join(map(str, command))),
        cwd=tmp_path,
    )
    wait_for(lambda: not slurm.jobs(), "end of the job")
    assert slurm.job(number)["JobState"] == "COMPLETED", [
        path.read_text() for path in tmp_path.glob("*.out")
    ]
    check(tmp_path / "out", expected)


def test_array_that_fails_is_told(study, tmp_path, capsys):
    """Jobs that can't run pyhpc."""
    site = tmp_path / "site.toml"
    site.write_text('memory = "2G"\nwalltime = "10"\nprologue = ["exit 3"]\n')
    assert run(study[0], tmp_path / "out", "--on", "array", "--site", str(site)) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert "the jobs have ended with 0 of 1 shards done" in error
    assert "/slurm/logs for why" in error
