"""Voronoi cells: volumes, coordination numbers, faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc import _kernels
from pyhpc.kernels.result import KernelResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from pyhpc.crystals import CrystalBatch


@dataclass(frozen=True, eq=False, kw_only=True)
class VoronoiFaces:
    """Faces of the cells, by site and then by the distance of the neighbour.

    Attributes
    ----------
    i, j : array, shape (n_faces,), int64
        Site of the cell and the neighbour behind the face, counted over the whole batch.
    shifts : array, shape (n_faces, 3), int32
        Lattice translation of ``j``: ``r_ij = r_j - r_i + shifts @ lattice``.
    distances : array, shape (n_faces,), float64
        Length of ``r_ij`` in angstrom; the plane of the face is half-way.
    areas : array, shape (n_faces,), float64
        In square angstrom.
    solid_angles : array, shape (n_faces,), float64
        Seen from ``i``, in steradian; those of a cell sum to 4 pi.
    occupancies : array, shape (n_faces,), float64
        What the face counts for in a coordination number: the occupancy of ``j`` and of its
        alternatives at the very same place.
    site_offsets : array, shape (n_chosen + 1,), int64
        First face of each chosen site.
    """

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    shifts: NDArray[np.int32]
    distances: NDArray[np.float64]
    areas: NDArray[np.float64]
    solid_angles: NDArray[np.float64]
    occupancies: NDArray[np.float64]
    site_offsets: NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Voronoi(KernelResult):
    """Voronoi cells of the chosen sites, in their order in the batch.

    Attributes
    ----------
    sites : array, shape (n_chosen,), int64
        The chosen sites, counted over the whole batch.
    volumes : array, shape (n_chosen,), float64
        In cubic angstrom. The cells of a crystal sum to its volume, unless alternatives of a
        disordered site, whose cells overlap, were set apart.
    coordination_numbers : dict of float to array, shape (n_chosen,), float64
        For each threshold, the occupancies of the neighbours behind the faces whose solid angle,
        relative to the largest of the cell, exceeds it: whole numbers in an ordered crystal.
    effective_coordination_numbers : array, shape (n_chosen,), float64
        ``(sum w)^2 / sum w^2`` over the solid angles w of the faces, each counted with the
        occupancy of its neighbour: the number of faces, if all were equal, else less. Continuous
        in the positions of the sites.
    inscribed_radii : array, shape (n_chosen,), float64
        Radius of the largest sphere around the site that fits into the cell, in angstrom.
    faces : VoronoiFaces or None
        If they were asked for.
    """

    sites: NDArray[np.int64]
    volumes: NDArray[np.float64]
    coordination_numbers: dict[float, NDArray[np.float64]]
    effective_coordination_numbers: NDArray[np.float64]
    inscribed_radii: NDArray[np.float64]
    faces: VoronoiFaces | None


def voronoi(
    batch: CrystalBatch,
    sites: ArrayLike | None = None,
    *,
    thresholds: Sequence[float] = (0.0, 0.1, 0.25, 0.5),
    alternatives: bool = True,
    faces: bool = False,
    threads: int | None = None,
) -> Voronoi:
    """Cut the Voronoi cell of each site.

    A cell is cut by the planes half-way to the neighbours until no farther neighbour can reach it,
    in any lattice. A face below 1e-9 of the largest solid angle of its cell counts as rounding and
    is left out, and one within 1e-6 of a threshold does not exceed it. At threshold 0 a
    coordination number still depends on faces as small as the last digits of the coordinates,
    where the crystal has more than four cells meeting in a point; a threshold of 0.1 or more does
    not.

    Two sites that are both partially occupied, by at most one atom together, and closer than 1
    angstrom (0.7 with hydrogen) are alternatives of one another: neither cuts the other's cell.
    Alternatives at the very same place (closer than 1e-3 angstrom) are one neighbour of the other
    cells, with their occupancies added; farther apart they are neighbours each, and one that is
    hidden behind the other counts for nothing.

    Sites with the same ``asymmetric_index`` are computed once, unless faces are asked for.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat.
    sites : array, shape (n_sites,), bool, optional
        Which sites to treat, by default all.
    thresholds : sequence of float
        Smallest solid angles that count, relative to the largest of the cell, from 0 to below 1.
    alternatives : bool
        False for a plain tessellation of all sites.
    faces : bool
        Whether the faces are listed.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Voronoi
        NaN, and no faces, for the sites of a crystal whose status is not 0: ``not_periodic``,
        ``coincident_sites`` (closer than 1e-3 angstrom and not alternatives), ``too_many_pairs``
        (a lattice close to flat), ``voronoi_volume`` or ``voronoi_solid_angle`` (the cells do not
        fill the crystal, or the faces of a cell not the sphere, to 1e-6), ``degenerate_cell``.

    Raises
    ------
    BatchError
        If the batch is malformed, the mask has another length, or a parameter makes no sense.

    Notes
    -----
    Solid angles and their use as weights follow M. O'Keeffe, Acta Cryst. A35, 772 (1979),
    10.1107/S0567739479001765, as does pymatgen's ``VoronoiNN(tol=threshold)``.
    """
    mask = None if sites is None else np.ascontiguousarray(sites)
    if mask is not None and mask.dtype != np.bool_:
        raise _kernels.BatchError(f"sites has dtype {mask.dtype}, expected bool")
    result = _kernels.voronoi(
        batch, mask, [float(t) for t in thresholds], alternatives, faces, threads
    )
    listed = result.pop("faces", None)
    return Voronoi(**result, faces=None if listed is None else VoronoiFaces(**listed))
