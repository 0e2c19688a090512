"""Array runs of the fake task on the cluster of the tests."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from pyhpc.executors import Site
from pyhpc.executors.array import ArrayExecutor, ArrayFolder
from pyhpc.shards import verify
from tests.fake_task import plain_records, record
from tests.shard_jobs import make_job, result_tree, run_inline
from tests.slurm.cluster import wait_for

ROOT = Path(__file__).parents[2]


def executor(*, tasks=2, cores=1, walltime="10", memory=1500 * 2**20, rounds=5, **settings):
    site = Site(
        cores=cores,
        walltime=walltime,
        memory=memory,
        prologue=(f"cd {shlex.quote(str(ROOT))}",),
        **settings,
    )
    program = ("-m", "tests.fake_cli")
    return ArrayExecutor(site=site, tasks=tasks, rounds=rounds, program=program)


def logs(job):
    """All that the jobs of a run have printed."""
    return {
        path.name: path.read_text() for path in sorted(ArrayFolder.of(job.output).logs.iterdir())
    }


def wait_for_end(slurm, job):
    """Wait until no job is left, which is when the run is finished or given up."""
    wait_for(lambda: not slurm.jobs(), "end of the run")
    assert job.output.final_manifest.exists(), logs(job)


def check(job, undisturbed):
    """The result is that of an undisturbed run, byte for byte, and whole."""
    assert result_tree(job.output) == undisturbed, logs(job)
    assert verify(job.output) == []


def gated_records(shards, *, per_shard=5, gates=(2, 3)):
    """Records of which one in the midst of some shards waits at the gate."""
    records = plain_records(shards * per_shard)
    for shard in gates:
        k = shard * per_shard + per_shard // 2
        records[k] = record(records[k].id, records[k].text.decode() + " gate")
    return records


def undisturbed_tree(folder, records, **packing):
    """Bytes of a run that nothing befalls, with an open gate."""
    job = make_job(folder, records, **packing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYHPC_TEST_GATE", str(folder))
        run_inline(job)
    return result_tree(job.output)
