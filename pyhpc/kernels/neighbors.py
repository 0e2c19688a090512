"""Neighbours within a cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhpc import _kernels
from pyhpc.kernels.result import KernelResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyhpc.crystals import CrystalBatch


@dataclass(frozen=True, eq=False, kw_only=True)
class NeighborList(KernelResult):
    """Pairs of sites within a cutoff, crystal after crystal, sorted by ``i``.

    Attributes
    ----------
    i, j : array, shape (n_pairs,), int64
        Sites of the pair, counted over the whole batch.
    shifts : array, shape (n_pairs, 3), int32
        Lattice translation of ``j``: ``r_ij = r_j - r_i + shifts @ lattice``.
    distances : array, shape (n_pairs,), float64
        Length of ``r_ij`` in angstrom.
    crystal_offsets : array, shape (n_crystals + 1,), int64
        First pair of each crystal.
    """

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    shifts: NDArray[np.int32]
    distances: NDArray[np.float64]
    crystal_offsets: NDArray[np.int64]


def neighbor_list(
    batch: CrystalBatch, cutoff: float, *, threads: int | None = None
) -> NeighborList:
    """List all pairs of sites closer than a cutoff.

    Works in any lattice (skewed, thinner than the cutoff, left-handed), with mixed periodic
    directions and with sites outside the home cell. Images of a site with itself are included, the
    site with itself is not. Sites at one place (alternatives of a disordered site that the input
    lists apart) are pairs at distance 0.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat.
    cutoff : float
        Pairs strictly closer than this are listed, in angstrom.
    threads : int, optional
        Number of threads.

    Returns
    -------
    NeighborList
        The full list: each pair is there from both sides.

    Raises
    ------
    BatchError
        If the batch is malformed or the cutoff is not positive.
    """
    return NeighborList(**_kernels.neighbor_list(batch, cutoff, threads))
