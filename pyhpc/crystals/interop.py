"""Crystals of pymatgen and ASE to batches and back; the methods of CrystalBatch lead here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.crystals.batch import CrystalBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ase import Atoms
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

Species = tuple[int, float, float]
"""Atomic number, occupancy and oxidation state of one species entry."""


def import_extra(name: str) -> Any:
    """Import a module of the ``interop`` extra.

    Raises
    ------
    ImportError
        If it is not there, with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        message = f"{package} is needed for this: pip install 'pyhpc-crystals[interop]'"
        raise ImportError(message, name=package) from error


class _Builder:
    """Gathers crystals one after the other."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._lattices: list[NDArray[np.float64]] = []
        self._pbc: list[Sequence[bool]] = []
        self._frac_coords: list[NDArray[np.float64]] = []
        self._asymmetric_index: list[NDArray[np.int32]] = []
        self._species: list[Species] = []
        self._site_offsets = [0]
        self._species_offsets = [0]

    def add(
        self,
        name: str,
        lattice: NDArray[np.float64],
        pbc: Sequence[bool],
        frac_coords: NDArray[np.float64],
        sites: Iterable[Iterable[Species]],
        asymmetric_index: NDArray[np.int32] | None,
    ) -> None:
        for species in sites:
            self._species.extend(species)
            self._species_offsets.append(len(self._species))
        n_sites = len(frac_coords)
        if asymmetric_index is None:
            asymmetric_index = np.full(n_sites, -1, dtype=np.int32)
        self._ids.append(name)
        self._lattices.append(lattice)
        self._pbc.append(pbc)
        self._frac_coords.append(frac_coords)
        self._asymmetric_index.append(asymmetric_index)
        self._site_offsets.append(self._site_offsets[-1] + n_sites)

    def build(self) -> CrystalBatch:
        species = np.array(self._species, dtype=np.float64).reshape(-1, 3)
        return CrystalBatch(
            ids=tuple(self._ids),
            lattices=np.reshape(self._lattices, (-1, 3, 3)),
            pbc=np.reshape(self._pbc, (-1, 3)),
            site_offsets=np.array(self._site_offsets),
            frac_coords=np.concatenate([np.empty((0, 3)), *self._frac_coords]),
            asymmetric_index=np.concatenate([[], *self._asymmetric_index]),
            species_offsets=np.array(self._species_offsets),
            atomic_numbers=species[:, 0].astype(np.uint8),
            occupancies=species[:, 1],
            oxidation_states=species[:, 2],
        )


def _listed(items: Any, ids: Sequence[str] | None, *, single: bool) -> tuple[list[Any], list[str]]:
    """One crystal or several as a list, with names."""
    listed = [items] if single else list(items)
    names = [str(k) for k in range(len(listed))] if ids is None else list(ids)
    if len(names) != len(listed):
        raise ValueError(f"{len(names)} ids for {len(listed)} crystals")
    return listed, names


def from_pymatgen(
    structures: Structure | Iterable[Structure], ids: Sequence[str] | None = None
) -> CrystalBatch:
    """Take crystals from pymatgen; see :meth:`CrystalBatch.from_pymatgen`."""
    core = import_extra("pymatgen.core")
    builder = _Builder()
    single = isinstance(structures, core.IStructure | core.Structure)
    for structure, name in zip(*_listed(structures, ids, single=single), strict=True):
        sites = [
            [_pymatgen_species(species, occupancy) for species, occupancy in site.species.items()]
            for site in structure
        ]
        index = None
        equivalent = getattr(structure, "equivalent_indices", None)
        if equivalent is not None:
            index = np.empty(len(structure), dtype=np.int32)
            for k, members in enumerate(equivalent):
                index[members] = k
        lattice = structure.lattice
        coords = np.asarray(structure.frac_coords, dtype=np.float64)
        builder.add(name, np.array(lattice.matrix), lattice.pbc, coords, sites, index)
    return builder.build()


def _pymatgen_species(species: Any, occupancy: float) -> Species:
    if not 1 <= species.Z <= 118:
        raise ValueError(f"{species} is no element; remove dummy species first")
    charge = getattr(species, "oxi_state", None)
    return species.Z, float(occupancy), np.nan if charge is None else float(charge)


def to_pymatgen(batch: CrystalBatch) -> list[Structure]:
    """Give crystals to pymatgen; see :meth:`CrystalBatch.to_pymatgen`."""
    core = import_extra("pymatgen.core")
    structures = []
    for crystal in _crystals(batch):
        species = [
            {_to_pymatgen_species(core, z, charge): occupancy for z, occupancy, charge in site}
            for site in crystal.sites
        ]
        lattice = core.Lattice(crystal.lattice, pbc=tuple(map(bool, crystal.pbc)))
        structures.append(core.Structure(lattice, species, crystal.frac_coords))
    return structures


def _to_pymatgen_species(core: Any, z: int, charge: float) -> Any:
    element = core.Element.from_Z(z)
    return element if np.isnan(charge) else core.Species(element.symbol, charge)


def from_ase(atoms: Atoms | Iterable[Atoms], ids: Sequence[str] | None = None) -> CrystalBatch:
    """Take crystals from ASE; see :meth:`CrystalBatch.from_ase`."""
    ase = import_extra("ase")
    builder = _Builder()
    single = isinstance(atoms, ase.Atoms)
    for one, name in zip(*_listed(atoms, ids, single=single), strict=True):
        if np.any(one.pbc & ~one.cell.any(1)):
            raise ValueError(f"{name}: a periodic direction has no lattice vector")
        lattice = np.array(one.cell.complete())
        if np.linalg.det(lattice) == 0:
            raise ValueError(f"{name}: the lattice vectors span no volume")
        coords = np.linalg.solve(lattice.T, one.positions.T).T
        kinds = one.arrays.get("spacegroup_kinds")
        sites = _ase_sites(one, kinds)
        builder.add(name, lattice, one.pbc, coords, sites, kinds)
    return builder.build()


def _ase_sites(atoms: Atoms, kinds: NDArray[np.int32] | None) -> list[list[Species]]:
    """Species of each site; of a disordered one from ``info``, as ASE's CIF reader does."""
    data = import_extra("ase.data")
    numbers = atoms.numbers
    if np.any((numbers < 1) | (numbers > 118)):
        raise ValueError("an atom is no element; remove dummy atoms (X) first")
    charges = atoms.arrays.get("oxidation_states", np.full(len(atoms), np.nan))
    occupancies = atoms.info.get("occupancy")
    if occupancies is None or kinds is None:
        return [[(int(z), 1.0, float(q))] for z, q in zip(numbers, charges, strict=True)]
    charges_of_kind = atoms.info.get("oxidation_states", {})
    sites = []
    for kind in map(str, kinds):
        states = charges_of_kind.get(kind, {})
        site = occupancies[kind].items()
        sites.append(
            [(data.atomic_numbers[s], float(x), float(states.get(s, np.nan))) for s, x in site]
        )
    return sites


def to_ase(batch: CrystalBatch) -> list[Atoms]:
    """Give crystals to ASE; see :meth:`CrystalBatch.to_ase`."""
    ase = import_extra("ase")
    symbols = import_extra("ase.data").chemical_symbols
    result = []
    for crystal in _crystals(batch):
        main = [max(site, key=lambda entry: entry[1]) for site in crystal.sites]
        atoms = ase.Atoms(
            numbers=[entry[0] for entry in main],
            scaled_positions=crystal.frac_coords,
            cell=crystal.lattice,
            pbc=crystal.pbc,
        )
        charges = np.array([entry[2] for entry in main])
        if not np.isnan(charges).all():
            atoms.set_array("oxidation_states", charges)
        index = crystal.asymmetric_index
        known = bool(np.all(index >= 0))
        disordered = any(len(site) > 1 or site[0][1] != 1.0 for site in crystal.sites)
        if known or disordered:
            kinds = index if known else np.arange(len(main), dtype=np.int32)
            atoms.set_array("spacegroup_kinds", kinds)
        if disordered:
            by_kind = dict(zip(map(str, kinds), crystal.sites, strict=True))
            occupancy: dict[str, dict[str, float]] = {}
            states: dict[str, dict[str, float]] = {}
            for kind, site in by_kind.items():
                occupancy[kind], states[kind] = {}, {}
                for z in sorted({entry[0] for entry in site}):
                    amounts = [entry[1] for entry in site if entry[0] == z]
                    values = [entry[2] for entry in site if entry[0] == z]
                    occupancy[kind][symbols[z]] = sum(amounts)
                    states[kind][symbols[z]] = float(np.average(values, weights=amounts))
            atoms.info["occupancy"] = occupancy
            atoms.info["oxidation_states"] = states
        result.append(atoms)
    return result


class _Crystal:
    """One crystal of a batch as plain lists."""

    def __init__(self, batch: CrystalBatch, k: int) -> None:
        first, end = batch.site_offsets[k], batch.site_offsets[k + 1]
        self.lattice = batch.lattices[k]
        self.pbc = batch.pbc[k]
        self.frac_coords = batch.frac_coords[first:end]
        self.asymmetric_index = batch.asymmetric_index[first:end]
        self.sites: list[list[Species]] = []
        for site in range(first, end):
            entries = slice(batch.species_offsets[site], batch.species_offsets[site + 1])
            self.sites.append(
                list(
                    zip(
                        batch.atomic_numbers[entries].tolist(),
                        batch.occupancies[entries].tolist(),
                        batch.oxidation_states[entries].tolist(),
                        strict=True,
                    )
                )
            )


def _crystals(batch: CrystalBatch) -> list[_Crystal]:
    return [_Crystal(batch, k) for k in range(len(batch))]
