"""Operations that Ewald sums can't do without, counted at the cutoffs that the kernel chose.

A pair and a wave count as often as the kernel has to look at them: pairs once for both sites where
all sites are wanted, waves of half the sphere, whose mirror images share the products.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import data
from benchmarks.limits import Limit, timed
from pyhpc import kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from benchmarks.harness import Effort
    from pyhpc import CrystalBatch
    from pyhpc.kernels import Ewald

ACCURACY = 1e-8

PAIR_FLOP = 8 + 47 + 4
"""Distance; screened interaction (square root, division, polynomial of degree 21); its products
with both charges, added up."""

SITE_WAVE_FLOP = 4 + 4
"""For a wave of the half sphere: a site's share of the structure factor, and the wave's share of a
potential. The wave at the other end of the row has the same four products."""

WAVE_FLOP = 70
"""Weight of a wave, of which a polynomial of degree 31 takes most."""

PAIR_BYTES = 2 * 12
"""Squared distance and site of a pair, written and read."""

SITE_WAVE_BYTES = 2 * 8
"""Phases of a site, for the structure factor and for the potential, each shared by two waves."""

REST = (
    "lanes that short rows of waves leave empty, weights of waves, atoms tested in vain, roots "
    "and divisions, sums that wait for the one before, tables of phases, set-up of each crystal"
)
REST_ON_A_MESH = (
    "pairs seen from both of their sites, atoms tested in vain, roots and divisions, sums on "
    "the mesh that wait for memory, transposition between transforms"
)
"""Where the rest of the time goes, in the order of a profile."""

ORDER = 16
"""Of the splines: mesh points in each direction that a charge is spread over."""


def run(effort: Effort) -> Iterator[Limit]:
    """Count and time sums over batches of crystals and over a supercell."""
    for name in data.available(quick=effort.quick):
        batch = data.charged(name, 12 if effort.quick else 120)
        yield limit(name, batch.select(data.small(batch, 100)), effort)
    yield limit("NaCl", data.sodium_chloride(2 if effort.quick else 7), effort)


def limit(system: str, batch: CrystalBatch, effort: Effort) -> Limit:
    """Count and time the sums over a batch."""

    def run() -> Ewald:
        return kernels.ewald_site_energies(batch, ACCURACY, threads=1)

    found = run()
    counts = sum((_counts(batch.select([k]), found, k) for k in range(len(batch))), np.zeros(5))
    pairs, site_waves, waves, spread, points = counts
    mesh_only = site_waves == 0
    transforms = 2 * 2.5 * points * math.log2(max(points, 2))
    return Limit(
        "Ewald site energies at 1e-8",
        system,
        batch.n_sites,
        timed("pyhpc", effort, run),
        flop=PAIR_FLOP * pairs
        + SITE_WAVE_FLOP * site_waves
        + WAVE_FLOP * waves
        + 2 * spread
        + transforms,
        bytes=PAIR_BYTES * pairs + SITE_WAVE_BYTES * site_waves + 8 * spread + 6 * 16 * points / 2,
        note=f"{pairs:.3g} pairs; {waves:.3g} waves, {site_waves:.3g} with sites; "
        f"{points:.3g} mesh points; {REST_ON_A_MESH if mesh_only else REST}",
    )


def _counts(one: CrystalBatch, found: Ewald, k: int) -> NDArray[np.float64]:
    """Pairs, waves times sites, waves, mesh points that sites are spread over, mesh points."""
    if not math.isfinite(found.alphas[k]):
        return np.zeros(5)
    index = one.asymmetric_index
    distinct = np.unique(index[index >= 0], return_index=True)[1]
    targets = np.concatenate([np.flatnonzero(index < 0), distinct])
    pairs = kernels.neighbor_list(one, found.real_cutoffs[k], threads=1)
    of_targets = float(np.isin(pairs.i, targets).sum())
    needed = min(of_targets, len(pairs.i) / 2)
    mesh = float(np.prod(found.mesh_sizes[k]))
    if mesh:
        spread = ORDER**3 * (one.n_sites + len(targets))
        return np.array([needed, 0, mesh / 2, spread, mesh])
    volume = abs(np.linalg.det(one.lattices[0]))
    sphere = 4 / 3 * math.pi * (found.reciprocal_cutoffs[k] / (2 * math.pi)) ** 3
    waves = 0.5 * (sphere * volume - 1)
    # A structure factor takes all sites, a potential those that are not the same by symmetry.
    site_waves = waves * 0.5 * (one.n_sites + len(targets))
    return np.array([needed, site_waves, waves, 0, 0])
