"""A run inside one allocation: whatever befalls its nodes, the bytes are those of any other."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest
from click.testing import CliRunner

from pyhpc.cli.main import cli
from pyhpc.executors.run_log import logged_runs
from pyhpc.shards import verify
from tests.shard_jobs import attempts_by_shard, make_job, result_tree, run_inline, running_pids
from tests.slurm.array_runs import gated_records, undisturbed_tree
from tests.slurm.by_hand import submit
from tests.slurm.cluster import wait_for

pytestmark = pytest.mark.slurm

SHARDS = 8
RECORDS = gated_records(SHARDS, gates=range(SHARDS))
PACKING = {"per_shard": 5, "per_batch": 5}
ONCE = dict.fromkeys(range(SHARDS), 1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return undisturbed_tree(tmp_path_factory.mktemp("undisturbed"), RECORDS, **PACKING)


@pytest.fixture
def run(slurm, tmp_path, gate):
    return AllocationRun(slurm, make_job(tmp_path, RECORDS, **PACKING), tmp_path, gate)


class AllocationRun:
    """A run on both nodes of the cluster, with a worker on each."""

    def __init__(self, slurm, job, folder, gate):
        self.slurm, self.job, self.output = slurm, job, job.output
        self._folder, self._gate = folder, gate
        self.number = None

    def start(self, *profile, options=()):
        site = self._folder / "site.toml"
        site.write_text("\n".join(['interface = "lo"', *profile]))
        self.number = submit(
            *(self.slurm, self._folder, "allocation.sbatch"),
            *(self._folder / "shards", self.output.path, "--site", site),
            options=[f"--nodes={len(self.slurm.nodes)}", *options],
        )

    @property
    def log(self):
        path = self._folder / f"pyhpc-allocation-{self.number}.log"
        return path.read_text() if path.exists() else ""

    def workers(self):
        """Wait until both are in the midst of a shard, and give them by node."""

        def look():
            pids = running_pids(self.output)
            return len(pids) == len(set(pids)) == 2 and pids

        pids = wait_for(look, "work on both nodes")
        return {psutil.Process(pid).environ()["SLURMD_NODENAME"]: pid for pid in pids}

    def ends_well(self, undisturbed):
        self._gate.open()
        self.ended("COMPLETED")
        assert result_tree(self.output) == undisturbed
        assert verify(self.output) == []
        assert not list(self.output.attempts.glob("keys-*"))

    def ended(self, state):
        wait_for(lambda: not self.slurm.jobs(), "end of the allocation")
        assert self.slurm.job(self.number)["JobState"] == state, self.log


def test_all_nodes_work_and_nothing_is_open_to_others(run, undisturbed, slurm):
    run.start()
    assert set(run.workers()) == set(slurm.nodes)
    listening = {
        connection.laddr.ip
        for process in psutil.process_iter()
        if belongs(process, run.number)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    (logged,) = logged_runs(run.output).values()
    assert (logged.executor, list(logged.jobs)) == ("allocation", [run.number])
    run.ends_well(undisturbed)
    assert attempts_by_shard(run.output) == ONCE


def belongs(process, job):
    try:
        return process.environ().get("SLURM_JOB_ID") == job
    except psutil.Error:
        return False


@pytest.mark.parametrize("who", ["worker", "nanny"])
def test_killed_process(run, undisturbed, slurm, who):
    """A worker is replaced by its nanny, and a nanny, with its step, by a new step."""
    run.start()
    pid = run.workers()[slurm.nodes[-1]]
    os.kill(pid if who == "worker" else psutil.Process(pid).ppid(), signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(pid), "end of the worker")
    run.ends_well(undisturbed)
    begun = attempts_by_shard(run.output)
    assert set(begun) == set(ONCE)
    assert begun.total() == SHARDS + 1, "what was being run, and no more, was run again"


def test_node_is_done_without(run, undisturbed, slurm):
    run.start(options=["--no-kill"])
    node = slurm.nodes[-1]
    pid = run.workers()[node]
    slurm.kill_slurmd(node)
    slurm.set_down(node)
    os.kill(pid, signal.SIGKILL)
    run.ends_well(undisturbed)
    assert slurm.job(run.number)["Restarts"] == "0"
    assert attempts_by_shard(run.output).total() == SHARDS + 1


def test_cancelled_and_resumed_by_a_local_run(run, undisturbed, slurm, gate):
    run.start()
    pids = run.workers().values()
    environment = {name: slurm.env[name] for name in ("PATH", "SLURM_CONF", "MUNGE_SOCKET")}
    shown = CliRunner().invoke(cli, ["cancel", str(run.output.path)], env=environment).output
    assert f"Cancelled the job {run.number}, in which the run is led." in shown
    run.ended("CANCELLED")
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), "end of the workers")
    again = CliRunner().invoke(cli, ["cancel", str(run.output.path)], env=environment).output
    assert "No job of this run is left" in again
    begun = attempts_by_shard(run.output)
    assert begun.total() == 2
    gate.open()
    run_inline(run.job)
    assert result_tree(run.output) == undisturbed
    assert verify(run.output) == []
    assert attempts_by_shard(run.output) == ONCE | dict.fromkeys(begun, 2)


def test_time_is_nearly_up(run, undisturbed, slurm, gate):
    """The signal ahead of the limit lets what is begun be finished; the same job again goes on."""
    run.start()
    run.workers()
    slurm.run("scancel", "--batch", "--signal=USR1", run.number)
    wait_for(lambda: "SIGUSR1: finishing" in run.log, "the signal's arrival")
    gate.open()
    run.ended("FAILED")
    # Each worker was at a bundle, of two shards at most.
    assert re.search("Stopped by SIGUSR1 with [234] of 8 shards done", run.log)
    run.start()
    run.ends_well(undisturbed)
    assert attempts_by_shard(run.output) == ONCE


def test_nodes_that_never_get_to_work(run, slurm):
    run.start('prologue = ["echo no such module here; exit 3"]')
    run.ended("FAILED")
    assert "no node has got to work: 3 steps in a row ended on each" in run.log
    assert "no such module here" in run.log
    assert not attempts_by_shard(run.output)
