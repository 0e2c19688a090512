"""Threads of the kernels: how many there are, and that nothing depends on them."""

import subprocess
import sys

import pytest

COUNT = """
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from pyhpc import gallery, kernels
from pyhpc.crystals import read

# In a thread of its own, so that this one has asked for nothing yet.
with ThreadPoolExecutor(1) as reader:
    batch = reader.submit(read, gallery.crystals_path(), threads=1).result()

def call(threads):
    return kernels.neighbor_list(batch, 4.0, threads=threads).distances

def workers():
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return sum(name.startswith("pyhpc-") for name in names)
"""


def printed(script):
    done = subprocess.run(
        [sys.executable, "-c", COUNT + script], check=True, capture_output=True, text=True
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
print(workers(), all(np.array_equal(one, alone) for one in found))
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
