"""The commands, with a fake reader and a fake task, in this process."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from pyhpc.executors.estimate import Measured
from pyhpc.shards import Output, Packing
from tests.fake_cli import FAKES, write_source
from tests.fake_task import plain_records, record
from tests.shard_jobs import attempts_by_shard, result_tree

SMALL = ["--records-per-shard", "20", "--workers", "0"]


@pytest.fixture
def pyhpc(pyhpc, monkeypatch):
    """Run a command with the fakes in place."""
    for module, name, fake in FAKES:
        monkeypatch.setattr(module, name, fake, raising=False)
    return pyhpc


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path / "source", plain_records(60))


def test_shard_then_featurize_is_featurize(pyhpc, source, tmp_path):
    code, out, _ = pyhpc("shard", source, "--out", tmp_path / "s", "--records-per-shard", 20)
    assert code == 0
    assert "60 records in 3 shards" in out
    code, out, _ = pyhpc(
        "featurize", "--shards", tmp_path / "s", "--out", tmp_path / "a", "--workers", 0
    )
    assert code == 0
    assert pyhpc("featurize", source, "--out", tmp_path / "b", *SMALL)[0] == 0
    a, b = (Output(tmp_path / name) for name in ("a", "b"))
    parts = [{n: d for n, d in result_tree(o).items() if n.startswith("ledger")} for o in (a, b)]
    assert parts[0] == parts[1]


def test_summary_accounts_for_every_record(pyhpc, source, tmp_path):
    code, out, _ = pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL)
    assert code == 0
    lines = {tuple(line.replace("│", " ").split()) for line in out.splitlines()}
    assert {
        ("ok", "51", "85.0%"),
        ("degraded", "5", "8.3%"),
        ("no_length", "5", "8.3%"),
        ("quarantined", "4", "6.7%"),
        ("bad_text", "4", "6.7%"),
        ("all", "60"),
    } <= lines
    assert "records/s/core" in out
    assert "measure" in out
    assert "pyhpc replay" in out


def test_called_again_it_has_nothing_to_do(pyhpc, source, tmp_path):
    pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL)
    before = result_tree(Output(tmp_path / "out"))
    code, out, _ = pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL)
    assert code == 0
    assert "60 records were done before" in out
    assert result_tree(Output(tmp_path / "out")) == before
    assert set(attempts_by_shard(Output(tmp_path / "out")).values()) == {1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--mobile-ion", "Na"], 'parameters.mobile_ion was "Li", is "Na"'),
        (["--record-seconds", "7"], "guard.record_seconds was 120.0, is 7.0"),
        (["--records-per-shard", "30"], "size.records was 20, is 30"),
    ],
)
def test_other_parameters_are_refused(pyhpc, source, tmp_path, change, message):
    pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL)
    code, _, err = pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL, *change)
    assert code == 1
    assert message in err
    assert "--out" in err


def test_changed_source_is_refused(pyhpc, source, tmp_path):
    pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL)
    write_source(source, plain_records(61))
    code, _, err = pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL)
    assert code == 1
    assert "other inputs: sources was" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["featurize", "--out", "OUT"], 2, "SOURCES or --shards"),
        (["featurize", "missing", "--out", "OUT"], 1, "missing has no files"),
        (["featurize", "--shards", "missing", "--out", "OUT"], 1, "no complete packing"),
        (["featurize", "SOURCE", "--out", "SOURCE"], 1, "is a file"),
        (["featurize", "SOURCE", "--out", "SOURCE/below"], 1, "leads through a file"),
        (["featurize", "SOURCE", "--out", "OUT", "--memory", "much"], 2, "no number of bytes"),
        (["verify", "OUT"], 1, "is not an output folder"),
        (["status", "OUT"], 1, "is not an output folder"),
        (["replay", "OUT", "x"], 1, "is not an output folder"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_errors_of_the_user_are_one_message(pyhpc, source, tmp_path, arguments, code, message):
    names = {"SOURCE": source, "OUT": tmp_path / "out", "SOURCE/below": source / "below"}
    got, _, err = pyhpc(*(names.get(argument, argument) for argument in arguments))
    assert got == code
    assert message in " ".join(err.split())


def test_empty_source_is_an_error(pyhpc, tmp_path):
    source = write_source(tmp_path / "source", [])
    code, _, err = pyhpc("featurize", source, "--out", tmp_path / "out")
    assert code == 1
    assert "holds no records" in err


def test_a_bug_is_said_to_be_one(pyhpc, source, tmp_path, monkeypatch):
    def bug(*arguments):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("pyhpc.cli.featurize.finish", bug)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL)
    assert code == 3
    assert "bug in pyhpc, please report it: ZeroDivisionError: oops" in err
    (story,) = tmp_path.glob("pyhpc-bug-*.txt")
    assert str(story) in err
    assert 'raise ZeroDivisionError("oops")' in story.read_text()


def test_verify_and_repair(pyhpc, source, tmp_path):
    out = tmp_path / "out"
    pyhpc("featurize", source, "--out", out, *SMALL)
    before = result_tree(Output(out))
    assert pyhpc("verify", out)[:2] == (
        0,
        f"{out} is whole: 60 records in 3 shards, every hash and count is right.\n",
    )
    part = sorted((out / "parts").iterdir())[1]
    part.write_bytes(part.read_bytes()[:-5])
    code, text, err = pyhpc("verify", out)
    assert code == 1
    assert f"{part}: the file was truncated or altered. pyhpc verify --repair" in text
    assert "1 problems" in err
    assert pyhpc("verify", out, "--repair")[0] == 1
    assert not part.exists()
    assert pyhpc("featurize", source, "--out", out, *SMALL)[0] == 0
    assert result_tree(Output(out)) == before


def test_features_prints_the_catalogue(pyhpc, monkeypatch):
    names = ("name", "group", "unit", "meaning", "source")
    features = [
        SimpleNamespace(**dict(zip(names, values, strict=True)))
        for values in (
            ("volume", "lattice", "A^3", "volume [of] the cell", "the CIF"),
            ("gii", "physics", "v.u.", "global instability", "Brown"),
        )
    ]
    monkeypatch.setitem(sys.modules, "pyhpc.features", SimpleNamespace(CATALOGUE=features))
    code, text, _ = pyhpc("features")
    assert code == 0
    assert "volume [of] the cell" in text
    assert "gii" in text
    assert "gii" not in pyhpc("features", "--group", "lattice")[1]
    code, _, err = pyhpc("features", "--group", "latice")
    assert code == 2
    assert "there are lattice, physics" in err


def test_progress_in_a_terminal(pyhpc, source, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    code, _, err = pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL)
    assert code == 0
    assert "100%" in err
    assert "4 failed, 0:00:00 left" in err


def test_progress_in_a_log(pyhpc, source, tmp_path, monkeypatch):
    monkeypatch.setattr("pyhpc.cli.progress.LINE_SECONDS", 0.0)
    _, _, err = pyhpc("featurize", source, "--out", tmp_path / "out", *SMALL)
    assert "packing: 60 records" in err
    assert "60 of 60 records" in err


def test_status(pyhpc, source, tmp_path):
    out = tmp_path / "out"
    pyhpc("featurize", source, "--out", out, *SMALL)
    code, text, _ = pyhpc("status", out)
    assert code == 0
    assert "3 of 3 shards, 60 of 60 records\n" in text
    assert "The run is finished." in text
    (out / "manifest.json").unlink()
    (out / "manifests" / "00001.json").unlink()
    _, text, _ = pyhpc("status", out)
    assert "2 of 3 shards, 40 of 60 records" in text
    assert "not finished" in text


@pytest.fixture
def shards(pyhpc, source, tmp_path):
    """60 records in 3 shards."""
    code, *_ = pyhpc("shard", source, "--out", tmp_path / "s", "--records-per-shard", 20)
    assert code == 0
    return tmp_path / "s"


@pytest.mark.parametrize(
    ("seconds", "whole", "suggested"),
    [
        (
            20.0,
            "60 core seconds",
            "--jobs 1 --cores 2 --walltime 0:06:00, done after about 0:00:30",
        ),
        (2000.0, "1.67 core hours", "--jobs 2 --cores 2 --walltime 0:30:00, done after about"),
    ],
)
def test_estimate_says_what_to_ask_for(
    pyhpc, shards, tmp_path, monkeypatch, seconds, whole, suggested
):
    """Where a third of the estimated cost has taken so long, and 1 MB."""
    measured = Measured(20, Packing.load(shards).shards.cost / 3, seconds, 10**6)
    monkeypatch.setattr("pyhpc.cli.estimate.measure_sample", lambda *args, **kwargs: measured)
    site = tmp_path / "site.toml"
    site.write_text('walltime = "30:00"\ncores = 2\n')
    code, out, _ = pyhpc("estimate", "--shards", shards, "--site", site)
    assert code == 0
    assert f"20 records at {20 / seconds:,.1f} records/s on one core" in out
    assert f"60 records in 3 shards, {whole}, 3.0 MB of output" in out
    assert f"Suggested: {suggested}" in out


def test_estimate_by_an_earlier_run(pyhpc, shards, tmp_path):
    code, _, error = pyhpc("estimate", "--shards", shards, "--from", tmp_path / "none")
    assert code == 1
    assert "none" in error
    out = tmp_path / "out"
    assert pyhpc("featurize", "--shards", shards, "--out", out, "--workers", 0)[0] == 0
    code, said, _ = pyhpc("estimate", "--shards", shards, "--from", out)
    assert code == 0
    assert said.startswith("Measured:  60 records at ")


def test_replay_shows_the_full_story(pyhpc, tmp_path):
    source = write_source(
        tmp_path / "source",
        [*plain_records(8), record("twin", "x"), record("twin", "yy"), record("bug", "raise")],
    )
    out = tmp_path / "out"
    pyhpc("featurize", source, "--out", out, *SMALL)
    code, text, _ = pyhpc("replay", out, "r00007", "--text")
    assert code == 0
    assert f"{source}, bytes 0 to" in text
    assert text.count("degraded: no_length (measure): it says so") == 2
    assert "text 7 degraded" in text
    assert "nan" in text
    code, text, _ = pyhpc("replay", out, "bug")
    assert "quarantined: internal_error (worker): ValueError: told to raise" in text
    assert "Traceback" in text
    code, text, _ = pyhpc("replay", out, "twin")
    assert "2 records are called twin" in text
    code, text, _ = pyhpc("replay", out, "twin", "--row", 9)
    assert "row 9" in text
    assert "row 8" not in text
    code, _, err = pyhpc("replay", out, "nobody")
    assert code == 1
    assert "no record 'nobody'" in err
