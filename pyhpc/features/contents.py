"""What a batch holds, counted once for all groups of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from pyhpc.features.elements import SYMBOLS, mobile_ion_number
from pyhpc.features.grouped import Grouped, bin_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.crystals import CrystalBatch


@dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """Atoms, cells and mobile ions of a batch.

    Attributes
    ----------
    batch : CrystalBatch
        The crystals.
    ion : str
        Symbol of the mobile ion.
    ion_number : int
        Its atomic number.
    amounts : array, shape (n_crystals, 118)
        Atoms of each element in the cell, occupancies summed.
    n_atoms : array, shape (n_crystals,)
        Atoms in the cell; NaN for a crystal without atoms.
    volumes : array, shape (n_crystals,)
        Volume in cubic angstrom; NaN for a lattice that spans none.
    ion_sites : array, shape (n_ion_sites,)
        Sites that hold the mobile ion, at least in part, ascending.
    ion_amounts : array, shape (n_ion_sites,)
        Their occupancy by the ion.
    """

    batch: CrystalBatch
    ion: str
    ion_number: int
    amounts: NDArray[np.float64]
    n_atoms: NDArray[np.float64]
    volumes: NDArray[np.float64]
    ion_sites: NDArray[np.int64]
    ion_amounts: NDArray[np.float64]

    @classmethod
    def of(cls, batch: CrystalBatch, ion: str) -> Self:
        """Count the contents of a batch."""
        ion_number = mobile_ion_number(ion)
        n = len(batch)
        n_elements = len(SYMBOLS)
        elements = batch.atomic_numbers.astype(np.int64) - 1
        crystals, occupancies = species_crystals(batch), batch.occupancies
        elements = batch.atomic_numbers.astype(np.int64) - 1
        amounts = bin_sums(crystals * n_elements + elements, occupancies, n * n_elements)
        n_atoms = bin_sums(crystals, occupancies, n)
        of_ion = batch.atomic_numbers == ion_number
        by_site = bin_sums(batch.species_sites[of_ion], occupancies[of_ion], batch.n_sites)
        ion_sites = np.flatnonzero(by_site > 0)
        return cls(
            batch=batch,
            ion=ion,
            ion_number=ion_number,
            amounts=amounts.reshape(n, n_elements),
            n_atoms=np.where(n_atoms > 0, n_atoms, np.nan),
            volumes=_volumes(batch.lattices),
            ion_sites=ion_sites,
            ion_amounts=by_site[ion_sites],
        )

    @property
    def prefix(self) -> str:
        """How the names of the ion's features begin."""
        return self.ion.lower()

    @property
    def n_ions(self) -> NDArray[np.float64]:
        """Mobile ions in the cell, shape (n_crystals,)."""
        return self.amounts[:, self.ion_number - 1]

    @property
    def ion_mask(self) -> NDArray[np.bool_]:
        """Whether each site holds the mobile ion, shape (n_sites,)."""
        mask = np.zeros(self.batch.n_sites, dtype=np.bool_)
        mask[self.ion_sites] = True
        return mask

    @property
    def ions(self) -> Grouped:
        """The ion's sites by crystal."""
        return Grouped(self.batch.site_crystals[self.ion_sites], len(self.batch))


def species_crystals(batch: CrystalBatch) -> NDArray[np.int64]:
    """Crystal of each species entry, shape (n_species,)."""
    return np.repeat(np.arange(len(batch)), np.diff(batch.species_offsets[batch.site_offsets]))


def _volumes(lattices: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.isfinite(lattices).all(axis=(1, 2), keepdims=True)
    a, b, c = np.where(finite, lattices, 0.0).transpose(1, 0, 2)
    volumes = np.abs((a * np.cross(b, c)).sum(axis=1))
    return np.where(volumes > 0, volumes, np.nan)
