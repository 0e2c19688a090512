"""Surroundings of the sites of one ion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc import _kernels
from pyhpc.kernels.result import KernelResult

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pyhpc.crystals import CrystalBatch


@dataclass(frozen=True, eq=False, kw_only=True)
class IonEnvironments(KernelResult):
    """What surrounds each site that the ion fills, at least in part.

    Attributes
    ----------
    sites : array, shape (n_ion_sites,), int64
        Sites of the ion, counted over the whole batch, ascending.
    amounts : array, shape (n_ion_sites,), float64
        Occupancy of the site by the ion.
    ion_distances : array, shape (n_ion_sites,), float64
        Distance to the nearest site of the same ion, in angstrom. Alternatives of one disordered
        site (partly occupied, too close to be filled at once) are no neighbours.
    anion_distances : array, shape (n_ion_sites,), float64
        Distance to the nearest site that holds an anion, in angstrom.
    coordination_numbers : array, shape (n_ion_sites,), float64
        Anions closer than their bond cutoff, weighted by their occupancy.
    """

    sites: NDArray[np.int64]
    amounts: NDArray[np.float64]
    ion_distances: NDArray[np.float64]
    anion_distances: NDArray[np.float64]
    coordination_numbers: NDArray[np.float64]


def ion_environments(
    batch: CrystalBatch,
    atomic_number: int,
    bond_cutoffs: ArrayLike,
    anions: ArrayLike,
    *,
    threads: int | None = None,
) -> IonEnvironments:
    """Find the nearest like ion, the nearest anion and the anion coordination of an ion's sites.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat. An anion is what carries a negative oxidation state, whatever its
        element (the hydrogen of a borohydride, but not the sulfur of a sulfate).
    atomic_number : int
        Element of the ion, 1 to 118.
    bond_cutoffs : array, shape (118,)
        Length below which an anion of each element (Z = 1 ... 118) counts as bonded to the ion,
        in angstrom; 0 for elements that are never taken for anions.
    anions : array, shape (118,), bool
        Elements that are anions where their oxidation state is 0 or unknown.
    threads : int, optional
        Number of threads.

    Returns
    -------
    IonEnvironments
        One entry per site of the ion. Distances are NaN where there is no such neighbour within
        20 angstrom.

    Raises
    ------
    BatchError
        If the batch is malformed, or there are not 118 cutoffs from 0 to 20 and 118 anions.
    """
    cutoffs = np.ascontiguousarray(bond_cutoffs, dtype=np.float64)
    mask = np.ascontiguousarray(anions, dtype=np.bool_)
    found = _kernels.ion_environments(batch, atomic_number, cutoffs, mask, threads)
    return IonEnvironments(**found)
