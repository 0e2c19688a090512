"""What the figures were taken on, and what one core of it can do at most."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import pyhpc

PEERS = (
    "ase",
    "dscribe",
    "freud-analysis",
    "gemmi",
    "matminer",
    "matscipy",
    "moyopy",
    "numpy",
    "pymatgen",
    "scipy",
    "spglib",
    "torch",
    "torch-pme",
    "vesin",
)
ROOT = Path(__file__).parents[1]


def describe() -> dict[str, str]:
    """Processor, caches, memory and system."""
    facts = _cpu() | _caches()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return facts | {
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{pages / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        "pyhpc": pyhpc.__version__,
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def versions() -> dict[str, str]:
    """Versions of the peers, empty for those that are not installed."""
    found = {}
    for name in PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def peak(*, quick: bool) -> dict[str, float]:
    """Highest rates of one core, and of two threads at a time.

    GFLOP/s of fused multiply-adds in double precision, two operations each; GB/s of reads from
    buffers that fit in the first, second and third level of cache and in none
    (``rust_kernels/core/benches/peak.rs``); GB/s of writes to memory that the system has yet to
    hand out and clear, as every large array is at first. Empty in quick mode and where there is no
    cargo.
    """
    cargo = shutil.which("cargo")
    if quick or cargo is None:
        return {}
    command = [cargo, "bench", "--quiet", "--locked", "-p", "pyhpc-core", "--bench", "peak"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    rates = json.loads(done.stdout)
    for threads, of_threads in rates.items():
        of_threads["writes to fresh memory, GB/s"] = _fresh_writes(int(threads))
    return rates["1"] | {f"{TWO}: {name}": rate for name, rate in rates["2"].items()}


TWO = "two threads"
"""What the names of rates of two threads begin with."""


def _fresh_writes(threads: int, size: int = 64 << 20, runs: int = 20) -> float:
    """Rate at which threads side by side fill new arrays, the best of some runs."""
    ready = threading.Barrier(threads)

    def fill(_: int) -> tuple[float, float]:
        ready.wait()
        start = time.perf_counter()
        np.empty(size, dtype=np.uint8).fill(1)
        return start, time.perf_counter()

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(runs):
            starts, ends = zip(*pool.map(fill, range(threads)), strict=True)
            best = max(best, threads * size / (max(ends) - min(starts)))
    return round(best * 1e-9, 1)


def _cpu() -> dict[str, str]:
    """Model and vector extensions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {"processor": platform.processor()}
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set(fields.get("flags", "").split())
    vectors = [flag for flag in ("avx2", "fma", "avx512f", "avx512dq", "avx512vl") if flag in flags]
    where = f"family {fields.get('cpu family')}, model {fields.get('model')}"
    return {
        "processor": f"{fields.get('model name', platform.machine())} ({where})",
        "vectors": ", ".join(vectors),
    }


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (index / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found
