"""Shard files that are read while the shard before them is treated."""

from __future__ import annotations

import threading
import time

import pytest

from pyhpc.errors import PyhpcError
from pyhpc.shards import Trial, read_ahead, run_shards, verify
from pyhpc.shards.plan import packing_folder
from tests.fake_task import plain_records
from tests.shard_jobs import make_job, run_inline

SHARDS = 4
BATCHES = 3
"""Of each shard."""


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path, plain_records(20 * SHARDS, words="word " * 1000))


def trials():
    return [Trial(index, "a") for index in range(SHARDS)]


def folder(job):
    return packing_folder(job.output, job.plan)


@pytest.fixture
def files(job):
    with read_ahead.ReadAhead(folder(job), job.plan.shards) as files:
        yield files


@pytest.fixture
def opening(monkeypatch):
    """Call a function before a shard file is read."""

    def call(before):
        plain = read_ahead.open_shard

        def open_shard(folder, shard):
            before(shard)
            return plain(folder, shard)

        monkeypatch.setattr(read_ahead, "open_shard", open_shard)

    return call


def test_next_file_is_read_while_a_shard_is_treated(job, opening):
    files = [shard.name for shard in job.plan.shards]
    is_read = {name: threading.Event() for name in files}
    opening(lambda shard: is_read[shard.name].set())
    waits = (name for name in files[1:] for _ in range(BATCHES))

    def on_batch(outcomes):
        name = next(waits, None)
        assert name is None or is_read[name].wait(60)

    done = run_shards(job.output, job.plan, trials(), job.task, on_batch=on_batch)
    assert [one.was_run for one in done] == [True] * SHARDS
    run_inline(job)
    assert verify(job.output) == []


def ids(opened):
    return [record.id for batch in opened.batches for record in batch.records]


def names(shard):
    return [f"r{number:05d}" for number in range(20 * shard, 20 * shard + 20)]


@pytest.mark.parametrize("expected", [[], [0], [1, 0], [2, 3, 1], [3, 3, 3]])
def test_each_file_is_the_one_that_is_asked_for(files, expected):
    for index in expected:
        files.expect(index)
    assert ids(files.open(0)) == names(0)
    assert ids(files.open(1)) == names(1)
    assert ids(files.open(3)) == names(3)


def test_first_batch_ahead_is_read_to_its_records(job, monkeypatch):
    plain, threads = read_ahead.read_batches, []

    def read_batches(file):
        for batch in plain(file):
            threads.append(threading.current_thread())
            yield batch

    monkeypatch.setattr(read_ahead, "read_batches", read_batches)
    assert all(run_shards(job.output, job.plan, trials(), job.task))
    assert len(threads) == BATCHES * SHARDS
    by_who_treats = [thread is threading.current_thread() for thread in threads]
    assert by_who_treats.count(False) == SHARDS - 1
    assert by_who_treats[:1] + by_who_treats[-2:] == [True, True, True]


def test_a_few_files_are_held(files, opening):
    read, goes_on = [], threading.Event()

    def before(shard):
        read.append(int(shard.name.split("-")[1]))
        assert goes_on.wait(60)

    opening(before)
    for index in range(SHARDS):
        files.expect(index)
    goes_on.set()
    deadline = time.monotonic() + 60
    while len(read) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ids(files.open(3)) == names(3)
    # The first was under way at once, the second has been let go.
    assert read == [0, 2, 3]
    assert ids(files.open(1)) == names(1)
    assert read == [0, 2, 3, 1]


def test_small_files_are_not_worth_it(tmp_path, opening):
    job = make_job(tmp_path, plain_records(20 * SHARDS))
    threads = []
    opening(lambda shard: threads.append(threading.current_thread()))
    assert all(run_shards(job.output, job.plan, trials(), job.task))
    assert threads == [threading.current_thread()] * SHARDS


def test_what_waits_for_the_reader_is_read_by_who_needs_it(files, opening):
    goes_on = threading.Event()
    opening(lambda shard: shard.name.startswith("shard-00000") and goes_on.wait(60))
    files.expect(0)
    files.expect(1)
    assert ids(files.open(1)) == names(1)
    goes_on.set()


def test_core_time_ahead_counts_unless_it_is_waited_for(files, opening):
    first, is_next = threading.current_thread(), threading.Event()

    def before(shard):
        assert shard.name.startswith("shard-00000") == (threading.current_thread() is first)
        if shard.name.startswith("shard-00002"):
            is_next.set()
        time.sleep(0.5)
        started = time.thread_time()
        while time.thread_time() - started < 0.05:
            pass

    opening(before)
    assert files.open(0).seconds == 0
    files.expect(1)
    files.expect(2)
    assert is_next.wait(60)
    assert 0.05 <= files.open(1).seconds < 0.5
    assert files.open(2).seconds < 0.05


def test_damage_is_told_when_it_is_the_shards_turn(job):
    path = folder(job) / job.plan.shards[2].name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    batches = []
    with pytest.raises(PyhpcError, match=f"{path.name} was truncated or altered"):
        run_shards(job.output, job.plan, trials(), job.task, on_batch=batches.append)
    assert len(batches) == 2 * BATCHES
    path.write_bytes(whole)
    assert run_inline(job)["records"] == 20 * SHARDS
    assert verify(job.output) == []
