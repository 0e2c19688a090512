"""What befalls jobs on a cluster costs no record, no byte, and no more work than it explains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyhpc.errors import PyhpcError
from pyhpc.executors import Site, fleet
from pyhpc.executors.slurm import SlurmExecutor
from pyhpc.shards import Output, finish, verify
from tests.fake_cli import write_source
from tests.fake_task import plain_records
from tests.shard_jobs import attempts_by_shard, make_job, result_tree, run_inline
from tests.slurm.cluster import SECONDS, wait_for

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
SHARDS = 8
RECORDS = plain_records(SHARDS * 5, words="sleep:0.2")
SITE = Site(interface="lo", memory=2**30, walltime="10")


@pytest.fixture(autouse=True)
def _environment(slurm, monkeypatch):
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    job = small_job(tmp_path_factory.mktemp("undisturbed"))
    run_inline(job)
    return result_tree(job.output)


def small_job(root, records=RECORDS, **options):
    return make_job(root, records, per_shard=5, per_batch=5, **options)


def run_slurm(job, *, jobs=1, site=SITE, during=None):
    """Run a job, and do something in between in a thread of its own."""
    failures = []

    def act():
        try:
            during()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=act)
    if during is not None:
        thread.start()
    status = SlurmExecutor(site, jobs).submit(job).wait()
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


def running(output):
    """First lines of the logs of the attempts that are being made, or never ended."""
    found = []
    for path in output.attempts.glob("*.log"):
        lines = path.read_text().splitlines()
        if len(lines) == 1:
            found.append(json.loads(lines[0]))
    return found


def at_work(output, *, done=2):
    """Wait until some shards are done and another is being run, and give its attempt."""
    return wait_for(lambda: committed(output) >= done and running(output), "work")[0]


def submitted(output):
    """Jobs of all runs, in the order of their submission."""
    lines = [
        line for path in output.attempts.glob("run-*") for line in path.read_text().splitlines()
    ]
    entries = [json.loads(line) for line in lines]
    return [entry["job"] for entry in entries if entry.get("state") == "submitted"]


def no_jobs(slurm):
    return wait_for(lambda: not slurm.jobs(), "end of the jobs")


def test_undisturbed(tmp_path, undisturbed, slurm):
    job = small_job(tmp_path)
    run_slurm(job, jobs=2)
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) == SHARDS
    assert len(submitted(job.output)) == 2
    assert no_jobs(slurm)


def test_worker_killed(tmp_path, undisturbed):
    """The nanny replaces the worker within its job."""
    job = small_job(tmp_path)
    run_slurm(job, during=lambda: os.kill(at_work(job.output)["pid"], signal.SIGKILL))
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) == SHARDS + 1
    assert len(submitted(job.output)) == 1


def test_worker_job_cancelled(tmp_path, undisturbed, slurm):
    job = small_job(tmp_path)

    def cancel():
        at_work(job.output)
        slurm.run("scancel", submitted(job.output)[0])

    run_slurm(job, during=cancel)
    assert result_tree(job.output) == undisturbed
    # A worker that is told to go may still finish its shard.
    assert begun(job.output) <= SHARDS + 1
    assert len(submitted(job.output)) == 2


def test_lifetime_reached(tmp_path, undisturbed, monkeypatch):
    """Workers leave ahead of the time limit, between shards: nothing is lost."""
    monkeypatch.setattr("pyhpc.executors.slurm.lifetimes", lambda walltime: (5, 0))
    job = small_job(tmp_path)
    run_slurm(job)
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) == SHARDS
    assert len(submitted(job.output)) >= 2


def test_node_goes_down(tmp_path, undisturbed, slurm):
    """The job starts again elsewhere, while its old processes live on."""
    records = plain_records(SHARDS * 5, words="sleep:0.6")
    job, plain = small_job(tmp_path / "a", records), small_job(tmp_path / "b", records)
    restarts = []

    def go_down():
        at_work(job.output, done=1)
        (number,) = slurm.jobs()
        node = slurm.job(number)["NodeList"]
        slurm.kill_slurmd(node)
        slurm.set_down(node)
        slurm.start_now(number)
        wait_for(lambda: slurm.job(number)["JobState"] == "RUNNING", "second start")
        restarts.append(slurm.job(number)["Restarts"])

    run_slurm(job, during=go_down)
    run_inline(plain)
    assert result_tree(job.output) == result_tree(plain.output)
    assert restarts == ["1"]
    assert begun(job.output) <= SHARDS + 1
    assert len(submitted(job.output)) == 1


def test_controller_restarted(tmp_path, undisturbed, slurm):
    job = small_job(tmp_path)

    def restart():
        worker = at_work(job.output)
        slurm.restart_slurmctld(seconds_down=1)
        os.kill(worker["pid"], signal.SIGKILL)

    run_slurm(job, during=restart)
    assert result_tree(job.output) == undisturbed
    assert begun(job.output) <= SHARDS + 1
    assert len(submitted(job.output)) == 1


# Runs of the command line, which can be killed


@pytest.fixture
def start(tmp_path, slurm):
    source = write_source(tmp_path / "source", RECORDS)
    processes = []

    def start(*options):
        command = [sys.executable, "-m", "tests.fake_cli", "featurize", str(source), *options]
        command += ["--out", str(tmp_path / "out"), "--records-per-shard", "5"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
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
def test_driver_killed_and_another_executor_takes_over(tmp_path, slurm, start, on_slurm, order):
    options = {"slurm": on_slurm, "local": ("--on", "local", "--workers", "1")}
    first, second = (options[name] for name in order.split("-"))
    output = Output(tmp_path / "out")
    process = start(*first)
    at_work(output)
    process.kill()
    process.communicate()
    # No orphan jobs: workers end as they lose their scheduler.
    assert no_jobs(slurm)
    done = committed(output)
    assert 2 <= done < SHARDS
    ends_well(start(*second))
    assert verify(output) == []
    assert begun(output) <= SHARDS + 2
    # The plan says where the sources are, so the bytes are compared with a run of them.
    expected = run_again(tmp_path, start)
    assert result_tree(output) == expected


def run_again(tmp_path, start):
    """Bytes of an undisturbed run of the same sources."""
    (tmp_path / "out").rename(tmp_path / "disturbed")
    ends_well(start("--on", "inline"))
    expected = result_tree(Output(tmp_path / "out"))
    (tmp_path / "out").rename(tmp_path / "expected")
    (tmp_path / "disturbed").rename(tmp_path / "out")
    return expected


# What is wrong from the start


def test_jobs_that_never_get_to_work(tmp_path, slurm):
    job = small_job(tmp_path)
    site = SITE.override(prologue=("echo no such module here; exit 3",))
    with pytest.raises(PyhpcError, match="3 jobs in a row ended") as caught:
        SlurmExecutor(site, 1).submit(job).wait()
    assert "no such module here" in str(caught.value)
    assert committed(job.output) == 0
    assert len(submitted(job.output)) == fleet.FALSE_STARTS
    assert no_jobs(slurm)


def test_refused_job(tmp_path, slurm):
    job = small_job(tmp_path)
    with pytest.raises(PyhpcError, match=r"SLURM refused the job: .*invalid partition"):
        SlurmExecutor(SITE.override(partition="none"), 1).submit(job).wait()
    assert no_jobs(slurm)
