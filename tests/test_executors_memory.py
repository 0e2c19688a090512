"""Memory of this machine, and what control groups leave of it."""

from __future__ import annotations

import os

import numpy as np
import pytest

from pyhpc.executors.memory import memory_limit, resident_bytes

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/job/step\n", {"job/memory.max": "1000\n", "job/step/memory.max": "max\n"}, 1000),
        ("0::/job/step\n", {"job/memory.max": "1000\n", "job/step/memory.max": "500\n"}, 500),
        ("0::/\n", {"memory.max": "700\n"}, 700),
        ("0::/job\n", {"job/memory.max": f"{2 * PHYSICAL}\n"}, PHYSICAL),
        ("4:cpu:/x\n3:cpuset,memory:/x\n", {"memory/x/memory.limit_in_bytes": "300\n"}, 300),
        ("4:cpu:/x\n", {"x/memory.max": "300\n"}, PHYSICAL),
        ("", {}, PHYSICAL),
        (None, {}, PHYSICAL),
    ],
)
def test_the_smallest_limit_counts(tmp_path, groups, limits, expected):
    if groups is not None:
        write(tmp_path / "proc/self/cgroup", groups)
    for name, text in limits.items():
        write(tmp_path / "sys/fs/cgroup" / name, text)
    assert memory_limit(tmp_path) == expected


def test_this_machine_has_memory():
    assert 2**20 < memory_limit() <= PHYSICAL


def test_memory_of_a_process():
    before = resident_bytes(os.getpid())
    held = np.ones(2**23)
    assert resident_bytes(os.getpid()) - before > 0.9 * held.nbytes
    assert resident_bytes(2**22 + 1) == 0
