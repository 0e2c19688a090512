"""Whatever ends a run, calling it again ends in the bytes of an undisturbed one."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyhpc.shards import Output, verify
from tests.fake_cli import write_source
from tests.fake_task import plain_records
from tests.shard_jobs import attempts_by_shard, result_tree, running_pids

SHARDS = 12
WAIT = 120.0


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    records = plain_records(SHARDS * 10, words="sleep:0.02")
    return write_source(tmp_path_factory.mktemp("source") / "source", records)


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    output = Output(tmp_path_factory.mktemp("undisturbed") / "out")
    process = start(source, output, workers=0)
    process.communicate(timeout=WAIT)
    assert process.returncode == 0
    return result_tree(output)


@pytest.fixture
def output(tmp_path):
    return Output(tmp_path / "out")


_started = []


@pytest.fixture(autouse=True)
def _end_what_was_started():
    yield
    while _started:
        process = _started.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def start(source, output, *, workers=2, **options):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.fake_cli", "featurize", str(source)),
            *("--out", str(output.path), "--workers", str(workers), "--records-per-shard", "10"),
        ],
        cwd=Path(__file__).parents[1],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    _started.append(process)
    return process


def until(condition, process):
    """Wait for something that a run does; False if the run ended before."""
    deadline = time.monotonic() + WAIT
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return True


def committed(output):
    return len(list(output.manifests.glob("*.json")))


def begun(output):
    return attempts_by_shard(output).total()


def resume(source, output, undisturbed, *, workers=0):
    process = start(source, output, workers=workers)
    text = process.communicate(timeout=WAIT)[0]
    assert process.returncode == 0, text
    assert result_tree(output) == undisturbed
    assert verify(output) == []


def kill_group(process):
    os.killpg(process.pid, signal.SIGKILL)


def kill_driver(process):
    process.kill()


@pytest.mark.parametrize("kill", [kill_group, kill_driver])
def test_kill_9_at_random_points(source, output, undisturbed, kill):
    chance = random.Random(f"20261121 {kill.__name__}")
    lost = 0
    for after in sorted(chance.sample(range(1, SHARDS - 2), 2)):
        process = start(source, output)
        if until(lambda after=after: committed(output) >= after, process):
            time.sleep(chance.uniform(0, 0.15))
            kill(process)
            lost += 2
        process.communicate(timeout=WAIT)
    resume(source, output, undisturbed)
    assert lost == 4
    # Each of two workers lost at most the shard it was at and the one that it was committing.
    assert begun(output) <= SHARDS + 2 * lost


def test_kill_9_while_packing(source, output, undisturbed):
    process = start(source, output, workers=0)
    until(lambda: any(output.shards.glob("shard-*.arrow")), process)
    process.kill()
    process.communicate(timeout=WAIT)
    resume(source, output, undisturbed)


def test_kill_9_of_a_worker(source, output, undisturbed):
    process = start(source, output)
    assert until(lambda: committed(output) >= 2 and running_pids(output), process)
    # The worker may just have ended its shard, and then loses nothing.
    os.kill(running_pids(output)[0], signal.SIGKILL)
    process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert result_tree(output) == undisturbed
    assert begun(output) <= SHARDS + 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_signals_lead_out_cleanly(source, output, undisturbed, number, code):
    process = start(source, output)
    assert until(lambda: committed(output) >= 2, process)
    if number == signal.SIGTERM:
        process.send_signal(number)
    else:
        # To all processes, as terminals and schedulers do.
        os.killpg(process.pid, number)
    text = process.communicate(timeout=WAIT)[0]
    assert process.returncode == code, text
    assert "Traceback" not in text
    assert f"Stopped by {number.name} with" in text
    assert "Give the same command again" in text
    done = committed(output)
    assert 2 <= done < SHARDS
    if number == signal.SIGUSR1:
        assert begun(output) == done, "what was begun is finished"
    resume(source, output, undisturbed)
    assert begun(output) <= SHARDS + 4


def test_signal_in_one_process(source, output, undisturbed):
    process = start(source, output, workers=0)
    assert until(lambda: committed(output) >= 2, process)
    process.terminate()
    text = process.communicate(timeout=WAIT)[0]
    assert process.returncode == 143, text
    resume(source, output, undisturbed)
    assert begun(output) <= SHARDS + 1


def test_two_drivers_on_one_output(source, output, undisturbed):
    processes = [start(source, output, workers=workers) for workers in (2, 0)]
    texts = [process.communicate(timeout=WAIT)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], texts
    assert result_tree(output) == undisturbed
    assert verify(output) == []


def leaves_nothing_half_written(output):
    """What has a name is whole."""
    if output.plan.exists():
        messages = [problem.message for problem in verify(output)]
        assert all("are not done" in message or "no manifest" in message for message in messages)


def test_file_size_limit(source, output, undisturbed):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))

    process = start(source, output, workers=0, preexec_fn=limit)
    text = process.communicate(timeout=WAIT)[0]
    assert process.returncode == 1, text
    assert "cannot write" in text
    assert "ulimit -f" in text
    leaves_nothing_half_written(output)
    resume(source, output, undisturbed)


@contextmanager
def mounted(folder, options):
    """Mount a small file system of its own."""
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    command = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("this system does not let root mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_disk_full(source, tmp_path, undisturbed, workers):
    with mounted(tmp_path / "disk", "size=120k") as disk:
        output = Output(disk / "out")
        process = start(source, output, workers=workers)
        text = process.communicate(timeout=WAIT)[0]
        assert process.returncode == 1, text
        assert "No space left on device" in text
        assert "Make room" in text
        assert "Traceback" not in text
        leaves_nothing_half_written(output)
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        resume(source, output, undisturbed)


def test_read_only_output(source, tmp_path):
    with mounted(tmp_path / "disk", "size=1m,ro") as disk:
        process = start(source, Output(disk / "out"), workers=0)
        text = process.communicate(timeout=WAIT)[0]
    assert process.returncode == 1, text
    assert "Read-only file system" in text
    assert "another --out" in text
    assert "Traceback" not in text
