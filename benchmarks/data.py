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
    from collections.abc import Iterable

    from ase import Atoms
    from pymatgen.core import Structure

    from pyhpc.records import Record

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
SETS = {
    "gallery": crystals_path(),
    "obelix": SHARED_DATA / "obelix" / "cifs.tar.gz",
    "mp": SHARED_DATA / "mp" / "mp_cifs_a.tar.gz",
    "elasticity": SHARED_DATA / "elasticity" / "cifs.tar.gz",
}
WHOLE = SETS | {"mp": str(SHARED_DATA / "mp" / "mp_cifs_?.tar.gz")}
"""The same sets with all that there is of them, for runs that are to be long."""
RECORDS = {"gallery": 96, "obelix": 321, "mp": 20_000, "elasticity": 11_269}
"""How many records each set holds."""

COMPARED = ("gallery", "obelix", "mp")
"""Sets on which kernels and peers are measured; on the others, whole runs alone."""

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


def available(names: Iterable[str] = COMPARED, *, quick: bool = False) -> list[str]:
    """Which of these sets are on this machine; the shipped one alone in quick mode."""
    return [
        name
        for name in names
        if SETS[name].exists() and not (quick and SETS[name] != crystals_path())
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


def sodium_chloride(repeats: int) -> CrystalBatch:
    """Rock salt with 8 n^3 ions."""
    return shipped("NaCl").supercell(repeats)


def random_points(n: int, volume: float = 20.0) -> CrystalBatch:
    """Points at random in a cube, with a mean volume per point in cubic angstrom."""
    rng = np.random.default_rng(SEED)
    edge = (n * volume) ** (1 / 3)
    return CrystalBatch.from_sites(edge * np.eye(3), rng.random((n, 3)), np.full(n, 8))


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
