"""Submission of rounds, against commands of SLURM that a test makes up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyhpc.errors import PyhpcError
from pyhpc.executors import Site
from pyhpc.executors.array import ArrayExecutor, ArrayFolder, submit_round
from pyhpc.executors.array_task import end_round, hand_share, task_share
from pyhpc.executors.rounds import Round, Spans
from pyhpc.executors.slurm_commands import Limits
from tests.fake_task import plain_records
from tests.shard_jobs import make_job, pack_records, run_inline, run_one

SITE = Site(max_array_size=2, max_jobs=100, python="python3", environment=("GIVEN",))


class FakeSlurm:
    """Commands that note how they were called, and answer as they are told to."""

    def __init__(self, folder):
        self._folder = folder
        self.refuse = folder / "refuse"
        self.alive = folder / "alive"
        for name, body in {
            "sbatch": 'n=$(grep -c ^sbatch "$D/calls"); env > "$D/env$n"\n'
            'grep -qsx "$n" "$D/refuse" && cat "$D/why" >&2 && exit 1\n'
            "echo $((100 + n))",
            "squeue": '[ -f "$D/alive" ] && cat "$D/alive" && exit\n'
            'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1',
            "scancel": "",
        }.items():
            path = folder / name
            path.write_text(f'#!/bin/bash\nD={folder}\necho "{name} $*" >> "$D/calls"\n{body}\n')
            path.chmod(0o755)
        (folder / "calls").touch()

    def calls(self, name):
        lines = (self._folder / "calls").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{name} ")]

    def refuse_calls(self, *numbers, why="QOSMaxSubmitJobPerUserLimit"):
        self.refuse.write_text("".join(f"{number}\n" for number in numbers))
        (self._folder / "why").write_text(f"sbatch: error: {why}\n")

    def environment(self, number):
        return (self._folder / f"env{number}").read_text()


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return FakeSlurm(folder)


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path, plain_records(100), per_shard=10)


def submit(job, tasks=5, **settings):
    return ArrayExecutor(site=SITE, tasks=tasks, **settings).submit(job)


def test_arrays_are_split_and_the_end_waits_for_all(slurm, job):
    run = submit(job)
    folder = ArrayFolder.of(job.output)
    array, finish = folder.array, folder.finish
    assert slurm.calls("sbatch") == [
        f"--parsable --array=0-1 {array} 1 0",
        f"--parsable --array=0-1 {array} 1 2",
        f"--parsable --array=0-0 {array} 1 4",
        f"--parsable --dependency=afterany:101:102:103 {finish} 1 4",
    ]
    assert run.jobs == ["101", "102", "103", "104"]
    one = Round.load(folder.round(1))
    assert (list(one.shards), one.tasks, one.isolated) == (list(range(10)), 5, frozenset())


def test_jobs_get_few_variables(slurm, job, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    monkeypatch.setenv("GIVEN", "to the job")
    submit(job)
    environment = slurm.environment(1)
    assert "GIVEN=to the job" in environment
    assert "hidden" not in environment
    assert "SLURM_RESTART_COUNT" not in environment


def test_submit_limit_leaves_the_rest_to_the_tasks_that_were_taken(slurm, job):
    slurm.refuse_calls(2)
    run = submit(job)
    assert run.jobs == ["101", "103"]
    assert "--dependency=afterany:101 " in slurm.calls("sbatch")[-1]


@pytest.mark.parametrize(
    ("call", "why"), [(1, "AssocMaxSubmitJobLimit"), (2, "invalid partition"), (4, "no more")]
)
def test_refused_submission_leaves_no_job(slurm, job, call, why):
    slurm.refuse_calls(call, why=why)
    with pytest.raises(PyhpcError, match=f"sbatch: sbatch: error: {why}"):
        submit(job)
    assert slurm.calls("scancel") == (
        [" ".join(map(str, range(101, 100 + call)))] if call > 1 else []
    )
    assert ArrayFolder.of(job.output).rounds() == []
    slurm.refuse.unlink()
    assert submit(job).jobs


def test_second_submission_is_told(slurm, job):
    submit(job)
    slurm.alive.write_text("104 PENDING\n101_[0-1] RUNNING\n")
    with pytest.raises(PyhpcError, match=r"is being run by the jobs 101_\[0-1\], 104"):
        submit(job)
    slurm.alive.unlink()
    submit(job)
    assert ArrayFolder.of(job.output).rounds() == [1, 2]


def test_submission_that_was_killed_holds_up_no_other_for_long(slurm, job, monkeypatch):
    """Its round has no jobs, and never will."""
    monkeypatch.setattr("pyhpc.executors.array.SUBMIT_SECONDS", 0.5)
    submit(job)
    ArrayFolder.of(job.output).jobs(1).unlink()
    submit(job)
    assert ArrayFolder.of(job.output).rounds() == [1, 2]


def test_one_round_is_not_submitted_twice(slurm, job):
    submit(job)
    before = slurm.calls("sbatch")
    with pytest.raises(PyhpcError, match="another process submits round 1"):
        submit_round(job.output, 1, Spans([range(10)]), tasks=5, further=0, limits=Limits(2, 9))
    assert slurm.calls("sbatch") == before


def test_nothing_is_submitted_where_nothing_is_missing(slurm, job):
    run_inline(job)
    assert submit(job).jobs == []
    assert slurm.calls("sbatch") == []


def test_round_ends_with_what_is_missing(slurm, job):
    submit(job)
    for index in (0, 1, 2, 4, 5, 6, 7, 8):
        run_one(job, index)
    # One of the missing was begun in two rounds, and nobody heard of it again.
    for attempt in ("a", "b"):
        job.output.attempt(9, attempt).write_text('{"shard": 9}\n')
    job.output.attempt(3, "a").touch()
    jobs = end_round(job, 1, tasks=5, further=1, array_size=2)
    assert jobs == ["105", "106"]
    one = Round.load(ArrayFolder.of(job.output).round(2))
    assert (list(one.shards), one.tasks, one.isolated) == ([3, 9], 2, frozenset([9]))
    assert slurm.calls("sbatch")[-1].endswith("finish.sbatch 2 0")
    assert end_round(job, 1, tasks=5, further=1, array_size=2) == [], (
        "it was requeued, and has done it before"
    )
    with pytest.raises(PyhpcError, match="2 of 10 shards are missing after 2 rounds"):
        end_round(job, 2, tasks=5, further=0, array_size=2)
    assert not job.output.final_manifest.exists()
    run_one(job, 3, "c")
    run_one(job, 9, "c", isolated=True)
    assert end_round(job, 2, tasks=5, further=0, array_size=2) == []
    assert json.loads(job.output.final_manifest.read_bytes())["records"] == 100


def test_tasks_know_who_they_are(slurm, job, monkeypatch):
    submit(job)
    with pytest.raises(PyhpcError, match="no task of a SLURM array"):
        task_share(job, 1, 2)
    with pytest.raises(PyhpcError, match="no task of a SLURM array"):
        hand_share(job)
    given = {"ARRAY_TASK_ID": "4", "ARRAY_TASK_MIN": "3", "ARRAY_TASK_COUNT": "2"}
    for name, value in {**given, "ARRAY_JOB_ID": "7", "RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    share = hand_share(job).share
    assert (share.task, share.restarts, share.round.name, share.round.tasks) == (1, 1, "array7", 2)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    share = task_share(job, 1, 2).share
    assert (share.task, share.restarts, list(share.round.share(share.task))) == (3, 1, [3, 8])


def test_machine_without_slurm(job, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PyhpcError, match=r"there is no sbatch on this machine. Go to a login node"):
        submit(job)


def test_render_shows_what_submit_would_do_and_leaves_no_trace(slurm, tmp_path):
    pack_records(tmp_path / "shards", plain_records(40), per_shard=10)
    out = tmp_path / "out"
    words = ("slurm", "render", "--shards", tmp_path / "shards", "--out", out, "--jobs", "3")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fake_cli", *map(str, words)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"# ---- {out}/slurm/array.sbatch\n#!/bin/bash" in done.stdout
    assert f"--array=0-2 {out}/slurm/array.sbatch 1 0" in done.stdout
    assert not out.exists()
    assert slurm.calls("sbatch") == []
