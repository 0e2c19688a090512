"""The templates of slurm/ work by hand."""

from __future__ import annotations

import ast

import pytest

from pyhpc.cli.run import run_command
from pyhpc.shards import Output, Packing, verify
from tests.fake_task import plain_records
from tests.shard_jobs import attempts_by_shard, pack_records, result_tree
from tests.slurm.by_hand import submit
from tests.slurm.cluster import wait_for

pytestmark = pytest.mark.slurm


def test_array_and_what_finishes_it(slurm, tmp_path):
    out, shards = tmp_path / "out put", tmp_path / "shards"
    pack_records(shards, plain_records(60, words="sleep:0.01"), per_shard=10)
    assert Packing.load(shards).records == 60
    array = submit(
        *(slurm, tmp_path, "featurize_array.sbatch", shards, out), options=["--array=3-4"]
    )
    after = [f"--dependency=afterany:{array}"]
    submit(slurm, tmp_path, "featurize.sbatch", shards, out, "--workers", "0", options=after)
    wait_for(lambda: not slurm.jobs(), "end of the jobs")
    logs = {path.name: path.read_text() for path in tmp_path.glob("*.log")}
    assert verify(Output(out)) == [], logs
    assert attempts_by_shard(Output(out)) == dict.fromkeys(range(6), 1), logs
    assert result_tree(Output(out))


def test_training_gets_a_gpu_after_a_job_that_succeeds(slurm, tmp_path):
    show = "-c \"import os, sys; print((sys.argv[1:], os.environ['CUDA_VISIBLE_DEVICES']))\""
    first = slurm.submit("--mem=100", "--wrap", "true", cwd=tmp_path)
    job = submit(
        *(slurm, tmp_path, "train_gpu.sbatch", "a job.toml", "o$(id)", "--dry-run"),
        options=[f"--dependency=afterok:{first}", "--kill-on-invalid-dep=yes"],
        program=show,
    )
    slurm.wait_for_state(job, "COMPLETED")
    said = (tmp_path / f"pyhpc-train-{job}.log").read_text()
    command, gpu = ast.literal_eval(said)
    assert gpu == "0"
    assert command == ["run", "a job.toml", "--out", "o$(id)", "--device", "cuda", "--dry-run"]
    assert run_command.make_context("run", command[1:]).params["device"] == "cuda"
