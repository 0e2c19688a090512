"""``pyhpc logs`` and ``pyhpc cancel`` where no cluster is needed."""

import json
import os
import platform
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pyhpc.cli.main import cli
from pyhpc.errors import PyhpcError
from pyhpc.executors.run_log import RunLog, process_start
from tests.fake_task import plain_records
from tests.shard_jobs import make_job, run_inline


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path, plain_records(15), per_shard=5)


def called(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_every_attempt_at_a_shard_is_told(job):
    first = {"shard": 1, "host": "far", "pid": 7, "job": "12_3", "time": 100.0}
    lost = job.output.attempt(1, "lost")
    words = 'Fatal Python error: Segmentation fault\n  File "x.py", line 3\n'
    lines = [json.dumps(entry) for entry in (first, {"treated": 4, "time": 130.0})]
    lost.parent.mkdir(parents=True, exist_ok=True)
    lost.write_text("\n".join(lines) + "\n" + words)
    run_inline(job)
    told = called("logs", job.output.path, 1)
    assert told.startswith("Shard 1, 5 records: done\n")
    assert "Attempt lost: " in told
    assert "job 12_3 on far, process 7: 4 records treated in 0:00:30, not ended" in told
    assert "    Fatal Python error: Segmentation fault" in told
    assert f"{platform.node()}, process {os.getpid()}: " in told
    assert told.count("Attempt ") == 2
    assert called("logs", job.output.path, 0).count("Attempt ") == 1


def test_a_shard_that_is_not_there_is_refused(job):
    result = CliRunner().invoke(cli, ["logs", str(job.output.path), "3"])
    assert isinstance(result.exception, PyhpcError)
    assert "no shard 3" in result.exception.message
    assert "Its 3 shards" in result.exception.remedy


def test_nothing_is_cancelled_where_nothing_runs(job):
    run_inline(job)
    assert "No job of this run is left" in called("cancel", job.output.path)


def log_of(job, **changed):
    """Log of a run that has not ended, with other words in its first line."""
    log = RunLog(job.output, "slurm")
    with log:
        pass
    (path,) = job.output.attempts.glob("run-*.jsonl")
    first = json.loads(path.read_text().splitlines()[0]) | changed
    path.write_text(json.dumps(first) + "\n")


def test_a_process_on_another_machine_is_named(job):
    job.output.attempts.mkdir(parents=True, exist_ok=True)
    log_of(job, host="login7", pid=4321)
    assert "led by process 4321 on login7: call this there" in called("cancel", job.output.path)


def test_only_the_process_that_began_the_run_is_told(job):
    """A number that now belongs to another process is left alone."""
    job.output.attempts.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        try:
            began = process_start(process.pid)
            log_of(job, pid=process.pid, started=began - 3600)
            assert "no process leads it" in called("cancel", job.output.path)
            assert process.poll() is None
            (path,) = job.output.attempts.glob("run-*.jsonl")
            path.unlink()
            log_of(job, pid=process.pid, started=began)
            assert f"Told process {process.pid}" in called("cancel", job.output.path)
            assert process.wait(timeout=60) == -signal.SIGTERM
        finally:
            process.kill()
    assert process_start(process.pid) is None
