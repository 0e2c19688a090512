"""Shards that are committed together, broken off between any two steps."""

from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path

import pytest

from pyhpc.errors import PyhpcError
from pyhpc.shards import Trial, files, run, run_shards, verify
from pyhpc.shards.attempts import shard_logs
from tests.fake_task import plain_records
from tests.shard_jobs import make_job, result_tree, run_inline, run_one

SHARDS = 3


class PowerCut(BaseException):
    """The process is gone, and takes nothing back."""


class Disk:
    """Counts the steps that change the result folders, and breaks off before one of them.

    Parameters
    ----------
    output : Output
        Output folder.
    last : int, optional
        Number of steps that are made.

    Attributes
    ----------
    steps : int
        Steps that were made.
    """

    def __init__(self, output, last=None):
        self._folders = (output.parts, output.ledger, output.manifests)
        self._last = last
        self._contents = {}
        self._names = {folder: {} for folder in self._folders}
        self.steps = 0
        self.left = None

    def patch(self, monkeypatch):
        """Watch the calls by which files come to be."""
        monkeypatch.setattr(files, "THREADS", 1)
        for module, name in (
            (files, "FileIO"),
            (files, "write"),
            (os, "fsync"),
            (os, "link"),
            (Path, "replace"),
            (Path, "unlink"),
        ):
            monkeypatch.setattr(module, name, self._step(getattr(module, name), name))

    def _step(self, call, name):
        def step(*arguments, **options):
            if self.steps == self._last:
                self.left = self.left or {
                    "killed": self._now(),
                    "names lost": self._synced(self._names),
                    "names kept": self._synced({f: self._entries(f) for f in self._folders}),
                }
                raise PowerCut
            self.steps += 1
            result = call(*arguments, **options)
            if name == "fsync":
                self._note(Path(f"/proc/self/fd/{arguments[0]}").readlink())
            return result

        return step

    def _note(self, path):
        if path.is_dir():
            self._names[path] = self._entries(path)
        else:
            self._contents[path.stat().st_ino] = path.read_bytes()

    def _entries(self, folder):
        return {path.name: path.stat().st_ino for path in folder.iterdir()}

    def _now(self):
        return {path: path.read_bytes() for f in self._folders for path in f.iterdir()}

    def _synced(self, names):
        """Files by these names, with as much of them as was put on the disk."""
        return {
            folder / name: self._contents.get(inode, b"")
            for folder, entries in names.items()
            for name, inode in entries.items()
        }

    def restore(self, left):
        """Make the folders what they are after the fault."""
        for path in self._now():
            path.unlink()
        for path, data in left.items():
            path.write_bytes(data)


def commit_together(job):
    trials = [Trial(index, "a") for index in range(SHARDS)]
    return run_shards(job.output, job.plan, trials, job.task)


@pytest.mark.parametrize("fault", ["killed", "names lost", "names kept"])
def test_what_is_seen_after_a_fault_is_whole(tmp_path, monkeypatch, fault):
    """Killed, only the process is gone; without power, whatever was not put on the disk."""
    job = make_job(tmp_path / "whole", plain_records(60))
    disk = Disk(job.output)
    with monkeypatch.context() as patch:
        disk.patch(patch)
        commit_together(job)
    committed = []
    expected = run_inline(job)
    # Three files of each shard are made, filled, synced, named; two folders and one are synced.
    assert disk.steps == SHARDS * 3 * 5 + 3
    for last in range(disk.steps):
        job = make_job(tmp_path / str(last), plain_records(60))
        broken = Disk(job.output, last)
        with monkeypatch.context() as patch:
            broken.patch(patch)
            with pytest.raises(PowerCut):
                commit_together(job)
        broken.restore(broken.left[fault])
        suspects = {path for problem in verify(job.output) for path in problem.suspects}
        assert not [path for path in suspects if path.parent == job.output.manifests]
        committed.append(SHARDS - len(list(job.pending())))
        assert run_inline(job) == expected
    assert committed == sorted(committed)
    assert committed[0] == 0
    assert committed[-1] == SHARDS
    if fault != "names lost":
        assert set(committed) == set(range(SHARDS + 1))


def test_commit_together_makes_the_files_of_each_alone(tmp_path):
    together, alone = (make_job(tmp_path / name, plain_records(60)) for name in ("a", "b"))
    done = commit_together(together)
    assert [one.was_run for one in done] == [True] * SHARDS
    assert run_inline(together) == run_inline(alone)
    assert result_tree(together.output) == result_tree(alone.output)


def watch_commits(monkeypatch, seconds, before=lambda: None):
    """Note the shards of each commit as it begins."""
    plain, found = run.commit, []

    def commit(output, plan, candidates):
        found.append([candidate.index for candidate in candidates])
        before()
        return plain(output, plan, candidates)

    monkeypatch.setattr(run, "commit", commit)
    monkeypatch.setattr(run, "GROUP_SECONDS", seconds)
    return found


def test_commits_are_no_further_apart_than_said(tmp_path, monkeypatch):
    found = watch_commits(monkeypatch, 1e6)
    assert all(done.was_run for done in commit_together(make_job(tmp_path, plain_records(60))))
    assert found == [[0, 1, 2]]


@pytest.mark.parametrize("shards", [3, 5])
def test_shards_are_treated_while_others_are_committed(tmp_path, monkeypatch, shards):
    """The first commit ends once the shards after it are treated, which wait for it together."""
    job = make_job(tmp_path, plain_records(20 * shards))
    treated = threading.Semaphore(0)
    waits = [shards]

    def wait():
        for _ in range(waits.pop() if waits else 0):
            assert treated.acquire(timeout=60)

    found = watch_commits(monkeypatch, 0.0, wait)
    trials = [Trial(index, "a") for index in range(shards)]
    batches = 3
    calls = itertools.count(1)

    def on_batch(outcomes):
        if next(calls) % batches == 0:
            treated.release()

    done = run_shards(job.output, job.plan, trials, job.task, on_batch=on_batch)
    assert [one.was_run for one in done] == [True] * shards
    # The last comes with the others or by itself.
    assert found[:2] in ([[0], list(range(1, end))] for end in (shards - 1, shards))
    assert list(itertools.chain(*found)) == list(range(shards))
    run_inline(job)
    assert verify(job.output) == []


def commit_seconds(job, **options):
    trials = [Trial(index, "a") for index in range(SHARDS)]
    run_shards(job.output, job.plan, trials, job.task, **options)
    logs = (shard_logs(job.output, index)[0][-1] for index in range(SHARDS))
    return [one["seconds"]["shard.commit"] for one in logs]


def test_only_the_time_that_a_commit_keeps_a_worker_counts(tmp_path, monkeypatch):
    """Of others, that of the core: to wait for the disk keeps nobody."""
    watch_commits(monkeypatch, 0.0, lambda: time.sleep(0.5))
    first, *others = commit_seconds(make_job(tmp_path / "waits", plain_records(60)))
    assert 0 < first < 0.5 < sum(others)
    treated = []

    def aside(treat):
        treat()
        treated.append(list(job.pending()))

    job = make_job(tmp_path / "goes on", plain_records(60))
    assert sum(commit_seconds(job, aside=aside)) < 0.5
    assert len(treated) == 1
    assert SHARDS - 1 in treated[0]


def test_core_time_of_all_threads_of_a_commit_counts(tmp_path, monkeypatch):
    job = make_job(tmp_path, plain_records(60))
    plain, spent = files._sync, []

    def sync(*arguments):
        started = time.thread_time()
        while (spun := time.thread_time() - started) < 0.02:
            pass
        spent.append(spun)
        plain(*arguments)

    monkeypatch.setattr(files, "_sync", sync)
    seconds = commit_seconds(job, aside=lambda treat: treat())
    assert sum(spent) < sum(seconds) < sum(spent) + 1
    assert len(spent) == 3 * SHARDS


def test_time_of_a_shard_begins_before_its_log(tmp_path, monkeypatch):
    plain = run.AttemptLog.__enter__

    def enter(log):
        time.sleep(0.2)
        return plain(log)

    monkeypatch.setattr(run.AttemptLog, "__enter__", enter)
    job = make_job(tmp_path, plain_records(20))
    run_one(job, 0)
    (lines,) = shard_logs(job.output, 0)
    assert lines[-1]["wall_seconds"] > 0.2
    assert lines[-1]["time"] - lines[0]["time"] < lines[-1]["wall_seconds"]


def test_what_was_treated_is_committed_however_long_the_next_shard_takes(tmp_path, monkeypatch):
    job = make_job(tmp_path, plain_records(60))
    monkeypatch.setattr(run, "GROUP_SECONDS", 0.01)
    seen = []

    def wait(outcomes):
        seen.append(outcomes)
        deadline = time.monotonic() + 60
        while len(seen) == 4 and not job.output.manifest(0).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    trials = [Trial(index, "a") for index in range(SHARDS)]
    assert all(run_shards(job.output, job.plan, trials, job.task, on_batch=wait))
    assert len(seen) == 3 * SHARDS


def test_commit_that_runs_is_ended_when_the_next_shard_fails(tmp_path, monkeypatch):
    job = make_job(tmp_path, plain_records(60))
    begun, seen = threading.Event(), []

    def wait():
        begun.set()
        time.sleep(0.2)

    def fail(outcomes):
        seen.append(outcomes)
        if len(seen) == 4 and begun.wait(60):
            raise PyhpcError("no luck", "Try again.")

    watch_commits(monkeypatch, 0.0, wait)
    trials = [Trial(index, "a") for index in range(SHARDS)]
    with pytest.raises(PyhpcError, match="no luck"):
        run_shards(job.output, job.plan, trials, job.task, on_batch=fail)
    assert 0 not in job.pending()
    assert "wall_seconds" in shard_logs(job.output, 0)[0][-1]


def test_commit_that_fails_while_others_are_treated_is_told(tmp_path, monkeypatch):
    job = make_job(tmp_path, plain_records(60))
    whole, fails = run.commit, [True]

    def commit(output, plan, candidates):
        if fails and fails.pop():
            raise PyhpcError("no room", "Make room.")
        return whole(output, plan, candidates)

    monkeypatch.setattr(run, "commit", commit)
    monkeypatch.setattr(run, "GROUP_SECONDS", 0.0)
    with pytest.raises(PyhpcError, match="no room"):
        commit_together(job)
    assert run_inline(job)["records"] == 60
    assert verify(job.output) == []


def test_of_shards_that_are_committed_together_each_can_be_overtaken(tmp_path, monkeypatch):
    job = make_job(tmp_path, plain_records(60))
    plain = files.publish

    def overtaken(staged):
        monkeypatch.setattr("pyhpc.shards.commit.publish", plain)
        run_shards(job.output, job.plan, [Trial(1, "winner")], job.task)
        plain(staged)

    monkeypatch.setattr("pyhpc.shards.commit.publish", overtaken)
    assert [one.records for one in commit_together(job)] == [20] * SHARDS
    assert run_inline(job)["records"] == 60
    assert verify(job.output) == []


def test_shards_that_are_done_or_taken_are_left_out(tmp_path):
    job = make_job(tmp_path, plain_records(60))
    run_shards(job.output, job.plan, [Trial(0, "a")], job.task)
    job.output.attempt(2, "a").touch()
    done, run, taken = commit_together(job)
    assert not done.was_run
    assert run.was_run
    assert taken is None
    assert list(job.pending()) == [2]
