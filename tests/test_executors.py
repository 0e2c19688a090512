"""Executors run the same plan to the same bytes, whatever happens to their workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pyarrow.dataset as ds
import pytest

from pyhpc.errors import PyhpcError
from pyhpc.executors import (
    InlineExecutor,
    LocalExecutor,
    Resources,
    make_executor,
    pool_run,
)
from pyhpc.executors.pool_run import PoolRun
from pyhpc.shards import Guard, finish, verify
from pyhpc.shards.isolate import Isolation
from tests.fake_task import FakeTask, plain_records, record
from tests.shard_jobs import (
    attempts_by_shard,
    kill_workers,
    ledger,
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


def reason_codes(job):
    """Reason code of each record that the plain task does not explain."""
    return {
        name: reason["code"]
        for name, row in ledger(job).items()
        for reason in row["reasons"]
        if reason["stage"] == "worker"
    }


def test_local_and_inline_give_equal_bytes(tmp_path):
    records = plain_records(200)
    local, inline = (make_job(tmp_path / name, records) for name in ("local", "inline"))
    seen = []
    run = LocalExecutor(2).submit(local)
    status = run.wait(seen.append)
    finish(local.output, local.plan)
    run_inline(inline)
    assert result_tree(local.output) == result_tree(inline.output)
    assert attempts_by_shard(local.output) == dict.fromkeys(range(10), 1)
    assert status == run.status()
    assert (status.records_done, status.records_running, status.lost) == (200, 0, 0)
    assert status.outcomes == {"ok": 170, "degraded": 15, "quarantined": 15}
    assert all(one.records_done + one.records_running <= 200 for one in seen)


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
    plain, bundles = PoolRun._next, []

    def next_bundle(run, workers):
        bundle = plain(run, workers)
        bundles.append([trial.index for trial in bundle])
        return bundle

    monkeypatch.setattr(PoolRun, "_next", next_bundle)
    status = run_local(job)
    assert max(map(len, bundles)) == 60 // (3 * 2)
    assert sum(map(bool, bundles)) < 40
    (number,) = (k for k, bundle in enumerate(bundles) if 14 in bundle and len(bundle) > 1)
    begun = [*bundles[:number], bundles[number][: bundles[number].index(14) + 1]]
    assert len(begun[-1]) > 1
    assert reason_codes(job) == {"guilty": "worker_crash"}
    attempts = attempts_by_shard(job.output)
    again = {index for index, count in attempts.items() if count == 2}
    assert attempts == dict.fromkeys(range(60), 1) | dict.fromkeys(again, 2)
    assert (status.shards_done, status.lost) == (60, len(again))
    # On a slow machine the first of them may have been committed, which is begun every fifth of a
    # second, and the last of those that the worker had before may not have been.
    lost = [[index for index in bundle if index in again] for bundle in begun]
    assert lost[-1][-1] == 14
    assert all(
        bundle[len(bundle) - len(ends) :] == ends for bundle, ends in zip(begun, lost, strict=True)
    )
    assert sum(map(len, lost)) == len(again)


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
    monkeypatch.setattr(PoolRun, "_hear", lambda run, name, outcomes: None)
    job = make_job(tmp_path, plain_records(80, words="gate"))
    run = LocalExecutor(1).submit(job)

    def leave(status):
        if running_pids(job.output):
            run.cancel(drain=True)
            gate.touch()

    assert 1 <= run.wait(leave).shards_done < 4


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


def test_who_looks_at_a_run_sees_its_end(tmp_path, monkeypatch):
    """However short it is."""
    monkeypatch.setattr(pool_run, "STATUS_SECONDS", 60.0)
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


@pytest.mark.parametrize("name", ["slurm", "allocation"])
def test_executor_says_how_to_get_what_it_lacks(monkeypatch, name):
    for module in [one for one in sys.modules if one.split(".")[0] in ("dask", "distributed")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, f"pyhpc.executors.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(PyhpcError, match=f"--on {name} needs distributed, which is not") as told:
        make_executor(name, Resources())
    assert "pyhpc-crystals[slurm]" in told.value.remedy


def test_runs_on_this_machine_import_no_dask():
    code = "import sys; import pyhpc.cli, pyhpc.executors; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = {name.split(".")[0] for name in run.stdout.split()}
    assert "pyhpc" in modules
    assert not modules & {"dask", "distributed", "cryptography"}
