"""What attempts tell of a run while it runs, and what is estimated from them."""

from __future__ import annotations

import json

import pytest

from pyhpc.cli.status import describe_run
from pyhpc.errors import PyhpcError
from pyhpc.executors import InlineExecutor
from pyhpc.executors.estimate import _spread, measure_earlier, measure_sample
from pyhpc.executors.run_log import RunLog, logged_runs
from pyhpc.shards import Guard, Packing
from pyhpc.shards.attempts import AttemptLog, total_attempts
from tests.fake_task import FakeTask, plain_records, record
from tests.shard_jobs import make_job


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path, plain_records(60), per_shard=20)


def log(job, shard, attempt, *entries):
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    job.output.attempt(shard, attempt).write_text(text)


def begin(shard, time, **more):
    return {"shard": shard, "host": "node1", "pid": 1, "time": time} | more


def end(time, wall, records=20):
    seconds = {"measure": wall}
    return {"records": records, "wall_seconds": wall, "seconds": seconds, "peak_memory": 5} | {
        "time": time
    }


def test_running_lost_and_rate(job):
    log(job, 0, "a", begin(0, 100.0), {"treated": 8, "time": 103.0})
    log(job, 0, "b", begin(0, 110.0), end(130.0, 20.0))
    log(job, 1, "a", begin(1, 130.0), {"treated": 8, "time": 134.0})
    log(job, 1, "b", begin(1, 140.0, job="7_1"), {"treated": 16, "time": 141.0})
    log(job, 2, "a")
    totals = total_attempts(job.output)
    assert (totals.ended, totals.lost, totals.records) == (1, 4, 20)
    assert totals.rate == 1.0
    assert totals.lost_seconds == 3.0 + 4.0
    (attempt,) = totals.running.values()
    assert list(totals.running) == [1]
    assert (attempt.name, attempt.job, attempt.treated) == ("b", "7_1", 16)


def test_what_is_not_the_task_is_overhead(job):
    entry = end(120.0, 20.0)
    entry["seconds"] = {"measure": 15.0, "task.other": 3.0, "shard.read": 0.5, "shard.commit": 1.0}
    log(job, 0, "a", begin(0, 100.0), entry)
    assert total_attempts(job.output).overhead == pytest.approx(0.1)


def test_rate_is_that_of_late(job):
    log(job, 0, "a", begin(0, 0.0), end(100.0, 100.0))
    log(job, 1, "a", begin(1, 9000.0), end(9010.0, 10.0))
    log(job, 2, "a", begin(2, 9000.0), end(9020.0, 20.0))
    assert total_attempts(job.output).rate == 2.0


def test_attempt_names_its_job(job, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    for attempt in ("a", "b"):
        with AttemptLog(job.output, 0, attempt, expendable=False):
            pass
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "11")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    names = [json.loads(p.read_text())["job"] for p in sorted(job.output.attempts.iterdir())]
    assert names == ["12", "11_3"]


def test_sample_lies_evenly():
    assert _spread(1) == [0]
    assert _spread(6) == [0, 4, 2, 1, 3, 5]
    assert sorted(_spread(1000)) == list(range(1000))


def test_estimate_from_a_sample_and_from_a_run(job, tmp_path):
    packing = Packing.load(tmp_path / "shards")
    sample = measure_sample(packing, FakeTask(), Guard(), seconds=60.0)
    # The first batch of each shard, estimated at 0.01 s a record.
    assert sample.records == 24
    assert sample.cost == pytest.approx(0.24)
    assert sample.core_seconds > 0
    assert not any(job.output.attempts.iterdir()), "a sample leaves no trace"
    with pytest.raises(PyhpcError, match=r"no shard of .* is done"):
        measure_earlier(job.output)
    InlineExecutor().submit(job).wait()
    earlier = measure_earlier(job.output)
    assert (earlier.records, earlier.cost) == (60, pytest.approx(0.6))
    files = [*job.output.parts.iterdir(), *job.output.ledger.iterdir()]
    assert earlier.output_bytes == sum(path.stat().st_size for path in files)
    assert earlier.core_seconds_of(packing.shards) == pytest.approx(earlier.core_seconds)


def test_sample_bears_records_that_kill_their_process(tmp_path):
    records = [*plain_records(10), record("guilty", "crash")]
    make_job(tmp_path, records, per_batch=20)
    packing = Packing.load(tmp_path / "shards")
    assert measure_sample(packing, FakeTask(), Guard(), seconds=60.0).records == 11


def test_clocks_that_differ_change_figures_only(job):
    """What is done is decided by manifests, not by times, names in a folder or logs."""
    log(job, 0, "a", begin(0, 5e9), end(5e9, 1e-9))
    log(job, 1, "a", begin(1, -5e9), end(-5e9 + 1, 1.0))
    totals = total_attempts(job.output)
    assert (totals.ended, totals.lost_seconds) == (2, 0.0)
    assert list(job.pending()) == [0, 1, 2], "logs say done, but there is no manifest"
    for path in job.output.attempts.iterdir():
        path.unlink()
    InlineExecutor().submit(job).wait()
    for path in job.output.attempts.iterdir():
        path.unlink()
    assert list(job.pending()) == [], "no log, but manifests"


def test_log_of_a_run_says_how_long_it_took_to_start(job):
    with RunLog(job.output, "slurm") as run_log:
        for number in ("7", "8"):
            run_log.submitted(number)
        run_log.connected("7")
        (run,) = logged_runs(job.output).values()
        assert list(run.first) == ["submitted", "connected"]
        run_log.first_record()
        run_log.gone("8")
    (run,) = logged_runs(job.output).values()
    assert run.jobs == {"7": "connected", "8": "gone"}
    submitted, connected, record = (run.first[k] for k in ("submitted", "connected", "record"))
    assert 0 < submitted <= connected <= record
    assert run.start == (
        f"{submitted:.1f} s to submit a job, {connected:.1f} s to its workers, "
        f"{record:.1f} s to a record"
    )
    assert "jobs 7 (squeue -j 7), 1 ended before; from its start" in describe_run(run)
