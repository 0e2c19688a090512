"""The cluster of the tests is one: else tests on it would say nothing."""

from __future__ import annotations

import os

import psutil
import pytest

from tests.slurm.cluster import wait_for

pytestmark = pytest.mark.slurm


def test_jobs_run_on_all_nodes_with_their_gpu(slurm, tmp_path):
    script = "srun --gres=gpu:1 sh -c 'echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES' > out"
    job = slurm.submit("-N2", "--gres=gpu:1", "--wrap", script, cwd=tmp_path)
    slurm.wait_for_state(job, "COMPLETED")
    assert sorted((tmp_path / "out").read_text().splitlines()) == [f"{n} 0" for n in slurm.nodes]


def test_all_listen_on_loopback_only(slurm):
    daemons = [psutil.Process(process.pid) for process in slurm._processes.values()]
    heard = [c for d in daemons for c in d.net_connections("inet") if c.status == "LISTEN"]
    assert len(heard) >= 1 + len(slurm.nodes)
    assert {connection.laddr.ip for connection in heard} == {"127.0.0.1"}


def test_node_that_goes_down_requeues_its_job(slurm, tmp_path):
    job = slurm.submit(
        "--requeue", "--wrap", "echo ${SLURM_RESTART_COUNT:-0} >> out; sleep 600", cwd=tmp_path
    )
    slurm.wait_for_state(job, "RUNNING")
    node = slurm.job(job)["NodeList"]
    slurm.kill_slurmd(node)
    slurm.set_down(node)
    slurm.start_now(job)
    out = tmp_path / "out"
    wait_for(lambda: out.exists() and out.read_text() == "0\n1\n", "second start")
    assert slurm.job(job)["NodeList"] != node


def test_controller_keeps_its_jobs_over_a_restart(slurm, tmp_path):
    job = slurm.submit("--wrap", "sleep 600", cwd=tmp_path)
    slurm.wait_for_state(job, "RUNNING")
    slurm.restart_slurmctld()
    assert slurm.jobs() == {job: "RUNNING"}


def test_environment_leads_nowhere_else(slurm):
    assert slurm.env["SLURM_CONF"].startswith(str(slurm.root))
    assert os.environ.get("SLURM_CONF") != slurm.env["SLURM_CONF"]
