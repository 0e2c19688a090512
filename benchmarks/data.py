"""Crystals to measure on: the shipped ones always, the development data where it is; synthetic."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.harness import System
from pyhpc import CrystalBatch, kernels
from pyhpc.crystals import iter_records, read, read_records
from pyhpc.gallery import crystals_path

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import ArrayLike
    from pymatgen.core import Structure

    from pyhpc.records import Record

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
SETS = {
    "gallery": crystals_path(),
    "obelix": SHARED_DATA / "obelix" / "cifs.tar.gz",
    "mp": SHARED_DATA / "mp" / "mp_cifs_a.tar.gz",
}
RECORDS = {"gallery": 96, "obelix": 321, "mp": 20_000}
"""How many records each set holds."""

SEED = 20261121


@dataclass(frozen=True)
class Sample:
    """Some records of one set, read by pyhpc; pymatgen reads the same text on demand."""

    name: str
    records: list[Record]
    batch: CrystalBatch
    positions: list[int]

    def text(self, crystal: int) -> str:
        """Text of one crystal."""
        return self.records[self.positions[crystal]].text.decode("latin-1")

    def structure(self, crystal: int) -> Structure:
        """Structure of one crystal as pymatgen reads it."""
        from pymatgen.io.cif import CifParser

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return CifParser.from_str(self.text(crystal)).parse_structures(primitive=False)[0]


def available(*, quick: bool = False) -> list[str]:
    """Names of the sets that are on this machine; the shipped one alone in quick mode."""
    return [
        name
        for name, path in SETS.items()
        if path.exists() and not (quick and path != crystals_path())
    ]


@cache
def sample(name: str, n: int | None = None) -> Sample:
    """Give ``n`` records of a set, evenly spaced (all by default)."""
    step = 1 if n is None else max(1, RECORDS[name] // n)
    records = list(itertools.islice(iter_records([SETS[name]]), 0, None, step))[:n]
    result = read_records(records)
    return Sample(name, records, result.batch, [int(k) for k in result.positions])


@cache
def charged(name: str, n: int | None = None) -> CrystalBatch:
    """Crystals of a sample whose oxidation states are known, with them."""
    batch = sample(name, n).batch
    valences = kernels.assign_oxidation_states(batch)
    batch = batch.with_oxidation_states(valences.oxidation_states)
    return batch.select(np.flatnonzero(valences.status == 0))


def shipped(name: str) -> CrystalBatch:
    """One shipped crystal, with oxidation states."""
    batch = read(crystals_path() / f"{name}.cif")
    valences = kernels.assign_oxidation_states(batch)
    return batch.with_oxidation_states(valences.oxidation_states)


def system(data: str, batch: CrystalBatch) -> System:
    """Describe a batch for a row."""
    return System(data, len(batch), batch.n_sites)


def is_ordered(batch: CrystalBatch) -> np.ndarray:
    """Whether all sites of each crystal hold one species each, fully; shape (n_crystals,)."""
    partly = np.bincount(
        batch.species_sites, (batch.occupancies != 1).astype(float), minlength=batch.n_sites
    )
    disordered = (np.diff(batch.species_offsets) != 1) | (partly > 0)
    return np.bincount(batch.site_crystals, disordered, minlength=len(batch)) == 0


def small(batch: CrystalBatch, n_sites: int) -> np.ndarray:
    """Crystals of at most so many sites."""
    return np.flatnonzero(np.diff(batch.site_offsets) <= n_sites)


def ordered(batch: CrystalBatch, n_sites: int) -> CrystalBatch:
    """Ordered crystals of at most so many sites."""
    keep = is_ordered(batch) & (np.diff(batch.site_offsets) <= n_sites)
    return batch.select(np.flatnonzero(keep))


def without_symmetry(batch: CrystalBatch) -> CrystalBatch:
    """Forget which sites are the same by symmetry, so that each one is computed."""
    return replace(batch, asymmetric_index=np.full(batch.n_sites, -1, dtype=np.int32))


def crystal(
    lattice: ArrayLike,
    frac_coords: ArrayLike,
    atomic_numbers: ArrayLike,
    oxidation_states: ArrayLike | None = None,
) -> CrystalBatch:
    """Batch of one ordered crystal."""
    n = len(np.asarray(frac_coords))
    return CrystalBatch(
        ids=["synthetic"],
        lattices=np.asarray(lattice, dtype=float)[None],
        site_offsets=[0, n],
        frac_coords=frac_coords,
        species_offsets=np.arange(n + 1),
        atomic_numbers=atomic_numbers,
        occupancies=np.ones(n),
        oxidation_states=np.full(n, np.nan) if oxidation_states is None else oxidation_states,
        asymmetric_index=np.full(n, -1),
    )


def supercell(batch: CrystalBatch, repeats: int) -> CrystalBatch:
    """Repeat one crystal along its lattice vectors; symmetry is forgotten."""
    cells = np.stack(np.meshgrid(*[np.arange(repeats)] * 3, indexing="ij"), -1).reshape(-1, 3)
    n_cells = len(cells)
    counts = np.diff(batch.species_offsets)
    return CrystalBatch(
        ids=batch.ids,
        lattices=batch.lattices * repeats,
        site_offsets=batch.site_offsets * n_cells,
        frac_coords=((batch.frac_coords[None] + cells[:, None]) / repeats).reshape(-1, 3),
        species_offsets=np.concatenate([[0], np.cumsum(np.tile(counts, n_cells))]),
        atomic_numbers=np.tile(batch.atomic_numbers, n_cells),
        occupancies=np.tile(batch.occupancies, n_cells),
        oxidation_states=np.tile(batch.oxidation_states, n_cells),
        asymmetric_index=np.full(batch.n_sites * n_cells, -1),
        pbc=batch.pbc,
    )


def sodium_chloride(repeats: int) -> CrystalBatch:
    """Rock salt with 8 n^3 ions."""
    return supercell(shipped("NaCl"), repeats)


def random_points(n: int, volume: float = 20.0) -> CrystalBatch:
    """Points at random in a cube, with a mean volume per point in cubic angstrom."""
    rng = np.random.default_rng(SEED)
    edge = (n * volume) ** (1 / 3)
    return crystal(edge * np.eye(3), rng.random((n, 3)), np.full(n, 8))


def points(one: CrystalBatch) -> Atoms:
    """Sites of one crystal as ASE atoms, whatever is on them."""
    from ase import Atoms

    return Atoms(
        numbers=np.ones(one.n_sites, dtype=int),
        scaled_positions=one.frac_coords,
        cell=one.lattices[0],
        pbc=one.pbc[0],
    )


def split(batch: CrystalBatch) -> list[CrystalBatch]:
    """Each crystal as a batch of its own."""
    return [batch.select([k]) for k in range(len(batch))]
