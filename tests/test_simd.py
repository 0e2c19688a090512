"""The environment variable that forbids vector instructions, and what must not depend on it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pyhpc import kernels

LEVELS = ["scalar", "avx2", "avx512"]

DIGESTS = """
import hashlib
from dataclasses import replace
import numpy as np
from pyhpc import CrystalBatch, kernels

rng = np.random.default_rng(0)

def crystal(n):
    species = np.arange(n + 1)
    return CrystalBatch(
        ids=[str(n)],
        lattices=[np.diag(rng.uniform(4, 7, 3)) + rng.uniform(-1, 1, (3, 3))],
        site_offsets=[0, n],
        frac_coords=rng.uniform(-1, 2, (n, 3)),
        species_offsets=species,
        atomic_numbers=np.where(species[:-1] % 2, 8, 3),
        occupancies=rng.uniform(0.5, 1, n),
        oxidation_states=np.where(species[:-1] % 2, -2.0, 1.0),
        asymmetric_index=np.full(n, -1),
    )

batch = CrystalBatch.concatenate([crystal(n) for n in (2, 5, 12, 40)])
pairs = kernels.neighbor_list(batch, 6.0)
cells = kernels.voronoi(batch)
ions = kernels.ion_environments(batch, 3, np.full(118, 2.5), np.arange(118) == 7)
sums = kernels.bond_valence_sums(batch)
full = kernels.bond_valence_sums(replace(batch, occupancies=np.ones(len(batch.occupancies))))
bonds = kernels.bond_statistics(batch, np.full(118, 1.2), np.arange(118.0))
print(kernels.simd_level())
for values in (pairs.i, pairs.j, pairs.shifts, pairs.distances, cells.volumes,
               cells.coordination_numbers[0.0], ions.ion_distances, ions.coordination_numbers,
               cells.effective_coordination_numbers, cells.inscribed_radii,
               bonds.lengths, bonds.angles, bonds.bond_orders, sums.sums, sums.gii, full.sums):
    assert len(values) and not np.isnan(values).all()
    print(hashlib.sha256(values.tobytes()).hexdigest())
"""


def run(level, code=DIGESTS):
    environment = {**os.environ, "PYHPC_SIMD": level}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600
    )


def test_every_level_gives_the_same_bits():
    results = {level: run(level) for level in LEVELS}
    for level, result in results.items():
        assert result.returncode == 0, result.stderr
        used = result.stdout.split()[0]
        assert LEVELS.index(used) <= LEVELS.index(level)
    digests = [result.stdout.split()[1:] for result in results.values()]
    assert len(digests[0]) == 16
    assert digests[0] == digests[1] == digests[2]
    assert results["scalar"].stdout.split()[0] == "scalar"


def test_the_level_in_use_has_a_name():
    assert kernels.simd_level() in LEVELS


@pytest.mark.parametrize("level", ["sse9", "AVX2"])
def test_a_level_that_is_not_known_is_refused(level):
    result = run(level, "import pyhpc.kernels")
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    for word in ("PYHPC_SIMD", level, "scalar, avx2, avx512"):
        assert word in last
