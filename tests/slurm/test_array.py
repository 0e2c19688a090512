"""An array on a real SLURM: whatever befalls it, the bytes are those of an undisturbed run."""

from __future__ import annotations

import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner

from pyhpc.cli.main import cli
from pyhpc.errors import PyhpcError
from pyhpc.executors import InlineExecutor
from pyhpc.executors.array import ArrayFolder
from pyhpc.shards import Guard, verify
from tests.fake_task import plain_records, record
from tests.shard_jobs import attempts_by_shard, make_job, run_inline, running_pids
from tests.slurm.array_runs import (
    check,
    executor,
    gated_records,
    logs,
    undisturbed_tree,
    wait_for_end,
)
from tests.slurm.cluster import wait_for

pytestmark = pytest.mark.slurm

SHARDS = 12
RECORDS = gated_records(SHARDS)
ONCE = dict.fromkeys(range(SHARDS), 1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return undisturbed_tree(tmp_path_factory.mktemp("plain"), RECORDS, per_shard=5)


@pytest.fixture(autouse=True)
def _talk_to_the_cluster(slurm, monkeypatch):
    for name in ("PATH", "SLURM_CONF", "MUNGE_SOCKET"):
        monkeypatch.setenv(name, slurm.env[name])


@pytest.fixture
def job(tmp_path, gate):
    return make_job(tmp_path, RECORDS, per_shard=5)


def until_at_gate(job):
    """Wait until both tasks are in the midst of a shard, and give their processes."""

    def look():
        done = len(list(job.output.manifests.glob("*.json")))
        pids = running_pids(job.output)
        return done == 2 and len(pids) == len(set(pids)) == 2 and pids

    return wait_for(look, "work of both tasks")


def until_said(job, words, *, times=1):
    """Wait until so many jobs have said something in their logs."""
    wait_for(lambda: sum(words in text for text in logs(job).values()) == times, words)


def task_process(pid):
    """The process of the task to which a worker belongs."""
    return next(p for p in psutil.Process(pid).parents() if "task" in p.cmdline())


def rounds(job):
    return len(ArrayFolder.of(job.output).rounds())


def test_array_goes_on_where_a_local_run_stopped(slurm, job, gate, undisturbed):
    gate.open()
    local = InlineExecutor().submit(job)
    local.wait(lambda status: status.shards_done == 3 and local.cancel(drain=True))
    run = executor(max_array_size=1).submit(job)
    assert len(run.jobs) == 3, "two arrays, since the site allows one task in each, and their end"
    status = run.wait()
    assert status.complete
    wait_for_end(slurm, job)
    check(job, undisturbed)
    assert attempts_by_shard(job.output) == ONCE
    assert rounds(job) == 1


def test_killed_processes(slurm, job, gate, undisturbed):
    """A worker of one task, and the whole of another, end by SIGKILL."""
    executor().submit(job)
    first, second = until_at_gate(job)
    task_process(second).kill()
    os.kill(first, signal.SIGKILL)
    # The worker of the killed task lives on until it notices; given the time, it would finish.
    wait_for(lambda: not psutil.pid_exists(second), "end of the worker")
    gate.open()
    wait_for_end(slurm, job)
    check(job, undisturbed)
    begun = attempts_by_shard(job.output)
    assert set(begun) == set(ONCE)
    assert begun.total() == SHARDS + 2, "what was being run, and no more, was run again"


def test_one_task_cancelled_and_one_requeued(slurm, job, gate, undisturbed):
    run = executor().submit(job)
    array = run.jobs[0]
    until_at_gate(job)
    slurm.run("scancel", f"{array}_0")
    until_said(job, "SIGTERM: finishing")
    gate.open()
    slurm.requeue(f"{array}_1")
    wait_for_end(slurm, job)
    check(job, undisturbed)
    assert "left on SIGTERM" in logs(job)[f"{array}_0.log"]
    begun = attempts_by_shard(job.output)
    assert set(begun) == set(ONCE)
    # The cancelled one finishes what it has begun; the requeued one may be killed first.
    assert begun.total() in (SHARDS, SHARDS + 1), "what was being run, and no more, was run again"


def test_signalled_array_is_resumed_by_a_local_run(slurm, job, gate, undisturbed):
    run = executor(rounds=1).submit(job)
    until_at_gate(job)
    slurm.run("scancel", "--batch", "--signal=USR1", run.jobs[0])
    until_said(job, "SIGUSR1: finishing", times=2)
    gate.open()
    wait_for(lambda: not slurm.jobs(), "end of the run")
    begun = attempts_by_shard(job.output)
    assert begun == dict.fromkeys(range(4), 1)
    assert len(list(job.output.manifests.glob("*.json"))) == len(begun), "all begun are done"
    assert slurm.job(run.jobs[-1])["JobState"] == "FAILED"
    log = logs(job)[f"{run.jobs[-1]}-finish.log"]
    assert f"{SHARDS - len(begun)} of {SHARDS} shards are missing after 1 rounds" in log
    assert not run.wait().complete
    run_inline(job)
    check(job, undisturbed)
    assert attempts_by_shard(job.output) == ONCE


def test_array_cancelled_by_the_command(slurm, job, gate, undisturbed):
    """What is begun is finished, no further round comes, and a local run goes on."""
    run = executor().submit(job)
    until_at_gate(job)
    shown = CliRunner().invoke(cli, ["cancel", str(job.output.path)])
    assert shown.exit_code == 0, shown.output
    assert f"Cancelled the jobs {', '.join(reversed(run.jobs))}." in shown.output
    until_said(job, "SIGTERM: finishing", times=2)
    gate.open()
    wait_for(lambda: not slurm.jobs(), "end of the run")
    assert slurm.job(run.jobs[-1])["JobState"] == "CANCELLED"
    assert rounds(job) == 1
    begun = attempts_by_shard(job.output)
    assert begun == dict.fromkeys(range(4), 1)
    again = CliRunner().invoke(cli, ["cancel", str(job.output.path)])
    assert "No job of this run is left" in again.output
    told = CliRunner().invoke(cli, ["logs", str(job.output.path), "2"]).output
    assert f"job {run.jobs[0]}_" in told
    assert "log of the job: " in told
    run_inline(job)
    check(job, undisturbed)
    assert attempts_by_shard(job.output) == ONCE


def test_node_goes_down(slurm, job, gate, undisturbed):
    """Its tasks start again on the other, while what they had begun lives on where it was."""
    array = executor().submit(job).jobs[0]
    tasks = [f"{array}_{k}" for k in range(2)]
    until_at_gate(job)
    (node,) = {slurm.job(task)["NodeList"] for task in tasks}
    slurm.kill_slurmd(node)
    slurm.set_down(node)
    for task in tasks:
        slurm.start_now(task)
    wait_for(lambda: attempts_by_shard(job.output).total() == 6, "second starts")
    assert [slurm.job(task)["Restarts"] for task in tasks] == ["1", "1"]
    gate.open()
    wait_for_end(slurm, job)
    check(job, undisturbed)
    assert attempts_by_shard(job.output) == ONCE | {2: 2, 3: 2}, "what was under way, once more"
    assert rounds(job) == 1


def test_controller_restarted(slurm, job, gate, undisturbed):
    executor().submit(job)
    until_at_gate(job)
    slurm.restart_slurmctld(seconds_down=1)
    gate.open()
    wait_for_end(slurm, job)
    check(job, undisturbed)
    assert attempts_by_shard(job.output) == ONCE
    assert rounds(job) == 1


def test_two_submissions_at_once(slurm, job, gate, undisturbed):
    """One of them is told."""
    together = threading.Barrier(2)

    def submit():
        together.wait()
        try:
            return executor().submit(job)
        except PyhpcError as error:
            return error

    with ThreadPoolExecutor() as pool:
        ended = [one.result() for one in [pool.submit(submit) for _ in range(2)]]
    (told,) = (one for one in ended if isinstance(one, PyhpcError))
    assert re.search("is being run by the jobs|another process submits round 1", told.message)
    until_at_gate(job)
    with pytest.raises(PyhpcError, match="is being run by the jobs"):
        executor().submit(job)
    gate.open()
    wait_for_end(slurm, job)
    check(job, undisturbed)
    assert attempts_by_shard(job.output) == ONCE
    assert rounds(job) == 1


def test_time_limit(slurm, tmp_path, gate, undisturbed):
    """The signal ahead of the limit lets what is begun be finished; a further round does the rest.

    SLURM's shortest limit is a minute, and it looks after its jobs every half minute.
    """
    job = make_job(tmp_path, RECORDS, per_shard=5)
    executor(tasks=1, walltime="1", directives=("--signal=B:USR1@50",)).submit(job)
    until_said(job, "SIGUSR1: finishing")
    gate.open()
    wait_for_end(slurm, job)
    check(job, undisturbed)
    assert attempts_by_shard(job.output) == ONCE
    assert rounds(job) >= 2


def test_records_that_kill_their_process(slurm, tmp_path):
    kinds = {2: "crash", 12: "hog", 20: "hang"}
    records = plain_records(24)
    for k, word in kinds.items():
        records[k] = record(f"guilty-{word}", word)
    guard = Guard(record_seconds=2.0, record_bytes=300 * 2**20)
    job = make_job(tmp_path, records, guard=guard, per_shard=8, per_batch=8)
    executor().submit(job)
    wait_for_end(slurm, job)
    assert verify(job.output) == []
    table = ds.dataset(job.output.ledger).to_table().to_pylist()
    codes = {row["id"]: row["reasons"][0]["code"] for row in table if row["id"].startswith("guil")}
    assert codes == {
        "guilty-crash": "worker_crash",
        "guilty-hog": "worker_memory",
        "guilty-hang": "worker_timeout",
    }
    assert sum(row["outcome"] == "quarantined" for row in table) == 3 + 1
