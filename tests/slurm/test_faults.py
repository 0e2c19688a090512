"""What befalls jobs on a cluster costs no record, no byte, and no more work than it explains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import psutil
import pyarrow.dataset as ds
import pytest
import yaml
from click.testing import CliRunner

from pyhpc.cli.main import cli
from pyhpc.errors import PyhpcError
from pyhpc.executors import Site, fleet
from pyhpc.executors.run_log import logged_runs
from pyhpc.executors.slurm import SlurmExecutor
from pyhpc.shards import Guard, Output, finish, verify
from tests.fake_cli import write_source
from tests.fake_task import plain_records, record
from tests.shard_jobs import attempts_by_shard, make_job, result_tree
from tests.slurm.array_runs import gated_records, undisturbed_tree
from tests.slurm.cluster import SECONDS, wait_for

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
SHARDS = 8
AT = 2
"""The shard in whose midst something happens."""
RECORDS = gated_records(SHARDS, gates=[AT])
PACKING = {"per_shard": 5, "per_batch": 5}
SITE = Site(interface="lo", memory=2**30, walltime="10")


@pytest.fixture(autouse=True)
def _environment(slurm, monkeypatch):
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return undisturbed_tree(tmp_path_factory.mktemp("undisturbed"), RECORDS, **PACKING)


@pytest.fixture
def job(tmp_path, gate):
    return make_job(tmp_path, RECORDS, **PACKING)


def run_slurm(job, *, jobs=1, site=SITE, during=None):
    """Run a job, and do something in between in a thread of its own."""
    failures = []
    run = SlurmExecutor(site, jobs).submit(job)

    def act():
        try:
            during()
        except BaseException as error:
            failures.append(error)
            run.cancel(drain=False)

    thread = threading.Thread(target=act)
    if during is not None:
        thread.start()
    status = run.wait()
    if during is not None:
        thread.join()
    assert failures == []
    assert status.complete
    finish(job.output, job.plan)
    assert verify(job.output) == []
    return status


def begun(output):
    return attempts_by_shard(output).total()


def committed(output):
    return len(list(output.manifests.glob("*.json")))


def at_gate(output):
    """Wait until the shard with the gate is being run and those before it are committed.

    Gives the process.
    """

    def look():
        before = [index for index in attempts_by_shard(output) if index < AT]
        if not all(output.manifest(index).exists() for index in before):
            return None
        for path in output.attempts.glob(f"{AT:05d}-*.log"):
            lines = path.read_text().splitlines()
            if lines:
                return json.loads(lines[0])["pid"]
        return None

    return wait_for(look, "work")


def submitted(output):
    """Jobs of all runs, in the order of their submission."""
    return [job for run in logged_runs(output).values() for job in run.jobs]


def no_jobs(slurm):
    return wait_for(lambda: not slurm.jobs(), "end of the jobs")


def test_undisturbed(job, gate, undisturbed, slurm):
    def go_on():
        """Small as it is, the run might end before anybody has seen a worker."""
        runs = partial(logged_runs, job.output)
        wait_for(lambda: any("connected" in run.first for run in runs().values()), "a worker")
        gate.open()

    run_slurm(job, jobs=2, during=go_on)
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) == SHARDS
    assert len(submitted(job.output)) == 2
    assert no_jobs(slurm)
    (run,) = logged_runs(job.output).values()
    assert list(run.first)[:3] == ["submitted", "connected", "record"]
    assert list(run.first.values()) == sorted(run.first.values())


def test_worker_killed(job, gate, undisturbed):
    """The nanny replaces the worker within its job."""

    def kill():
        os.kill(at_gate(job.output), signal.SIGKILL)
        gate.open()

    run_slurm(job, during=kill)
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) == SHARDS + 1
    assert len(submitted(job.output)) == 1


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_worker_job_ended(job, gate, undisturbed, slurm, how):
    """By its user, who lets it take leave, or by SIGKILL to all of it, as at its time limit."""

    def end():
        pid = at_gate(job.output)
        options = [] if how == "cancelled" else ["--full", "--signal=KILL"]
        slurm.run("scancel", *options, submitted(job.output)[0])
        wait_for(lambda: not psutil.pid_exists(pid), "end of the worker")
        gate.open()

    run_slurm(job, during=end)
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) == SHARDS + 1
    assert len(submitted(job.output)) == 2


def test_lifetime_reached(job, gate, undisturbed, monkeypatch):
    """Workers leave ahead of the time limit, between shards: nothing is lost."""
    monkeypatch.setattr("pyhpc.executors.slurm.lifetimes", lambda walltime: (3, 0))

    def outlive():
        at_gate(job.output)
        logs = job.output.attempts / "jobs"
        said = "worker-lifetime-reached"
        wait_for(lambda: any(said in log.read_text() for log in logs.glob("*.log")), said)
        gate.open()

    run_slurm(job, during=outlive)
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) == SHARDS
    assert len(submitted(job.output)) >= 2


def test_time_limit_reached(job, gate, undisturbed, slurm):
    """The worker leaves before it, but for the shard that it is at; SLURM ends that with the job.

    SLURM's shortest limit is a minute, and it looks after its jobs every half minute.
    """

    def outlive():
        pid = at_gate(job.output)
        slurm.wait_for_state(submitted(job.output)[0], "TIMEOUT")
        wait_for(lambda: not psutil.pid_exists(pid), "end of the worker")
        gate.open()

    run_slurm(job, site=SITE.override(walltime="1"), during=outlive)
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) == SHARDS + 1
    assert len(submitted(job.output)) == 2


def test_node_goes_down(job, gate, undisturbed, slurm):
    """The job starts again elsewhere, while its old processes live on."""
    restarts = []

    def go_down():
        at_gate(job.output)
        (number,) = slurm.jobs()
        node = slurm.job(number)["NodeList"]
        slurm.kill_slurmd(node)
        slurm.set_down(node)
        slurm.start_now(number)
        wait_for(lambda: slurm.job(number)["JobState"] == "RUNNING", "second start")
        restarts.append(slurm.job(number)["Restarts"])
        gate.open()

    run_slurm(job, during=go_down)
    assert result_tree(job.output) == undisturbed
    assert restarts == ["1"]
    # What lives on of the old worker may finish the shard at the gate, which is begun once then.
    once = dict.fromkeys(range(SHARDS), 1)
    assert attempts_by_shard(job.output) in (once, once | {AT: 2})
    assert len(submitted(job.output)) == 1


def test_controller_restarted(job, gate, undisturbed, slurm):
    def restart():
        pid = at_gate(job.output)
        slurm.restart_slurmctld(seconds_down=1)
        os.kill(pid, signal.SIGKILL)
        gate.open()

    run_slurm(job, during=restart)
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) == SHARDS + 1
    assert len(submitted(job.output)) == 1


def test_records_that_crash_hang_or_hog(tmp_path):
    kinds = {2: "crash", 12: "hang", 20: "hog"}
    records = plain_records(24)
    for k, word in kinds.items():
        records[k] = record(f"guilty-{word}", word)
    guard = Guard(record_seconds=3.0, record_bytes=300 * 2**20)
    job = make_job(tmp_path, records, guard=guard, per_shard=8, per_batch=8)
    status = run_slurm(job, jobs=2)
    table = ds.dataset(job.output.ledger).to_table().to_pylist()
    codes = {row["id"]: row["reasons"][0]["code"] for row in table if row["id"].startswith("guil")}
    assert codes == {
        "guilty-crash": "worker_crash",
        "guilty-hang": "worker_timeout",
        "guilty-hog": "worker_memory",
    }
    assert sum(row["outcome"] == "quarantined" for row in table) == 3 + 1
    assert begun(job.output) == 3 + status.lost


# Runs of the command line, which can be killed


@pytest.fixture
def start(tmp_path, slurm):
    source = write_source(tmp_path / "source", RECORDS)
    processes = []

    def start(*options, environment=None):
        command = [sys.executable, "-m", "tests.fake_cli", "featurize", str(source), *options]
        command += ["--out", str(tmp_path / "out"), "--records-per-shard", "5"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore"} | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def on_slurm(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text('interface = "lo"\nmemory = "1G"\nwalltime = "10"\n')
    return ("--on", "slurm", "--site", str(site), "--jobs", "1")


def ends_well(process):
    text = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, text


@pytest.mark.parametrize("order", ["slurm-local", "local-slurm"])
def test_driver_killed_and_another_executor_takes_over(
    tmp_path, slurm, gate, start, on_slurm, order
):
    options = {"slurm": on_slurm, "local": ("--on", "local", "--workers", "1")}
    first, second = (options[name] for name in order.split("-"))
    output = Output(tmp_path / "out")
    process = start(*first)
    at_gate(output)
    if first is on_slurm:
        assert_status_shows(output, process, slurm)
    process.kill()
    process.communicate()
    # No orphan jobs: workers end as they lose their scheduler.
    assert no_jobs(slurm)
    assert committed(output) == AT
    gate.open()
    ends_well(start(*second))
    assert verify(output) == []
    assert begun(output) == SHARDS + 1
    # The plan says where the sources are, so the bytes are compared with a run of them.
    assert result_tree(output) == run_again(tmp_path, start)


def assert_status_shows(output, process, slurm):
    (number,) = slurm.jobs()
    shown = CliRunner().invoke(cli, ["status", str(output.path)]).output
    assert f"by process {process.pid} on " in shown
    assert f"jobs {number} (squeue -j {number})" in shown
    assert f"shard {AT}: " in shown


def test_driver_cancelled_by_the_command(tmp_path, slurm, gate, start, on_slurm):
    """It leaves with its jobs; what was being run is lost, and the same command goes on."""
    output = Output(tmp_path / "out")
    process = start(*on_slurm)
    at_gate(output)
    shown = CliRunner().invoke(cli, ["cancel", str(output.path)]).output
    assert f"Told process {process.pid}, which leads the run, to leave." in shown
    text = process.communicate(timeout=SECONDS)[0]
    assert process.returncode != 0, text
    assert no_jobs(slurm)
    assert committed(output) == AT
    assert "No job of this run" in CliRunner().invoke(cli, ["cancel", str(output.path)]).output
    gate.open()
    ends_well(start(*on_slurm))
    assert verify(output) == []
    assert begun(output) == SHARDS + 1
    told = CliRunner().invoke(cli, ["logs", str(output.path), str(AT)]).output
    assert told.count("Attempt ") == 2
    assert "not ended" in told


def test_two_drivers(tmp_path, gate, start, on_slurm):
    output = Output(tmp_path / "out")
    processes = [start(*on_slurm), start(*on_slurm)]

    def both_at_gate():
        return len(list(output.attempts.glob(f"{AT:05d}-*.log"))) == 2

    wait_for(both_at_gate, "work of both")
    gate.open()
    for process in processes:
        ends_well(process)
    assert verify(output) == []
    # Each may be at a shard while the other is, but what is committed is not begun again.
    attempts = attempts_by_shard(output)
    assert set(attempts) == set(range(SHARDS))
    assert (attempts[AT], max(attempts.values())) == (2, 2)
    assert result_tree(output) == run_again(tmp_path, start)


def run_again(tmp_path, start):
    """Bytes of an undisturbed run of the same sources."""
    (tmp_path / "out").rename(tmp_path / "disturbed")
    ends_well(start("--on", "inline"))
    expected = result_tree(Output(tmp_path / "out"))
    (tmp_path / "out").rename(tmp_path / "expected")
    (tmp_path / "disturbed").rename(tmp_path / "out")
    return expected


# What is wrong from the start


def test_jobs_that_never_get_to_work(job, slurm):
    site = SITE.override(prologue=("echo no such module here; exit 3",))
    with pytest.raises(PyhpcError, match="3 jobs in a row ended") as caught:
        SlurmExecutor(site, 1).submit(job).wait()
    assert "no such module here" in str(caught.value)
    assert committed(job.output) == 0
    assert len(submitted(job.output)) == fleet.FALSE_STARTS
    assert no_jobs(slurm)


def test_refused_job(job, slurm):
    with pytest.raises(PyhpcError, match=r"SLURM refused the job: .*invalid partition"):
        SlurmExecutor(SITE.override(partition="none"), 1).submit(job).wait()
    assert no_jobs(slurm)


def test_users_own_configuration_of_dask(tmp_path, slurm, gate, start):
    """What neither options nor profile say is taken from the user's jobqueue.yaml."""
    own = {"cores": 1, "memory": "1GB", "walltime": "0:07:00", "interface": "lo"}
    own["job-extra-directives"] = ["--comment=from-yaml"]
    folder = tmp_path / "dask"
    folder.mkdir()
    (folder / "jobqueue.yaml").write_text(yaml.safe_dump({"jobqueue": {"slurm": own}}))
    process = start("--on", "slurm", "--jobs", "1", environment={"DASK_CONFIG": str(folder)})
    at_gate(Output(tmp_path / "out"))
    (number,) = slurm.jobs()
    shown = slurm.job(number)
    assert shown["Comment"] == "from-yaml"
    assert shown["TimeLimit"] == "00:07:00"
    gate.open()
    ends_well(process)
