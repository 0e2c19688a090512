"""Peak memory: of each kernel over inputs and output, by size; and of a worker.

Each figure is taken in a process of its own: ``python -m benchmarks.memory KERNEL ATOMS``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import data
from benchmarks.harness import Ladder
from pyhpc import kernels
from pyhpc.shards.attempts import total_attempts
from pyhpc.shards.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness import Effort

MIB = 2**20
SIZES = (10_648, 32_768, 97_336, 1_000_000)
LONGER = 3
"""A kernel is given this times as long as a peer elsewhere; larger crystals are left out."""

WORKER_LIMIT = 400 * MIB


@dataclass(frozen=True)
class Memory:
    """Bytes of one kernel on one crystal, or of a worker.

    Attributes
    ----------
    what, data : str
        Kernel (or ``worker``) and what it worked on.
    atoms : int
        Sites.
    output : int
        Of the arrays that are returned.
    working : int
        Peak beyond what was there before and the output.
    seconds : float
        Processor time.
    limit : int or None
        `working` may not exceed it.
    """

    what: str
    data: str
    atoms: int
    output: int
    working: int
    seconds: float = 0.0
    limit: int | None = None

    @property
    def is_violated(self) -> bool:
        """Whether the limit is exceeded."""
        return self.limit is not None and self.working > self.limit


KERNELS: dict[str, Any] = {
    "neighbour list, 6 A": lambda batch: kernels.neighbor_list(batch, 6.0, threads=1),
    "Ewald site energies": lambda batch: kernels.ewald_site_energies(batch, threads=1),
    "Voronoi cells": lambda batch: kernels.voronoi(batch, threads=1),
    "bond-valence sums": lambda batch: kernels.bond_valence_sums(batch, threads=1),
    "oxidation states": lambda batch: kernels.assign_oxidation_states(
        batch.with_oxidation_states(np.full(len(batch.atomic_numbers), np.nan)), threads=1
    ),
}


def run(effort: Effort) -> Iterator[Memory]:
    """Measure every kernel at every size, then a worker."""
    for what in KERNELS:
        ladder = Ladder(effort, power=2.0)
        for atoms in (512,) if effort.quick else SIZES:
            if ladder.expected(what, atoms) > LONGER * effort.longest:
                break
            command = [sys.executable, "-m", "benchmarks.memory", what, str(atoms)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            row = Memory(**json.loads(done.stdout))
            ladder.note(what, atoms, row.seconds)
            yield row
    for name in data.available(quick=effort.quick):
        if name != "mp":
            yield _worker(name)


def _worker(name: str) -> Memory:
    """Peak resident memory of a worker process that featurizes a set."""
    with tempfile.TemporaryDirectory(prefix="pyhpc-bench-") as folder:
        command = [sys.executable, "-m", "pyhpc", "featurize", str(data.SETS[name])]
        command += ["--out", str(Path(folder) / "out")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peak = total_attempts(Output(Path(folder) / "out")).peak_memory
    atoms = data.sample(name).batch.n_sites
    return Memory("worker, all features", name, atoms, 0, peak, limit=WORKER_LIMIT)


def _probe(what: str, atoms: int) -> Memory:
    small = data.sodium_chloride(2)
    batch = data.sodium_chloride(round((atoms / 8) ** (1 / 3)))
    kernel = KERNELS[what]
    # Tables, pools and code pages come with the first call.
    kernel(small)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _resident("VmRSS")
    start = time.process_time()
    result = kernel(batch)
    seconds = time.process_time() - start
    output = sum(
        value.nbytes
        for field in fields(result)
        if isinstance(value := getattr(result, field.name), np.ndarray)
    )
    working = max(0, _resident("VmHWM") - before - output)
    return Memory(what, "NaCl", batch.n_sites, output, working, seconds)


def _resident(key: str) -> int:
    """Resident memory of this process now (``VmRSS``) or at most (``VmHWM``), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {key}: memory is measured on Linux only")


if __name__ == "__main__":
    print(json.dumps(asdict(_probe(sys.argv[1], int(sys.argv[2])))))
