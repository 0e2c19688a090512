"""The shipped crystals through the whole pipeline, as ``pyhpc demo`` shows them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow.dataset as ds
import pytest

from pyhpc import gallery
from pyhpc.features import unexplained
from pyhpc.records import Outcome, Reason


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Output folder of the demo, and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "pyhpc", "demo", "--out", str(out), "--workers", "0"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return out, run.stdout


def read(out, folder):
    return ds.dataset(out / folder).to_table()


def test_every_shipped_crystal_is_ok_and_every_broken_one_is_not(demo):
    out, _ = demo
    ledger = read(out, "ledger").to_pylist()
    outcomes = {row["id"]: row["outcome"] for row in ledger}
    shipped = {entry.id for entry in gallery.index()}
    broken = {path.stem for path in gallery.broken_path().glob("*.cif")}
    assert len(ledger) == len(outcomes) == len(shipped) + len(broken)
    assert {name for name in shipped if outcomes[name] != Outcome.OK} == set()
    assert {name for name in broken if outcomes[name] == Outcome.OK} == set()
    quarantined = [name for name in broken if outcomes[name] == Outcome.QUARANTINED]
    assert len(quarantined) >= 6
    assert set(read(out, "parts")["id"].to_pylist()) == set(outcomes) - set(quarantined)


def test_global_instability_is_low_or_explained(demo):
    out, _ = demo
    table = read(out, "parts")
    gii = dict(zip(table["id"].to_pylist(), table["gii"].to_numpy(), strict=True))
    strained = [e.id for e in gallery.index() if not gii[e.id] < 0.3 and not e.note]
    assert strained == []
    assert sum(gii[entry.id] < 0.3 for entry in gallery.index()) >= 65


def test_lithium_conductors_have_all_physics(demo):
    out, _ = demo
    table = read(out, "parts").to_pylist()
    rows = {row["id"]: row for row in table}
    lithium = [entry.id for entry in gallery.index() if entry.mobile_ion == "Li"]
    assert len(lithium) >= 30
    for name in lithium:
        assert (rows[name]["has_bv"], rows[name]["has_ewald"], rows[name]["has_voronoi"]) == (
            1,
            1,
            1,
        ), name


def test_every_missing_value_has_a_reason(demo):
    out, _ = demo
    table = read(out, "parts")
    reasons = {
        row["id"]: [Reason(**reason) for reason in row["reasons"]]
        for row in read(out, "ledger").to_pylist()
    }
    missing = sum(
        np.isnan(table[f.name].to_numpy()).sum() for f in table.schema if f.type == "double"
    )
    assert missing > 0
    assert unexplained(table, reasons) == []


def test_output_names_conductors_and_what_was_wrong(demo):
    out, printed = demo
    for word in ("LGPS", "LLZO_cubic", "missing_cell", "close_sites", "records/s"):
        assert word in printed
    assert (out / "lithium.png").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.cif"], "nowhere.cif does not exist"),
        (["--groups", "magic", "."], "valid groups are composition"),
        (["--mobile-ion", "Xx", "."], "'Xx' is no element"),
    ],
)
def test_what_a_user_gets_wrong_is_said_in_a_line_with_the_remedy(tmp_path, arguments, words):
    command = [sys.executable, "-m", "pyhpc", "featurize", "--out", str(tmp_path / "out")]
    run = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 1
    assert words in run.stderr
    assert "Traceback" not in run.stderr
    assert "bug" not in run.stderr
