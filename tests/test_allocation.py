"""What a process learns of the allocation that it is in."""

from __future__ import annotations

import pytest

from pyhpc.cli import main
from pyhpc.errors import PyhpcError
from pyhpc.executors.allocation import Allocation, expand_counts

GIB = 2**30


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """Pretend to be in an allocation of three nodes, on the second."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$3" = "n[1-2],big" ] && printf "n1\\nn2\\nbig\\n"\n')
    scontrol.chmod(0o755)
    for name, value in {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "n[1-2],big",
        "SLURM_JOB_CPUS_PER_NODE": "4(x2),16",
        "SLURMD_NODENAME": "n2",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def nodes():
    return [(node.name, node.cores, node.memory) for node in Allocation.of_this_process().nodes]


@pytest.mark.parametrize(
    ("text", "counts"),
    [("8", [8]), ("16(x2),8", [16, 16, 8]), ("1(x3),2(x2)", [1, 1, 1, 2, 2])],
)
def test_counts(text, counts):
    assert expand_counts(text) == counts


def test_memory_is_left_to_the_nanny_and_to_this_process(inside):
    inside.setenv("SLURM_MEM_PER_CPU", "1024")
    quarter = GIB // 4
    assert nodes() == [
        ("n1", 4, 4 * GIB - quarter),
        ("n2", 4, 4 * GIB - quarter - GIB // 2),
        ("big", 16, 16 * GIB - quarter),
    ]
    inside.delenv("SLURM_MEM_PER_CPU")
    inside.setenv("SLURM_MEM_PER_NODE", "2048")
    assert nodes()[2] == ("big", 16, 2 * GIB - quarter)
    inside.delenv("SLURM_MEM_PER_NODE")
    assert nodes()[0] == ("n1", 4, None)


def test_too_little_memory_is_told(inside):
    inside.setenv("SLURM_MEM_PER_NODE", "512")
    with pytest.raises(PyhpcError, match="has no memory for workers"):
        nodes()


def test_srun_is_not_to_start_it(inside):
    inside.setenv("SLURM_STEP_NUM_TASKS", "3")
    with pytest.raises(PyhpcError, match="srun has started this command 3 times"):
        nodes()


def test_outside_of_an_allocation(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        main(["featurize", "--shards", "none", "--out", str(out), "--on", "allocation"])
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert "this process is in no allocation of SLURM" in error
    assert "slurm/allocation.sbatch" in error
    assert not out.exists()
