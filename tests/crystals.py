"""Crystals that the tests build for themselves."""

from __future__ import annotations

import itertools

import numpy as np

from pyhpc import CrystalBatch
from pyhpc.crystals import iter_records, read_records

FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


crystal = CrystalBatch.from_sites
supercell = CrystalBatch.supercell


def random_lattice(rng, *, edge=(3.0, 9.0), skew=0.35):
    """Lattice with edges in a range, skewed at random, of either handedness, never flat."""
    while True:
        rows = np.eye(3) + skew * rng.normal(size=(3, 3))
        rows *= rng.uniform(*edge, size=3)[:, None] / np.linalg.norm(rows, axis=1)[:, None]
        relative = abs(np.linalg.det(rows)) / np.prod(np.linalg.norm(rows, axis=1))
        if relative > 0.15:
            return rows


def random_crystal(rng, n_sites, **lattice_options):
    """Batch of one crystal with random elements and coordinates, some outside the home cell."""
    lattice = random_lattice(rng, **lattice_options)
    frac_coords = rng.uniform(-1.5, 2.5, size=(n_sites, 3))
    return crystal(lattice, frac_coords, rng.integers(1, 95, size=n_sites))


def ionic(lattice, frac_coords, charges, **options):
    """Batch of one crystal of point charges."""
    return crystal(
        lattice, frac_coords, np.full(len(frac_coords), 11), oxidation_states=charges, **options
    )


def random_ionic(rng, n_sites, *, neutral=True, lattice=None):
    """Batch of one crystal with random charges at random places, no two closer than 0.3 A."""
    if lattice is None:
        lattice = random_lattice(rng) * (n_sites / 15) ** (1 / 3)
    placed = np.empty((0, 3))
    while len(placed) < n_sites:
        trial = rng.uniform(-1.5, 2.5, size=3)
        deltas = placed - trial
        deltas -= np.round(deltas)
        if len(placed) == 0 or np.linalg.norm(deltas @ lattice, axis=1).min() > 0.3:
            placed = np.vstack([placed, trial])
    charges = rng.choice([-3.0, -2.0, -1.0, 0.5, 1.0, 2.0, 4.0], size=n_sites)
    if neutral:
        charges -= charges.mean()
    return ionic(lattice, placed, charges)


def rock_salt(edge=5.64):
    return ionic(np.eye(3) * edge, np.vstack([FCC, FCC + 0.5]), [1.0] * 4 + [-1.0] * 4)


def cif_crystals(path, step):
    """Every step-th crystal of an archive, each as a batch of its own."""
    records = list(itertools.islice(iter_records([path]), 0, None, step))
    batch = read_records(records).batch
    assert len(batch) == len(records)
    return [batch.select([k]) for k in range(len(batch))]
