"""Worker processes of this machine, which come and go with their orders."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import psutil
import pytest

from pyhpc.errors import PyhpcError
from pyhpc.executors import LocalExecutor, local_pool, local_worker
from pyhpc.executors.environment import ENVIRONMENT
from pyhpc.executors.local_pool import LocalPool
from pyhpc.executors.local_worker import Ended, Told
from pyhpc.executors.pool import Order, WorkerDiedError
from pyhpc.executors.run_order import EarlyFiles
from pyhpc.shards import Trial, finish, verify
from pyhpc.shards.files import new_attempt
from tests.fake_task import plain_records, record
from tests.shard_jobs import attempts_by_shard, make_job

PLENTY = 4 * 2**30


def make_pool(workers=1, memory=PLENTY, hear=lambda name, outcomes: None):
    return LocalPool(workers, memory, hear)


def order(job, *indices, **changes):
    bundle = tuple(Trial(index, new_attempt()) for index in indices)
    return Order(
        **{"output": job.output, "task": job.task, "packing": None, "threads": 1}
        | {"bundle": bundle}
        | changes
    )


def processes(pool):
    return [psutil.Process(worker.process.pid) for worker in pool._places if worker is not None]


def test_orders_are_run_and_told_of(tmp_path):
    job = make_job(tmp_path, plain_records(80))
    told = []
    with make_pool(2, hear=lambda name, outcomes: told.append((name, outcomes))) as pool:
        assert pool.count() == 2
        assert processes(pool) == []
        orders = [order(job, 0, 1), order(job, 2), order(job, 3)]
        first, *others = (pool.submit(one) for one in orders)
        assert [done.records for done in first.result(60)] == [20, 20]
        assert [future.result(60)[0].index for future in others] == [2, 3]
        mine = processes(pool)
        assert len(mine) == 2
    assert not any(process.is_running() for process in mine)
    assert {name for name, _ in told} == {one.name for one in orders}
    assert 0 < sum(sum(outcomes.values()) for _, outcomes in told) <= 80
    finish(job.output, job.plan)
    assert verify(job.output) == []


def test_workers_listen_nowhere_and_have_their_variables(tmp_path):
    job = make_job(tmp_path, plain_records(20))
    before = dict(os.environ)
    with make_pool() as pool:
        pool.submit(order(job, 0)).result(60)
        (worker,) = processes(pool)
        assert worker.environ().items() >= ENVIRONMENT.items()
        family = [worker, *worker.children(recursive=True)]
        assert not [place for one in family for place in one.net_connections("inet")]
    assert dict(os.environ) == before


def test_orders_of_a_worker_that_dies_fail_and_the_next_finds_another(tmp_path, monkeypatch):
    monkeypatch.setenv("PYHPC_TEST_GATE", str(tmp_path / "gate"))
    gated = make_job(tmp_path / "gated", plain_records(40, words="gate"))
    with make_pool() as pool:
        waiting = [pool.submit(order(gated, index)) for index in (0, 1)]
        (first,) = processes(pool)
        first.send_signal(signal.SIGKILL)
        for future in waiting:
            assert isinstance(future.exception(60), WorkerDiedError)
        (tmp_path / "gate").touch()
        (done,) = pool.submit(order(gated, 0)).result(60)
        assert done.was_run
        assert processes(pool) != [first]


def test_worker_that_takes_too_much_memory_is_ended(tmp_path):
    job = make_job(tmp_path, [record("guilty", "hog"), *plain_records(20)], per_shard=1)
    with make_pool(memory=2**30) as pool:
        assert isinstance(pool.submit(order(job, 0)).exception(60), WorkerDiedError)
        assert pool.submit(order(job, 1)).result(60)[0].records == 1


def test_order_that_waits_can_be_withdrawn(tmp_path, monkeypatch):
    monkeypatch.setenv("PYHPC_TEST_GATE", str(tmp_path / "gate"))
    job = make_job(tmp_path, plain_records(60, words="gate"))
    orders = [order(job, index) for index in range(3)]
    begun = []
    with make_pool(hear=lambda name, outcomes: begun.append(name)) as pool:
        first, second, third = (pool.submit(one) for one in orders)
        deadline = time.monotonic() + 60
        while not begun and time.monotonic() < deadline:
            time.sleep(0.01)
        pool.withdraw([orders[1]])
        (tmp_path / "gate").touch()
        assert first.result(60)[0].index == 0
        assert third.result(60)[0].index == 2
        assert not second.done()
    assert attempts_by_shard(job.output) == {0: 1, 2: 1}


def test_worker_reads_ahead_what_waits_for_it(tmp_path, monkeypatch):
    gate, expected = threading.Event(), []

    def run_order(one, files, hear, aside):
        hear(one.name, {})
        aside(gate.wait)
        return [one.bundle[0].index]

    monkeypatch.setattr(local_worker, "run_order", run_order)
    monkeypatch.setattr(EarlyFiles, "expect", lambda files, index: expected.append(index))
    job = make_job(tmp_path, plain_records(60))
    orders = [order(job, 0), order(job, 2)]
    ours, theirs = multiprocessing.Pipe()
    worker = threading.Thread(target=local_worker._Worker(theirs).serve)
    worker.start()
    for one in orders:
        ours.send(one)
    assert ours.recv() == Told(orders[0].name, {})
    deadline = time.monotonic() + 60
    while 2 not in expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert expected == [0, 2]
    assert not ours.poll(), "one at a time"
    gate.set()
    said = [ours.recv() for _ in range(3)]
    ours.close()
    worker.join(60)
    assert Told(orders[1].name, {}) in said
    assert [one.result for one in said if isinstance(one, Ended)] == [[0], [2]]


def test_orders_under_the_name_of_one_attempt_are_told_apart(tmp_path):
    """As those of a share of an array are."""
    job = make_job(tmp_path, plain_records(80))
    orders = [order(job, 0, bundle=(Trial(index, "same"),)) for index in range(4)]
    with make_pool() as pool:
        futures = [pool.submit(one) for one in orders]
        assert [future.result(60)[0].index for future in futures] == [0, 1, 2, 3]


def babble(connection):
    connection.send_bytes(b"nonsense")
    time.sleep(60)


def test_worker_that_says_nonsense_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(local_pool, "work", babble)
    job = make_job(tmp_path, plain_records(20))
    with make_pool() as pool:
        for _ in range(2):
            assert isinstance(pool.submit(order(job, 0)).exception(60), WorkerDiedError)


def test_errors_of_a_worker_are_told(tmp_path):
    job = make_job(tmp_path, plain_records(40))
    path = tmp_path / "shards" / job.plan.shards[0].name
    path.unlink()
    with make_pool() as pool:
        missing = pool.submit(order(job, 0)).exception(60)
        assert isinstance(missing, PyhpcError)
        assert f"{path.name} is missing" in str(missing)
        assert "Restore it" in missing.remedy
        bug = pool.submit(order(job, 1, task=None)).exception(60)
        assert "NoneType" in str(bug)
        assert "run_order.py" in str(bug)
        assert pool.submit(order(job, 1)).result(60)[0].records == 20


def test_workers_that_do_not_start(tmp_path, monkeypatch):
    def fail(process):
        raise OSError("no more processes")

    monkeypatch.setattr(local_pool.multiprocessing.context.SpawnProcess, "start", fail)
    run = LocalExecutor(1).submit(make_job(tmp_path, plain_records(20)))
    with pytest.raises(PyhpcError, match="workers did not start: no more processes"):
        run.wait()


def test_workers_that_cannot_run_anything_end_the_run(tmp_path, monkeypatch):
    """They die as they start, each time."""
    monkeypatch.setattr(local_pool, "work", os._exit)
    run = LocalExecutor(1).submit(make_job(tmp_path, plain_records(20)))
    with pytest.raises(PyhpcError, match="10 workers in a row died before they began shard 0"):
        run.wait()
