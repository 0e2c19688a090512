"""Space group, orbits and Wyckoff letters."""

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
class Symmetry(KernelResult):
    """Symmetry of each crystal.

    Attributes
    ----------
    numbers : array, shape (n_crystals,), int32
        Space group, 1 to 230; 0 where the search failed.
    orbits : array, shape (n_sites,), int64
        First site of the orbit that each site belongs to, counted from 0 within its crystal: two
        sites of a crystal are symmetrically equivalent where it is the same. -1 where the search
        failed.
    multiplicities : array, shape (n_sites,), int32
        Number of sites in that orbit, in the cell as given (of a primitive cell fewer than the
        Wyckoff position's conventional multiplicity); 0 where the search failed.
    exact_orbits : array, shape (n_sites,), int32
        The same under those operations alone that bring all atoms and lattice vectors within 1e-8
        angstrom of their images: what is computed for one site of the orbit holds for all. Where
        the batch's ``asymmetric_index`` makes fewer orbits, it is they. -1 where the search failed.
    wyckoffs : array, shape (n_sites,), str (``U1``)
        Wyckoff letters in the standard setting of the space group, ``a`` to ``z`` and ``A``; empty
        where the search failed, and everywhere if they were not asked for.
    symprec : array, shape (n_crystals,), float64
        Tolerance that the search ended with, in angstrom; NaN where it failed.
    """

    numbers: NDArray[np.int32]
    orbits: NDArray[np.int64]
    multiplicities: NDArray[np.int32]
    exact_orbits: NDArray[np.int32]
    wyckoffs: NDArray[np.str_]
    symprec: NDArray[np.float64]


def symmetry(
    batch: CrystalBatch,
    symprec: float = 1e-2,
    *,
    angle_tolerance: float | None = None,
    wyckoffs: bool = True,
    threads: int | None = None,
) -> Symmetry:
    """Find the space group of each crystal.

    The cell may be primitive or not, of either handedness, with sites outside it. The sites of a
    disordered crystal are told apart by their elements and occupancies (to 0.001); charges are
    not looked at. Where the search fails at the tolerance asked for, it is repeated at 0.5, 0.1, 2
    and 0.01 times that; within each attempt it also adapts the tolerance where operations found do
    not form a group. The one it ended with is in the result.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat, periodic in three directions.
    symprec : float
        How far an atom may be from its image under an operation, in angstrom.
    angle_tolerance : float, optional
        How far angles between lattice vectors may be off, in degrees; by default what `symprec`
        implies for vectors of their length.
    wyckoffs : bool, default True
        Whether to find the Wyckoff letters. Without them the search is several times faster, and
        the other results are the same.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Symmetry
        Crystals without an answer have the status ``symmetry_failed`` or ``not_periodic``.

    Raises
    ------
    BatchError
        If the batch is malformed or a tolerance is not positive.

    Notes
    -----
    Groups are named by moyo [1]_. Without Wyckoff letters the operations are searched by a faster
    implementation of its criteria, which are those of spglib [2]_; where the positions do not match
    them cleanly, and for Wyckoff letters, moyo does all.

    References
    ----------
    .. [1] K. Shinohara, moyo, https://github.com/spglib/moyo
    .. [2] A. Togo, K. Shinohara, I. Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024),
       doi 10.1080/27660400.2024.2384822
    """
    found = _kernels.symmetry(batch, symprec, angle_tolerance, wyckoffs, threads)
    # NumPy's U1 is one UTF-32 code, which the kernel writes as an integer; 0 is the empty string.
    return Symmetry(**found | {"wyckoffs": found["wyckoffs"].view("U1")})
