"""A shard is committed once, whole, whatever else is tried."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pyhpc.errors import PyhpcError
from pyhpc.executors import InlineExecutor
from pyhpc.shards import Plan, files, finish, shard_done, verify
from pyhpc.shards import commit as commit_module
from tests.fake_task import FakeTask, plain_records
from tests.shard_jobs import attempts_by_shard, make_job, result_tree, run_inline, run_one


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path, plain_records(60))


def test_counts_in_are_counts_out(job):
    total = run_inline(job)
    assert total["records"] == 60
    assert total["outcomes"] == {"ok": 51, "degraded": 5, "quarantined": 4}
    assert total["rows"] == 56
    assert total["reasons"]["quarantined"] == {"bad_text": 4}
    assert verify(job.output) == []


def test_equal_plans_give_equal_bytes(tmp_path):
    trees = []
    for name in ("a", "b"):
        job = make_job(tmp_path / name, plain_records(60))
        run_inline(job)
        trees.append(result_tree(job.output))
    assert trees[0] == trees[1]


def test_done_shards_are_not_run_again(job):
    assert run_one(job, 1).was_run
    assert not run_one(job, 1, "b").was_run
    status = InlineExecutor().submit(job).wait()
    assert (status.records_before, status.records_done) == (20, 60)
    assert attempts_by_shard(job.output) == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize("after_finish", [False, True])
@pytest.mark.parametrize("equal", [True, False])
def test_late_duplicate_hurts_nothing(job, monkeypatch, equal, after_finish):
    """An attempt that slept through another's commit wakes up at its own."""
    plain = commit_module.encode_table

    def overtaken(table):
        if shard_done(job.output, job.plan, 0) is None:
            monkeypatch.setattr(commit_module, "encode_table", plain)
            run_one(job, 0, "winner")
            if after_finish:
                run_inline(job)
        if not equal and "noise" in table.column_names:
            table = table.set_column(2, "noise", [[0.5] * table.num_rows])
        return plain(table)

    monkeypatch.setattr(commit_module, "encode_table", overtaken)
    done = run_one(job, 0, "zombie")
    assert done.outcomes == shard_done(job.output, job.plan, 0).outcomes
    assert len(list(job.output.parts.glob("part-00000-*"))) == 1
    run_inline(job)
    assert verify(job.output) == []


def test_attempt_whose_files_were_swept_gives_way(job, monkeypatch):
    plain = files.publish

    def swept(staged):
        monkeypatch.setattr(commit_module, "publish", plain)
        run_inline(job)
        assert not any(file.temporary.exists() for file in staged)
        plain(staged)

    monkeypatch.setattr(commit_module, "publish", swept)
    assert run_one(job, 0, "zombie").records == 20
    assert verify(job.output) == []


def test_lost_answer_to_a_link_is_a_success(tmp_path, monkeypatch):
    """NFS repeats a request whose answer was lost, and the repetition finds the name taken."""
    plain = os.link

    def link(source, target):
        plain(source, target)
        raise FileExistsError(errno.EEXIST, "exists", str(target))

    monkeypatch.setattr(os, "link", link)
    assert files.create(tmp_path / "m", b"one", "a")
    with pytest.raises(FileExistsError):
        link(tmp_path / "m", tmp_path / "m")
    monkeypatch.undo()
    assert not files.create(tmp_path / "m", b"two", "b")
    assert (tmp_path / "m").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_large_files_leave_the_page_cache_once_they_are_on_the_disk(tmp_path, monkeypatch):
    calls = []

    def note(name):
        call = getattr(os, name)

        def noted(descriptor, *arguments):
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.is_file():
                calls.append((name, path.name, *arguments))
            call(descriptor, *arguments)

        monkeypatch.setattr(os, name, noted)

    note("fsync")
    note("posix_fadvise")
    for name, size in (("small", files.STREAMED_BYTES - 1), ("large", files.STREAMED_BYTES)):
        files.replace(tmp_path / name, bytes(size), "a")
        assert (tmp_path / name).read_bytes() == bytes(size)
    assert calls == [
        ("fsync", ".small.a.tmp"),
        ("fsync", ".large.a.tmp"),
        ("posix_fadvise", ".large.a.tmp", 0, 0, os.POSIX_FADV_DONTNEED),
    ]


def test_disk_that_lies_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "write", lambda file, data: file.write(data[:-1]))
    with pytest.raises(PyhpcError, match="does not read back"):
        files.replace(tmp_path / "f", b"data", "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "Make room"), (errno.EROFS, "another --out"), (errno.EDQUOT, "quota")],
)
def test_storage_errors_say_what_to_do(job, monkeypatch, number, remedy):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PyhpcError, match=remedy):
        run_one(job, 0)
    monkeypatch.undo()
    assert shard_done(job.output, job.plan, 0) is None
    assert not any(job.output.parts.iterdir())


def test_finish_wants_all_shards_and_sweeps(job):
    run_one(job, 0)
    with pytest.raises(PyhpcError, match="2 of 3 shards are not done"):
        finish(job.output, job.plan)
    stray = job.output.parts / "part-00001-aaaaaaaaaaaa.parquet"
    temp = job.output.ledger / ".ledger-00001-aaaaaaaaaaaa.parquet.b.tmp"
    for path in (stray, temp):
        path.write_bytes(b"half")
    run_inline(job)
    assert not stray.exists()
    assert not temp.exists()
    assert verify(job.output) == []


def test_plan_is_joined_when_equal_and_kept_when_not(tmp_path):
    job = make_job(tmp_path, plain_records(60))
    before = job.output.plan.read_bytes()
    make_job(tmp_path, plain_records(60))
    with pytest.raises(PyhpcError, match=r'parameters.mobile_ion was "Li", is "Na".*another --out'):
        make_job(tmp_path, plain_records(60), task=FakeTask(mobile_ion="Na"))
    with pytest.raises(PyhpcError, match=r'versions.fake was "1", is "2"'):
        make_job(tmp_path, plain_records(60), task=FakeTask(version="2"))
    assert job.output.plan.read_bytes() == before


def test_worker_with_another_task_is_refused(job):
    for other in (FakeTask(version="2"), FakeTask(mobile_ion="Na")):
        with pytest.raises(PyhpcError, match="another task than the plan"):
            run_one(replace(job, task=other), 0)
    assert not any(job.output.parts.iterdir())


def test_plan_outlives_a_move(tmp_path):
    job = make_job(tmp_path / "here", plain_records(60))
    run_one(job, 0)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = make_job(tmp_path / "there", plain_records(60))
    assert Plan.load(moved.output) == job.plan
    run_inline(moved)
    assert verify(moved.output) == []


def test_manifest_of_another_plan_is_noticed(tmp_path):
    a = make_job(tmp_path / "a", plain_records(60))
    b = make_job(tmp_path / "b", plain_records(60), task=FakeTask(version="2"))
    run_one(a, 0)
    a.output.manifest(0).rename(b.output.manifest(0))
    with pytest.raises(PyhpcError, match="belongs to another plan"):
        run_one(b, 0)


def test_two_finish_at_once(tmp_path, monkeypatch):
    """The file of the slower one may be swept away before it has its name."""
    job = make_job(tmp_path, plain_records(40))
    run_inline(job)
    expected = result_tree(job.output)

    def sweep_away(file, data):
        file.write(data)
        Path(file.name).unlink()

    monkeypatch.setattr(files, "write", sweep_away)
    finish(job.output, job.plan)
    assert result_tree(job.output) == expected
    job.output.final_manifest.write_text("{}")
    with pytest.raises(FileNotFoundError):
        finish(job.output, job.plan)
