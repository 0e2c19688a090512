"""Crystals that the tests build for themselves."""

from __future__ import annotations

import itertools

import numpy as np

from pyhpc import CrystalBatch
from pyhpc.crystals import iter_records, read_records

FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def crystal(
    lattice, frac_coords, atomic_numbers, *, oxidation_states=None, pbc=(True, True, True), name="x"
):
    """Batch of one ordered crystal."""
    n = len(frac_coords)
    return CrystalBatch(
        ids=[name],
        lattices=np.asarray(lattice, dtype=float)[None],
        site_offsets=[0, n],
        frac_coords=frac_coords,
        species_offsets=np.arange(n + 1),
        atomic_numbers=atomic_numbers,
        occupancies=np.ones(n),
        oxidation_states=np.full(n, np.nan) if oxidation_states is None else oxidation_states,
        asymmetric_index=np.full(n, -1),
        pbc=pbc,
    )


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


def supercell(batch, repeats):
    """Batch of one crystal repeated along its lattice vectors."""
    repeats = np.asarray(repeats)
    cells = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), -1).reshape(-1, 3)
    n_cells = len(cells)
    counts = np.diff(batch.species_offsets)
    return CrystalBatch(
        ids=batch.ids,
        lattices=batch.lattices * repeats[None, :, None],
        site_offsets=batch.site_offsets * n_cells,
        frac_coords=((batch.frac_coords[None] + cells[:, None]) / repeats).reshape(-1, 3),
        species_offsets=np.concatenate([[0], np.cumsum(np.tile(counts, n_cells))]),
        atomic_numbers=np.tile(batch.atomic_numbers, n_cells),
        occupancies=np.tile(batch.occupancies, n_cells),
        oxidation_states=np.tile(batch.oxidation_states, n_cells),
        asymmetric_index=np.full(batch.n_sites * n_cells, -1),
        pbc=batch.pbc,
    )


def cif_crystals(path, step):
    """Every step-th crystal of an archive, each as a batch of its own."""
    records = list(itertools.islice(iter_records([path]), 0, None, step))
    batch = read_records(records).batch
    assert len(batch) == len(records)
    return [batch.select([k]) for k in range(len(batch))]
