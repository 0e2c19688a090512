"""Workers of a Dask cluster: the same runs as in processes of our own."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext

import dask
from distributed import Client, LocalCluster

from pyhpc.executors import dask_pool
from pyhpc.executors.dask_pool import DaskPool
from pyhpc.executors.dask_settings import SETTINGS, SILENCE, silence_dask
from pyhpc.executors.pool_run import PoolRun
from pyhpc.executors.rare_heartbeats import RareHeartbeats
from pyhpc.shards import finish, verify
from tests.fake_task import plain_records
from tests.shard_jobs import (
    attempts_by_shard,
    kill_workers,
    ledger,
    make_job,
    result_tree,
    run_inline,
    running_pids,
)


@contextmanager
def dask_client(workers):
    """Client of a cluster with the settings of runs."""
    silence_dask()
    with (
        dask.config.set(SETTINGS),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            worker_dashboard_address=None,
            silence_logs=SILENCE,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def run_on(client, job):
    return PoolRun(job, lambda hear: nullcontext(DaskPool(client, hear)), threads=1)


def test_runs_give_equal_bytes_though_a_worker_dies(tmp_path):
    records = plain_records(200, words="sleep:0.005")
    job, inline = (make_job(tmp_path / name, records) for name in ("dask", "inline"))
    with dask_client(2) as client:
        thread, killed = kill_workers(job, 1)
        run = run_on(client, job)
        status = run.wait()
    thread.join()
    assert status.complete
    assert killed
    assert status == run.status()
    assert (status.records_done, status.records_running) == (200, 0)
    finish(job.output, job.plan)
    assert verify(job.output) == []
    run_inline(inline)
    assert result_tree(job.output) == result_tree(inline.output)
    assert attempts_by_shard(job.output).total() == 10 + status.lost


def test_what_waits_is_withdrawn(tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    monkeypatch.setenv("PYHPC_TEST_GATE", str(gate))
    job = make_job(tmp_path, plain_records(80, words="gate"))
    with dask_client(1) as client:
        run = run_on(client, job)

        def leave(status):
            if running_pids(job.output):
                run.cancel(drain=True)
                gate.touch()

        assert run.wait(leave).shards_done == 1
    assert attempts_by_shard(job.output) == {0: 1}


def test_worker_treats_all_its_shards_in_one_thread(tmp_path):
    """Each further thread would have the system give it memory of its own."""
    job = make_job(tmp_path, plain_records(24, words="thread"), per_shard=1)
    with dask_client(1) as client:
        run_on(client, job).wait()
    finish(job.output, job.plan)
    said = [reason for row in ledger(job).values() for reason in row["reasons"]]
    places = [reason["message"] for reason in said if reason["code"] == "treated_in"]
    assert len(places) > 20
    assert len(set(places)) == 1


async def beat_interval(dask_worker):
    """Milliseconds to the next sign of life, once one has been shown and answered."""
    calls = dask_worker.periodic_callbacks["heartbeat"]
    await calls.callback()
    return calls.callback_time


def test_workers_rarely_show_signs_of_life():
    """Those that come later as well; and they show them."""
    with dask_client(1) as client:
        scheduler = client.cluster.scheduler
        assert [*client.run(beat_interval).values()] == [500.0]
        client.register_plugin(RareHeartbeats())
        client.cluster.scale(2)
        client.wait_for_workers(2)
        before = time.time()
        assert [*client.run(beat_interval).values()] == [5000.0, 5000.0]
        assert all(worker.last_seen >= before for worker in scheduler.workers.values())


def test_workers_are_counted_more_and_more_rarely_until_one_comes_or_goes(monkeypatch):
    here, asked = 0, []

    class Idle:
        def subscribe_topic(self, topic, handler):
            pass

        def register_plugin(self, plugin):
            pass

        def nthreads(self):
            asked.append(now)
            return dict.fromkeys(range(here), 1)

    pool = DaskPool(Idle(), lambda name, outcomes: None)
    monkeypatch.setattr(dask_pool.time, "monotonic", lambda: now)
    counts = []
    for step in range(80):
        now = step / 8
        here = 0 if now < 4 else 3
        counts.append(pool.count())
    assert asked == [0.0, 0.5, 1.5, 3.5, 5.5, 5.75, 6.25, 7.25, 9.25]
    assert counts == 44 * [1] + 36 * [3]
