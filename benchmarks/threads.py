"""Two threads against one, by the wall clock; the results have to be the same bit for bit.

What two threads can do at most on the machine, in registers and from each level of memory, stands
beside the rates of one core at the head of the tables. That is where they have a core each: the two
processors of a virtual machine may be the two halves of one core for seconds at a time, and then
nothing is faster than 1.0 to 1.5 times. Repetitions after which two threads don't have it are made
again.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import data
from benchmarks.harness import Comparison, Work, undisturbed
from pyhpc import kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Effort, Row
    from pyhpc import CrystalBatch

THREADS = 2
LARGE = 97_336
N_CRYSTALS = 600

ORDER = 256
"""Of matrices whose product, from the second-level cache, is bound by the arithmetic of a core."""

LEEWAY = 1.15
"""Two threads have a core each that multiply matrices in less than this times as long as one."""

Kernel = "Callable[[CrystalBatch, int], np.ndarray]"


def have_a_core_each() -> bool:
    """Tell whether two threads compute as fast side by side as one does alone just now."""
    matrix = np.ones((ORDER, ORDER))
    out = [np.empty_like(matrix) for _ in range(THREADS)]
    start = Barrier(THREADS)

    def multiply(k: int) -> float:
        begin = time.perf_counter()
        np.matmul(matrix, matrix, out=out[k])
        return time.perf_counter() - begin

    def together(k: int) -> float:
        start.wait()
        return multiply(k)

    with ThreadPoolExecutor(THREADS) as pool:
        alone = min(multiply(0) for _ in range(5))
        both = min(max(pool.map(together, range(THREADS))) for _ in range(5))
    return both < LEEWAY * alone


def _neighbors(batch: CrystalBatch, threads: int) -> np.ndarray:
    return kernels.neighbor_list(batch, 6.0, threads=threads).distances


def _ewald(batch: CrystalBatch, threads: int) -> np.ndarray:
    return kernels.ewald_site_energies(batch, threads=threads).site_energies


def _voronoi(batch: CrystalBatch, threads: int) -> np.ndarray:
    return kernels.voronoi(batch, threads=threads).volumes


def _bond_valence(batch: CrystalBatch, threads: int) -> np.ndarray:
    return kernels.bond_valence_sums(batch, threads=threads).sums


def _symmetry(batch: CrystalBatch, threads: int) -> np.ndarray:
    return kernels.symmetry(batch, threads=threads).orbits


def _valences(batch: CrystalBatch, threads: int) -> np.ndarray:
    bare = batch.with_oxidation_states(np.full(len(batch.atomic_numbers), np.nan))
    return kernels.assign_oxidation_states(bare, threads=threads).oxidation_states


KERNELS: dict[str, Any] = {
    "neighbour list, 6 A": _neighbors,
    "Ewald site energies": _ewald,
    "Voronoi cells": _voronoi,
    "bond-valence sums": _bond_valence,
    "oxidation states": _valences,
    "symmetry": _symmetry,
}
FOR_LARGE = ("neighbour list, 6 A", "Ewald site energies", "Voronoi cells", "bond-valence sums")


def run(effort: Effort) -> Iterator[Row]:
    """Compare on a batch of crystals and on one large crystal."""
    # A thread works in the pool that it asks for first, as a program does that asks for one only.
    with ThreadPoolExecutor(1) as caller:
        yield from caller.submit(lambda: list(_all(effort))).result()


def _all(effort: Effort) -> Iterator[Row]:
    name = data.available(quick=effort.quick)[-1]
    batch = data.charged(name, 12 if effort.quick else N_CRYSTALS)
    _bond_valence(batch, THREADS)
    large = data.sodium_chloride(4 if effort.quick else round((LARGE / 8) ** (1 / 3)))
    for what, kernel in KERNELS.items():
        yield from _rows(f"{name}, batch", what, kernel, batch, effort)
        if what in FOR_LARGE:
            yield from _rows("NaCl", what, kernel, large, effort)


def _rows(
    name: str,
    what: str,
    kernel: Callable[[CrystalBatch, int], np.ndarray],
    batch: CrystalBatch,
    effort: Effort,
) -> Iterator[Row]:
    compare = Comparison(
        "threads",
        what,
        "share of values that differ",
        0.0,
        time.perf_counter,
        undisturbed if effort.quick else have_a_core_each,
    )
    alone: list[np.ndarray] = []

    def error(values: np.ndarray) -> float:
        alone.append(kernel(batch, 1))
        return float(np.mean(values.view(np.int64) != alone[0].view(np.int64)))

    ours = Work(f"{THREADS} threads", lambda: lambda: kernel(batch, THREADS), error)
    peer = Work("1 thread", lambda: lambda: kernel(batch, 1))
    yield from compare.rows(data.system(name, batch), effort, ours, [peer])
