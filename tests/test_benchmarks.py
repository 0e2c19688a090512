"""The harness of the suite, and its quick mode."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import harness, models, reference
from benchmarks.coverage import Count
from benchmarks.data import random_points, shipped, sodium_chloride
from benchmarks.harness import QUICK, Comparison, Ladder, Row, System, Work, interleave, ratios
from benchmarks.limits import CACHE, FLOPS, Limit
from benchmarks.results import Results
from benchmarks.tables import BEGIN, END, seconds, write

ROOT = Path(__file__).parents[1]
SYSTEM = System("something", crystals=2, atoms=10)


class FakeClock:
    """Time that passes only where a work says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, *seconds):
        """Function whose calls take these times in turn, then the last one."""
        times = itertools.chain(seconds, itertools.repeat(seconds[-1]))

        def run() -> float:
            self.now += next(times)
            return self.now

        return run


def test_ratio_is_median_over_pairs_of_repetitions():
    low, middle, high = ratios([1.0, 2.0, 4.0], [10.0, 40.0, 120.0])
    assert middle == 20.0
    assert (low, high) == (15.0, 25.0)


def test_ratio_fills_up_with_medians():
    assert ratios([1.0, 2.0, 3.0], [8.0]) == pytest.approx((10 / 3, 4.0, 6.0))


def test_interleaved_works_keep_their_own_times():
    clock = FakeClock()
    runs = [("a", clock.work(5e-3)), ("b", clock.work(1e-2))]
    found = interleave(runs, QUICK, clock)
    assert found["a"].times == pytest.approx([5e-3] * QUICK.repetitions)
    assert found["b"].times == pytest.approx([1e-2] * QUICK.repetitions)


def test_short_works_are_called_several_times():
    clock = FakeClock()
    found = interleave([("a", clock.work(1e-5))], QUICK, clock)
    assert found["a"].times == pytest.approx([1e-5] * QUICK.repetitions)


def test_slow_work_runs_once():
    clock = FakeClock()
    found = interleave([("a", clock.work(5e-3)), ("slow", clock.work(3.0, 99.0))], QUICK, clock)
    assert found["slow"].times == [3.0]


def test_disturbed_repetitions_are_made_again(monkeypatch):
    monkeypatch.setattr(harness, "PAUSE", 0.0)
    clock = FakeClock()
    steady = iter([True, False, False, True, True])
    runs = [("a", clock.work(*[5e-3] * 2, *[8e-3] * 2, 5e-3)), ("b", clock.work(1e-2))]
    found = interleave(runs, QUICK, clock, lambda: next(steady))
    assert found["a"].times == pytest.approx([5e-3] * QUICK.repetitions)
    assert found["b"].times == pytest.approx([1e-2] * QUICK.repetitions)
    assert next(steady, None) is None


def test_repetitions_that_are_always_disturbed_end(monkeypatch):
    monkeypatch.setattr(harness, "PAUSE", 0.0)
    clock = FakeClock()
    found = interleave([("a", clock.work(5e-3))], QUICK, clock, lambda: False)
    assert found["a"].times == pytest.approx([5e-3] * QUICK.repetitions)


def test_comparison_reports_ratio_and_both_errors():
    clock = FakeClock()
    ours = Work("pyhpc", lambda: clock.work(4e-3), lambda result: 0.25)
    peer = Work("peer", lambda: clock.work(8e-3), lambda result: 0.5)
    (row,) = Comparison("part", "what", "eV", 0.3, clock).rows(SYSTEM, QUICK, ours, [peer])
    assert row.ratio == pytest.approx(2.0)
    assert (row.error, row.peer_error, row.unit) == (0.25, 0.5, "eV")
    assert not row.is_violated


def test_missing_peer_is_a_row_that_says_so():
    clock = FakeClock()
    ours = Work("pyhpc", lambda: clock.work(4e-3))
    peer = Work("peer", lambda: pytest.fail("prepared"), module="no_such_module")
    (row,) = Comparison("part", "what", clock=clock).rows(SYSTEM, QUICK, ours, [peer])
    assert row.ours == pytest.approx(4e-3)
    assert row.theirs is None
    assert row.note == "no_such_module is not installed"


def test_failing_peer_is_a_row_that_says_why():
    def fail() -> None:
        raise ValueError("too skewed")

    clock = FakeClock()
    ours = Work("pyhpc", lambda: clock.work(4e-3))
    comparison = Comparison("part", "what", clock=clock)
    (row,) = comparison.rows(SYSTEM, QUICK, ours, [Work("peer", lambda: fail)])
    assert row.note == "failed: ValueError: too skewed"
    with pytest.raises(ValueError, match="too skewed"):
        list(comparison.rows(SYSTEM, QUICK, Work("pyhpc", lambda: fail), []))


@pytest.mark.parametrize("error", [0.4, float("nan"), None])
def test_error_above_limit_is_a_violation(error):
    assert Row("part", "what", "data", 1, 1, 1.0, error=error, limit=0.3).is_violated


def test_ladder_extrapolates():
    ladder = Ladder(QUICK, power=2.0)
    assert ladder.affords("new", 10**9)
    ladder.note("peer", 100, 0.25)
    assert ladder.expected("peer", 200) == pytest.approx(1.0)
    assert ladder.affords("peer", 200)
    assert not ladder.affords("peer", 201)
    ladder.note("peer", 200, 0.5)
    assert ladder.expected("peer", 400) == pytest.approx(1.0)
    ladder.note("peer", 400, None)
    assert not ladder.affords("peer", 401)


@pytest.mark.parametrize(
    ("value", "text"), [(2.5, "2.5 s"), (1.234e-3, "1.23 ms"), (5e-8, "0.05 us"), (None, "")]
)
def test_times_are_written_with_a_unit(value, text):
    assert seconds(value) == text


def test_results_come_back_and_tables_go_between_the_markers(tmp_path):
    rows = [Row("ewald", "what", "NaCl", 1, 8, 1.0, "peer", 2.0, 2.0, 1.9, 2.1, 3, 0.0, 1e-9)]
    results = Results({"cores": "2"}, {"ase": "3"}, {"FMA": 40.0}, {"ewald": rows})
    results.save(tmp_path)
    assert Results.load(tmp_path) == results
    json.loads((tmp_path / "results.json").read_text())
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(readme, results)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale" not in text
    assert "| what | NaCl | 1 | 8 | 1 s | peer | 2 s | 2 (1.9 to 2.1) | 0 | 1.0e-09 |" in text


def test_part_that_was_run_on_another_machine_says_so(tmp_path):
    readme, told = tmp_path / "README.md", "Measured on another machine: Xeon."
    results = Results({"processor": "EPYC"}, parts={"coverage": [Count("files", 3)]})
    results.add("executors", [Count("shards/s", 5)], "Xeon")
    results.save(tmp_path)
    assert Results.load(tmp_path) == results
    write(readme, results)
    tables = readme.read_text().split("### ")
    assert [told in table for table in tables] == [False, False, True]
    results.add("executors", [Count("shards/s", 6)], "EPYC")
    write(readme, results)
    assert told not in readme.read_text()
    assert "| shards/s | 6 |" in readme.read_text()


def test_limit_is_the_longer_of_operations_and_bytes(tmp_path):
    row = Limit("sums", "NaCl", 8, 2e-3, flop=1e6, bytes=8e6, note="divisions")
    assert row.least({FLOPS[0]: 2.0, FLOPS[1]: 1.0, CACHE: 10.0}) == pytest.approx(8e-4)
    assert row.least({FLOPS[1]: 1.0, CACHE: 10.0}) == pytest.approx(1e-3)
    assert row.least({FLOPS[0]: 2.0}) is None
    results = Results(peak={FLOPS[0]: 2.0, CACHE: 10.0}, parts={"limits": [row]})
    results.save(tmp_path)
    assert Results.load(tmp_path) == results
    write(tmp_path / "README.md", results)
    text = (tmp_path / "README.md").read_text()
    assert (
        "| sums | NaCl | 8 | 2 ms | 1 | 8 | reads from 256 KiB | 800 us | 40% | divisions |" in text
    )


def test_reference_energies_give_madelung_constant():
    energies = reference.ewald_site_energies(shipped("NaCl"))
    edge = shipped("NaCl").lattices[0, 0, 0]
    # Crandall and Buhler 1987, doi 10.1088/0305-4470/20/16/024.
    exact = -0.5 * 1.747_564_594_633_182_19 * 14.399645478425668 / (edge / 2)
    np.testing.assert_allclose(energies, exact, rtol=1e-13)


def test_reference_energies_do_not_depend_on_the_cell():
    one = shipped("CaTiO3")
    some = np.array([0, 3])
    np.testing.assert_allclose(
        reference.ewald_site_energies(one, some),
        reference.ewald_site_energies(one)[some],
        rtol=1e-12,
    )


def test_reference_cells_fill_the_crystal():
    one = random_points(6)
    volumes = [reference.voronoi_volume(one, site) for site in range(6)]
    assert sum(volumes) == pytest.approx(120.0, rel=1e-12)
    cube = reference.voronoi_volume(sodium_chloride(1), 0)
    assert cube == pytest.approx(np.linalg.det(sodium_chloride(1).lattices[0]) / 8, rel=1e-12)


def test_quick_suite_is_within_its_limits(tmp_path):
    """Runs every part on a few shipped crystals, with the peers that are installed."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    results = Results.load(tmp_path)
    assert {row.part for row in results.rows("ewald", "voronoi")} == {"ewald", "voronoi"}
    for name in ("time_per_atom", "ratios", "ewald_accuracy", "record_time"):
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 10_000


def test_results_of_models_replace_their_like_and_keep_the_others(tmp_path):
    def row(what, size, cpu):
        return models.Row(what, size, "cpu", 2, 5, 50, wall=1.0, cpu=cpu, memory=2**20, rmse=0.5)

    (tmp_path / "README.md").write_text(f"before\n{models.BEGIN}\nstale\n{models.END}\nafter\n")
    for one in (
        row("xgboost", 1000, 2.0),
        row("gated", 1000, 5.0),
        row("gated", 500, 1.0),
        row("xgboost", 1000, 4.0),
    ):
        models.keep(tmp_path, one)
    kept = json.loads((tmp_path / models.FILE).read_text())["rows"]
    assert [(r["what"], r["rows"], r["cpu"]) for r in kept] == [
        ("gated", 500, 1.0),
        ("xgboost", 1000, 4.0),
        ("gated", 1000, 5.0),
    ]
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{models.END}\nafter\n")
    assert "stale" not in text
    assert "| 1,000 | 5, 50 | gated | cpu, 2 | 1.00 | 5.00 | 1.25 | 1 | 0.500 |" in text
