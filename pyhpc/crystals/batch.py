"""The struct of arrays in which all floors of pyhpc pass crystals."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ase import Atoms
    from numpy.typing import ArrayLike, NDArray
    from pymatgen.core.structure import Structure

_DTYPES: dict[str, type[np.generic]] = {
    "lattices": np.float64,
    "pbc": np.bool_,
    "site_offsets": np.int64,
    "frac_coords": np.float64,
    "asymmetric_index": np.int32,
    "species_offsets": np.int64,
    "atomic_numbers": np.uint8,
    "occupancies": np.float64,
    "oxidation_states": np.float64,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class CrystalBatch:
    """Many crystals as flat, read-only, C-contiguous arrays.

    A site may hold several species (a disordered site): its species entries are
    ``species_offsets[site]`` to ``species_offsets[site + 1]``. Sites of crystal ``k`` are
    ``site_offsets[k]`` to ``site_offsets[k + 1]``.

    Parameters
    ----------
    ids : sequence of str, length n_crystals
        Names of the records, unique where they come from one source.
    lattices : array, shape (n_crystals, 3, 3), float64
        Lattice vectors a, b, c as rows, in angstrom.
    site_offsets : array, shape (n_crystals + 1,), int64
        First site of each crystal.
    frac_coords : array, shape (n_sites, 3), float64
        Fractional coordinates, ``cart_coords = frac_coords @ lattice``.
    species_offsets : array, shape (n_sites + 1,), int64
        First species entry of each site.
    atomic_numbers : array, shape (n_species,), uint8
        Elements, 1 to 118.
    occupancies : array, shape (n_species,), float64
        Fraction of the site that each species entry fills.
    oxidation_states : array, shape (n_species,), float64
        Charges in units of e, NaN where unknown.
    asymmetric_index : array, shape (n_sites,), int32
        Site of the asymmetric unit, counted from 0 within each crystal, of which this site is an
        image; -1 where unknown. Sites that share it are the same by symmetry.
    pbc : array, shape (n_crystals, 3) or (3,), bool, optional
        Periodic directions, by default all.

    Raises
    ------
    ValueError
        If an array can't be cast or has a wrong number of dimensions. Offsets and lengths are
        checked by every kernel.
    """

    ids: tuple[str, ...]
    lattices: NDArray[np.float64]
    site_offsets: NDArray[np.int64]
    frac_coords: NDArray[np.float64]
    species_offsets: NDArray[np.int64]
    atomic_numbers: NDArray[np.uint8]
    occupancies: NDArray[np.float64]
    oxidation_states: NDArray[np.float64]
    asymmetric_index: NDArray[np.int32]
    pbc: NDArray[np.bool_] = field(default_factory=lambda: np.ones(3, dtype=np.bool_))

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "pbc", np.broadcast_to(self.pbc, (len(self.ids), 3)))
        for name, dtype in _DTYPES.items():
            array = _read_only(getattr(self, name), dtype)
            object.__setattr__(self, name, array)
        if self.lattices.shape != (len(self.ids), 3, 3):
            raise ValueError(
                f"lattices has shape {self.lattices.shape}, expected ({len(self.ids)}, 3, 3)"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"CrystalBatch(n_crystals={len(self)}, n_sites={self.n_sites})"

    @property
    def n_sites(self) -> int:
        """Sites of all crystals together."""
        return len(self.frac_coords)

    @property
    def site_crystals(self) -> NDArray[np.int64]:
        """Crystal of each site, shape (n_sites,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.site_offsets))

    @property
    def species_sites(self) -> NDArray[np.int64]:
        """Site of each species entry, shape (n_species,)."""
        return np.repeat(np.arange(self.n_sites), np.diff(self.species_offsets))

    @property
    def cart_coords(self) -> NDArray[np.float64]:
        """Cartesian coordinates in angstrom, shape (n_sites, 3)."""
        lattices = self.lattices[self.site_crystals]
        coords: NDArray[np.float64] = np.einsum("sk,skc->sc", self.frac_coords, lattices)
        return coords

    def with_oxidation_states(self, oxidation_states: ArrayLike) -> Self:
        """Return the same crystals with other charges, shape (n_species,)."""
        return replace(self, oxidation_states=np.asarray(oxidation_states))

    def with_asymmetric_index(self, asymmetric_index: ArrayLike) -> Self:
        """Return the same crystals with other sites known to be the same, shape (n_sites,)."""
        return replace(self, asymmetric_index=np.asarray(asymmetric_index))

    def select(self, crystals: Iterable[int]) -> Self:
        """Return the crystals at these positions, in this order."""
        order = np.fromiter(crystals, dtype=np.int64)
        sites, site_offsets = _gather(self.site_offsets, order)
        species, species_offsets = _gather(self.species_offsets, sites)
        return type(self)(
            ids=tuple(self.ids[k] for k in order),
            lattices=self.lattices[order],
            pbc=self.pbc[order],
            site_offsets=site_offsets,
            frac_coords=self.frac_coords[sites],
            asymmetric_index=self.asymmetric_index[sites],
            species_offsets=species_offsets,
            atomic_numbers=self.atomic_numbers[species],
            occupancies=self.occupancies[species],
            oxidation_states=self.oxidation_states[species],
        )

    def supercell(self, repeats: int | Sequence[int]) -> Self:
        """Return each crystal repeated along its lattice vectors; symmetry is forgotten.

        Parameters
        ----------
        repeats : int or sequence of 3 int
            How often along a, b and c, at least once; one number for all three.

        Raises
        ------
        ValueError
            If a number is below 1.
        """
        times = np.broadcast_to(np.asarray(repeats, dtype=np.int64), 3)
        if (times < 1).any():
            raise ValueError(f"repeats are at least 1, not {repeats}")
        cells = np.indices(tuple(times)).reshape(3, -1).T
        # Every crystal as often as there are cells, all copies of it one after another.
        copies = self.select(np.repeat(np.arange(len(self)), len(cells)))
        shifts = np.tile(cells, (len(self), 1))[copies.site_crystals]
        return replace(
            copies,
            ids=self.ids,
            lattices=self.lattices * times[:, None],
            pbc=self.pbc,
            site_offsets=self.site_offsets * len(cells),
            frac_coords=(copies.frac_coords + shifts) / times,
            asymmetric_index=np.full(copies.n_sites, -1),
        )

    @classmethod
    def from_sites(
        cls,
        lattice: ArrayLike,
        frac_coords: ArrayLike,
        atomic_numbers: ArrayLike,
        *,
        oxidation_states: ArrayLike | None = None,
        pbc: ArrayLike = (True, True, True),
        name: str = "crystal",
    ) -> Self:
        """Make a batch of one ordered crystal.

        Parameters
        ----------
        lattice : array, shape (3, 3)
            Lattice vectors as rows, in angstrom.
        frac_coords : array, shape (n_sites, 3)
            Fractional coordinates.
        atomic_numbers : array, shape (n_sites,)
            Elements.
        oxidation_states : array, shape (n_sites,), optional
            Charges in units of e, by default unknown.
        pbc : array, shape (3,), bool
            Periodic directions.
        name : str
            Its id.

        Raises
        ------
        ValueError
            If an array has a wrong shape.
        """
        n = len(np.asarray(frac_coords))
        return cls(
            ids=(name,),
            lattices=np.asarray(lattice, dtype=np.float64)[None],
            pbc=np.asarray(pbc),
            site_offsets=np.array([0, n]),
            frac_coords=np.asarray(frac_coords),
            species_offsets=np.arange(n + 1),
            atomic_numbers=np.asarray(atomic_numbers),
            occupancies=np.ones(n),
            oxidation_states=np.asarray(
                np.full(n, np.nan) if oxidation_states is None else oxidation_states
            ),
            asymmetric_index=np.full(n, -1),
        )

    @classmethod
    def concatenate(cls, batches: Sequence[Self]) -> Self:
        """Join batches, in order."""
        if not batches:
            raise ValueError("nothing to concatenate: pass at least one CrystalBatch")

        def offsets(name: str) -> NDArray[np.int64]:
            counts = [np.diff(getattr(batch, name)) for batch in batches]
            return np.concatenate([[0], np.cumsum(np.concatenate(counts))])

        flat = {
            name: np.concatenate([getattr(batch, name) for batch in batches])
            for name in _DTYPES
            if not name.endswith("_offsets")
        }
        return cls(
            ids=tuple(name for batch in batches for name in batch.ids),
            site_offsets=offsets("site_offsets"),
            species_offsets=offsets("species_offsets"),
            **flat,
        )

    @classmethod
    def from_pymatgen(
        cls, structures: Structure | Iterable[Structure], ids: Sequence[str] | None = None
    ) -> CrystalBatch:
        """Take crystals from pymatgen, with disorder, oxidation states and periodic directions.

        Parameters
        ----------
        structures : Structure or iterable of Structure
            Coordinates are taken as they are, not wrapped. A ``SymmetrizedStructure`` also tells
            which sites are equivalent.
        ids : sequence of str, optional
            Names, by default ``"0"``, ``"1"``, ...

        Raises
        ------
        ImportError
            If pymatgen is not installed.
        ValueError
            If a species is no element.
        """
        from pyhpc.crystals import interop

        return interop.from_pymatgen(structures, ids)

    def to_pymatgen(self) -> list[Structure]:
        """Give the crystals to pymatgen: a list of ``Structure``, one per crystal.

        Raises
        ------
        ImportError
            If pymatgen is not installed.
        """
        from pyhpc.crystals import interop

        return interop.to_pymatgen(self)

    @classmethod
    def from_ase(
        cls, atoms: Atoms | Iterable[Atoms], ids: Sequence[str] | None = None
    ) -> CrystalBatch:
        """Take crystals from ASE, with periodic directions and what :meth:`to_ase` leaves.

        Parameters
        ----------
        atoms : Atoms or iterable of Atoms
            Missing lattice vectors of directions that are not periodic are completed by unit
            vectors. Occupancies are read from ``info["occupancy"]`` and ``spacegroup_kinds``, as
            ASE's CIF reader writes them.
        ids : sequence of str, optional
            Names, by default ``"0"``, ``"1"``, ...

        Raises
        ------
        ImportError
            If ASE is not installed.
        ValueError
            If a periodic direction has no lattice vector, or an atom is no element.
        """
        from pyhpc.crystals import interop

        return interop.from_ase(atoms, ids)

    def to_ase(self) -> list[Atoms]:
        """Give the crystals to ASE: a list of ``Atoms``, one per crystal.

        A disordered site becomes an atom of its most abundant element. All its occupancies are in
        ``info["occupancy"]`` by kind of site (array ``spacegroup_kinds``), as ASE's CIF reader
        writes them, its charges likewise in ``info["oxidation_states"]``; two charges of one
        element on one site become their mean. Charges of the atoms are the array
        ``oxidation_states``, NaN where unknown.

        Raises
        ------
        ImportError
            If ASE is not installed.
        """
        from pyhpc.crystals import interop

        return interop.to_ase(self)


def _read_only(values: ArrayLike, dtype: type[np.generic]) -> NDArray[np.generic]:
    """C-contiguous view of the values that can't be written through."""
    array = np.ascontiguousarray(values, dtype=dtype).view()
    array.flags.writeable = False
    return array


def _gather(
    offsets: NDArray[np.int64], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Items of the chosen ranges, range after range, and the offsets of the result."""
    counts = np.diff(offsets)[order]
    ends = np.cumsum(counts)
    starts = ends - counts
    items = np.arange(counts.sum()) + np.repeat(offsets[order] - starts, counts)
    return items, np.concatenate([[0], ends])
