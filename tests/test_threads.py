"""Threads of the kernels: how many there are, and that nothing depends on them."""

import subprocess
import sys

import pytest

COUNT = """
import threading
from pathlib import Path
import numpy as np
from pyhpc import CrystalBatch, kernels

n_crystals, n_sites = 40, 30
batch = CrystalBatch(
    ids=tuple(map(str, range(n_crystals))),
    lattices=np.tile(8.0 * np.eye(3), (n_crystals, 1, 1)),
    pbc=np.ones((n_crystals, 3), np.bool_),
    site_offsets=np.arange(n_crystals + 1) * n_sites,
    frac_coords=np.random.default_rng(20261121).random((n_crystals * n_sites, 3)),
    asymmetric_index=np.full(n_crystals * n_sites, -1, np.int32),
    species_offsets=np.arange(n_crystals * n_sites + 1),
    atomic_numbers=np.full(n_crystals * n_sites, 6, np.uint8),
    occupancies=np.ones(n_crystals * n_sites),
    oxidation_states=np.zeros(n_crystals * n_sites),
)

def call(threads):
    return kernels.neighbor_list(batch, 4.0, threads=threads).distances

def tasks():
    return len(list(Path("/proc/self/task").iterdir()))

before = tasks()

def workers():
    return tasks() - before
"""


def printed(script):
    done = subprocess.run(
        [sys.executable, "-c", COUNT + script],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.split()


@pytest.mark.parametrize(("asked", "others"), [([1], 0), ([3], 2), ([3, 3], 2), ([3, 2], 4)])
def test_the_caller_works_in_the_pool_that_it_asked_for_first(asked, others):
    script = f"for threads in {asked}: call(threads)\nprint(workers())"
    assert printed(script) == [str(others)]


def test_callers_side_by_side_share_threads():
    script = """
alone = call(1)
found = [None] * 12

def work(k):
    ready.wait()
    for _ in range(5):
        found[k] = call(3)
    done.wait()
    done.wait()

ready, done = threading.Barrier(12), threading.Barrier(13)
callers = [threading.Thread(target=work, args=(k,)) for k in range(12)]
for caller in callers:
    caller.start()
done.wait()
print(workers() - 12, all(np.array_equal(one, alone) for one in found))
done.wait()
"""
    # Two beside the caller that came first, and three for all others.
    assert printed(script) == ["5", "True"]


def test_a_caller_that_has_ended_leaves_its_threads_to_the_next():
    script = """
caller = threading.Thread(target=call, args=(3,))
caller.start()
caller.join()
pause = threading.Event()
while workers():
    pause.wait(0.1)
call(3)
print(workers())
"""
    assert printed(script) == ["2"]


def test_threads_that_need_the_same_search_end():
    # Threads that find no site of the few distinct ones left look for what others have to do.
    script = """
from tests.crystals import random_crystal, supercell

large = supercell(random_crystal(np.random.default_rng(1), 18), (4, 4, 4))
assert large.n_sites > 1024
alone = kernels.voronoi(large, threads=1).volumes
print(all(np.array_equal(kernels.voronoi(large, threads=16).volumes, alone) for _ in range(200)))
"""
    assert printed(script) == ["True"]
