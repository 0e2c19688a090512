"""Executors run the same plan to the same bytes, whatever happens to their workers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time

import psutil
import pyarrow.dataset as ds
import pytest
from distributed import Security
from distributed.comm import connect

from pyhpc.errors import PyhpcError
from pyhpc.executors import InlineExecutor, LocalExecutor, dask_run
from pyhpc.executors.dask_run import DaskRun
from pyhpc.executors.dask_settings import ENVIRONMENT
from pyhpc.executors.rare_heartbeats import RareHeartbeats
from pyhpc.shards import Guard, finish, verify
from pyhpc.shards.isolate import Isolation
from tests.fake_task import FakeTask, plain_records, record
from tests.shard_jobs import (
    attempts_by_shard,
    make_job,
    result_tree,
    run_inline,
    run_one,
    running_pids,
)


def run_local(job, *, cores=2):
    status = LocalExecutor(cores).submit(job).wait()
    assert status.complete
    finish(job.output, job.plan)
    assert verify(job.output) == []
    return status


def ledger(job):
    return {row["id"]: row for row in ds.dataset(job.output.ledger).to_table().to_pylist()}


def reason_codes(job):
    """Reason code of each record that the plain task does not explain."""
    return {
        name: reason["code"]
        for name, row in ledger(job).items()
        for reason in row["reasons"]
        if reason["stage"] == "worker"
    }


def listening_addresses():
    """Addresses on which this process or one of its children listens."""
    me = psutil.Process()
    return {
        connection.laddr.ip
        for process in (me, *me.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_local_and_inline_give_equal_bytes(tmp_path):
    records = plain_records(200)
    local, inline = (make_job(tmp_path / name, records) for name in ("local", "inline"))
    seen, heard = [], set()

    def look(status):
        seen.append(status)
        heard.update(listening_addresses())

    run = LocalExecutor(2).submit(local)
    status = run.wait(look)
    finish(local.output, local.plan)
    run_inline(inline)
    assert result_tree(local.output) == result_tree(inline.output)
    assert attempts_by_shard(local.output) == dict.fromkeys(range(10), 1)
    assert status == run.status()
    assert (status.records_done, status.records_running, status.lost) == (200, 0, 0)
    assert status.outcomes == {"ok": 170, "degraded": 15, "quarantined": 15}
    assert all(one.records_done + one.records_running <= 200 for one in seen)
    assert heard == {"127.0.0.1"}


def test_records_that_kill_their_process_are_isolated(tmp_path):
    """The others of their shards are as if nothing had been."""
    kinds = {22: "crash", 23: "raise", 37: "hog", 50: "hang"}
    records = plain_records(80)
    for k, word in kinds.items():
        records[k] = record(f"guilty-{word}", word)
    guard = Guard(record_seconds=2.0, record_bytes=300 * 2**20)
    job = make_job(tmp_path / "run", records, guard=guard, per_batch=20)
    status = run_local(job)
    assert status.lost >= 2
    assert reason_codes(job) == {
        "guilty-crash": "worker_crash",
        "guilty-raise": "internal_error",
        "guilty-hang": "worker_timeout",
        "guilty-hog": "worker_memory",
    }
    (reason,) = ledger(job)["guilty-hang"]["reasons"]
    assert reason["message"] == "took more than 2 s of core time by itself"
    begun = attempts_by_shard(job.output)
    assert begun.total() == 4 + status.lost
    innocent = make_job(tmp_path / "innocent", [r for r in records if "guilty" not in r.id])
    run_inline(innocent)
    tables = [ds.dataset(one.output.parts).to_table().to_pydict() for one in (job, innocent)]
    assert repr(tables[0]) == repr(tables[1])


def test_small_shards_share_a_message_but_not_a_fate(tmp_path, monkeypatch):
    """Of the shards that were handed out together, those are run again that were not committed."""
    records = plain_records(60)
    records[14] = record("guilty", "crash")
    job = make_job(tmp_path, records, per_shard=1)
    plain, bundles = DaskRun._next, []

    def next_bundle(run, workers):
        bundle = plain(run, workers)
        bundles.append([trial.index for trial in bundle])
        return bundle

    monkeypatch.setattr(DaskRun, "_next", next_bundle)
    status = run_local(job)
    assert max(map(len, bundles)) == 60 // (3 * 2)
    assert sum(map(bool, bundles)) < 40
    (begun,) = (bundle[: bundle.index(14) + 1] for bundle in bundles[:4] if 14 in bundle)
    assert len(begun) > 1
    assert reason_codes(job) == {"guilty": "worker_crash"}
    # On a slow machine the first of them may have been: a commit is begun every fifth of a second.
    lost = begun[-status.lost :]
    assert status.shards_done == 60
    assert status.lost == len(lost)
    assert attempts_by_shard(job.output) == dict.fromkeys(range(60), 1) | dict.fromkeys(lost, 2)


def kill_workers(job, kills, *, seed=0):
    """End workers that are at a shard, from outside, one after another."""
    killed = set()

    def hunt():
        deadline = time.monotonic() + 60
        while len(killed) < kills and time.monotonic() < deadline:
            for pid in set(running_pids(job.output)) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                break
            time.sleep(0.05)

    thread = threading.Thread(target=hunt)
    thread.start()
    return thread, killed


def test_workers_killed_from_outside_cost_no_record(tmp_path):
    records = plain_records(80, words="sleep:0.01")
    job = make_job(tmp_path / "run", records)
    thread, killed = kill_workers(job, 2)
    status = run_local(job)
    thread.join()
    assert len(killed) == 2
    assert status.lost >= 2
    begun = attempts_by_shard(job.output)
    assert sum(begun.values()) == 4 + len(killed)
    plain = make_job(tmp_path / "plain", records)
    run_inline(plain)
    assert result_tree(job.output) == result_tree(plain.output)


def test_fewer_shards_than_cores_use_threads(tmp_path):
    job = make_job(tmp_path, plain_records(5))
    assert LocalExecutor(8).submit(job)._threads == 8
    job = make_job(tmp_path / "more", plain_records(60))
    assert LocalExecutor(8).submit(job)._threads == 2
    assert LocalExecutor(2).submit(job)._threads == 1


def test_error_of_the_user_stops_the_run(tmp_path):
    job = make_job(tmp_path, plain_records(80))
    path = tmp_path / "shards" / job.plan.shards[2].name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PyhpcError, match=f"{path.name} was truncated"):
        LocalExecutor(2).submit(job).wait()


@pytest.mark.parametrize("drain", [False, True])
def test_inline_run_can_be_cancelled(tmp_path, drain):
    job = make_job(tmp_path, plain_records(80))
    run = InlineExecutor().submit(job)
    status = run.wait(lambda status: status.records_running and run.cancel(drain=drain))
    assert status.shards_done == (1 if drain else 0)
    assert run_inline(job)["records"] == 80


def test_isolation_gives_what_the_plain_run_gives(tmp_path):
    records = plain_records(60)
    plain, isolated = (make_job(tmp_path / name, records) for name in ("plain", "isolated"))
    run_inline(plain)
    for index in range(3):
        run_one(isolated, index, isolated=True)
    finish(isolated.output, isolated.plan)
    assert result_tree(isolated.output) == result_tree(plain.output)


def test_what_is_begun_is_finished_though_its_message_is_late(tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    monkeypatch.setenv("PYHPC_TEST_GATE", str(gate))
    monkeypatch.setattr(DaskRun, "_hear", lambda run, event: None)
    job = make_job(tmp_path, plain_records(80, words="gate"))
    run = LocalExecutor(1).submit(job)

    def leave(status):
        if running_pids(job.output):
            run.cancel(drain=True)
            gate.touch()

    assert 1 <= run.wait(leave).shards_done < 4


def test_workers_that_do_not_start(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("Nanny failed to start.") from OSError("no more processes")

    monkeypatch.setattr("pyhpc.executors.local.LocalCluster", fail)
    run = LocalExecutor(1).submit(make_job(tmp_path, plain_records(20)))
    with pytest.raises(PyhpcError, match="workers did not start: no more processes"):
        run.wait()


def test_isolation_spares_a_record_whose_process_was_killed_from_outside():
    with Isolation(FakeTask(), Guard(), threads=1) as isolation:
        isolation([record("a", "x")])
        killer = threading.Timer(0.3, os.kill, (isolation._process.pid, signal.SIGKILL))
        killer.start()
        result = isolation([record("b", "sleep:1")])
    assert result.table["id"].to_pylist() == ["b"]
    assert result.reasons == {}


def test_isolation_puts_nothing_where_a_kill_would_leave_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Isolation(FakeTask(), Guard(), threads=1) as isolation:
        isolation([record("a", "x"), record("b", "crash")])
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_isolation_reads_the_last_words_of_a_process_without_memory():
    with Isolation(FakeTask(), Guard(), threads=1) as isolation:
        crashed = isolation([record("a", "crash")])
        starved = isolation([record("b", "abort")])
    codes = [result.reasons[0][0].code for result in (crashed, starved)]
    assert codes == ["worker_crash", "worker_memory"]


def test_isolation_ends_a_record_that_only_waits():
    with Isolation(FakeTask(), Guard(record_seconds=0.3), threads=1) as isolation:
        result = isolation([record("a", "sleep")])
    (reason,) = result.reasons[0]
    assert (reason.code, reason.message) == ("worker_timeout", "was not done after 3 s by itself")


def test_isolation_finds_every_guilty_record():
    records = plain_records(70)
    guilty = (0, 31, 32, 69)
    for k in guilty:
        records[k] = record(f"r{k}", "crash")
    with Isolation(FakeTask(), Guard(), threads=1) as isolation:
        result = isolation(records)
    found = [k for k, (reason,) in result.reasons.items() if "SIGSEGV" in reason.message]
    assert found == [*guilty]
    with_row = [records[k].id for k in result.with_row]
    assert with_row == result.table["id"].to_pylist()
    assert not set(with_row) & {records[k].id for k in guilty}


def test_attempt_logs_are_json_but_for_last_words(tmp_path):
    job = make_job(tmp_path, plain_records(20))
    run_inline(job)
    (path,) = job.output.attempts.iterdir()
    first, *batches, last = map(json.loads, path.read_text().splitlines())
    assert first["pid"] == os.getpid()
    assert [batch["treated"] for batch in batches] == [8, 16, 20]
    assert last["records"] == 20
    ours = {"shard.read", "shard.ledger", "shard.encode", "shard.commit"}
    assert last["seconds"].keys() == {"measure", "task.other"} | ours


def test_workers_keep_their_memory():
    with LocalExecutor(1)._cluster(1) as client:
        (found,) = client.run(lambda: dict(os.environ)).values()
    assert found.items() >= ENVIRONMENT.items()


async def beat_interval(dask_worker):
    """Milliseconds to the next sign of life, once one has been shown and answered."""
    calls = dask_worker.periodic_callbacks["heartbeat"]
    await calls.callback()
    return calls.callback_time


def test_workers_rarely_show_signs_of_life():
    """Those that come later as well; and they show them."""
    with LocalExecutor(1)._cluster(1) as client:
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

    class Scheduler:
        def nthreads(self):
            asked.append(now)
            return dict.fromkeys(range(here), 1)

    workers = dask_run._Workers(Scheduler())
    monkeypatch.setattr(dask_run.time, "monotonic", lambda: now)
    counts = []
    for step in range(80):
        now = step / 8
        here = 0 if now < 4 else 3
        counts.append(workers.count())
    assert asked == [0.0, 0.5, 1.5, 3.5, 5.5, 5.75, 6.25, 7.25, 9.25]
    assert counts == 44 * [1] + 36 * [3]


def test_who_looks_at_a_run_sees_its_end(tmp_path, monkeypatch):
    """However short it is."""
    monkeypatch.setattr(dask_run, "STATUS_SECONDS", 60.0)
    seen = []
    job = make_job(tmp_path, plain_records(60))
    status = LocalExecutor(2).submit(job).wait(seen.append)
    assert status.complete
    assert (seen[-1].shards_done, seen[-1].records_done) == (3, 60)


def test_worker_treats_all_its_shards_in_one_thread(tmp_path):
    """Each further thread would have the system give it memory of its own."""
    job = make_job(tmp_path, plain_records(24, words="thread"), per_shard=1)
    status = LocalExecutor(1).submit(job).wait()
    assert status.shards_done == 24
    said = [reason for row in ledger(job).values() for reason in row["reasons"]]
    places = [reason["message"] for reason in said if reason["code"] == "treated_in"]
    assert len(places) > 20
    assert len(set(places)) == 1
    assert str(os.getpid()) not in places[0]


def test_workers_refuse_whoever_lacks_the_key_of_the_run():
    with LocalExecutor(1)._cluster(1) as client:
        scheduler = client.scheduler_info()["address"]
        workers = list(client.scheduler_info()["workers"])
        assert scheduler.startswith("tls://127.0.0.1:")
        assert len(workers) == 1
        for address in (scheduler, *workers):
            plain = address.replace("tls://", "tcp://")
            assert not answers(plain, None)
            assert not answers(address, Security.temporary())
        assert answers(scheduler, client.security)


def answers(address, security):
    """Whether a Dask server at this address talks to a client with these credentials."""

    async def ask():
        arguments = security.get_connection_args("client") if security else {}
        try:
            connection = await asyncio.wait_for(connect(address, timeout=2, **arguments), 5)
        except (TimeoutError, OSError, RuntimeError):
            return False
        try:
            await connection.write({"op": "identity", "reply": True})
            reply = await asyncio.wait_for(connection.read(), 5)
        except (TimeoutError, OSError):
            return False
        finally:
            connection.abort()
        return reply["type"] == "Scheduler"

    return asyncio.run(ask())
