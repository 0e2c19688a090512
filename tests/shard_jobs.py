"""Packed records, plans and outputs that the tests make for themselves."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter

import pyarrow.dataset as ds

from pyhpc.executors import InlineExecutor, Job
from pyhpc.shards import Guard, Output, Plan, ShardSize, Trial, finish, pack, run_shards
from tests.fake_task import FakeTask


def cost(record):
    return 0.01


def pack_records(folder, records, *, per_shard=20, per_batch=8, inputs=None, **size):
    return pack(
        records,
        folder,
        inputs=inputs or {"sources": ["made here"]},
        cost=cost,
        size=ShardSize(records=per_shard, batch_records=per_batch, **size),
    )


def make_job(root, records, *, task=None, guard=None, **packing):
    task = task or FakeTask()
    packing = pack_records(root / "shards", records, **packing)
    output = Output(root / "out")
    plan = Plan.make(output, packing, task, guard or Guard()).create(output)
    return Job(output, plan, task)


def run_one(job, index, attempt="a", **trial):
    """Run one shard here."""
    (done,) = run_shards(job.output, job.plan, [Trial(index, attempt, **trial)], job.task)
    return done


def run_inline(job):
    status = InlineExecutor().submit(job).wait()
    assert status.complete
    return finish(job.output, job.plan)


def result_tree(output):
    """Bytes of all files of the result, by name; attempts and batch jobs are no part of it."""
    return {
        str(path.relative_to(output.path)): path.read_bytes()
        for path in sorted(output.path.rglob("*"))
        if path.is_file() and not {output.attempts, output.path / "slurm"} & set(path.parents)
    }


def attempts_by_shard(output):
    """How often each shard was begun."""
    return Counter(int(path.name.partition("-")[0]) for path in output.attempts.glob("*.log"))


def running_pids(output):
    """Processes that have begun a shard and not committed it."""
    pids = []
    for path in output.attempts.glob("*.log"):
        lines = path.read_text().splitlines()
        if lines and "wall_seconds" not in lines[-1]:
            pids.append(json.loads(lines[0])["pid"])
    return pids


def kill_workers(job, kills):
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


def ledger(job):
    return {row["id"]: row for row in ds.dataset(job.output.ledger).to_table().to_pylist()}
