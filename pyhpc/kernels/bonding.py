"""Bonds by distance: numbers, lengths, angles, ends, strength."""

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
class BondStatistics(KernelResult):
    """Bonds of each crystal.

    The columns of a statistic are mean, standard deviation (of the population), minimum and
    maximum, NaN where there is nothing that they could be of. Sites are weighted by their
    occupancy, bonds by the occupancies of both ends, angles by those of all three sites.

    Attributes
    ----------
    coordination_numbers : array, shape (n_crystals, 4), float64
        Bonds of a site: the occupancies at their other ends. 0 at a site without a bond.
    lengths : array, shape (n_crystals, 4), float64
        In angstrom.
    relative_lengths : array, shape (n_crystals, 4), float64
        Length over the sum of the radii of both ends.
    angles : array, shape (n_crystals, 4), float64
        Between each two bonds of a site, in degrees. No angles are formed at a site with more than
        256 bonds.
    electronegativity_differences : array, shape (n_crystals, 4), float64
        Absolute difference between the ends of a bond.
    n_bonds : array, shape (n_crystals,), float64
        Bonds in the cell, each counted once.
    unlike_fractions : array, shape (n_crystals,), float64
        Fraction of the bonds whose ends hold different elements; NaN without bonds.
    bond_orders : array, shape (n_crystals,), float64
        Sum of the bond orders in the cell, each pair counted once.
    """

    coordination_numbers: NDArray[np.float64]
    lengths: NDArray[np.float64]
    relative_lengths: NDArray[np.float64]
    angles: NDArray[np.float64]
    electronegativity_differences: NDArray[np.float64]
    n_bonds: NDArray[np.float64]
    unlike_fractions: NDArray[np.float64]
    bond_orders: NDArray[np.float64]


def bond_statistics(
    batch: CrystalBatch,
    radii: ArrayLike,
    electronegativities: ArrayLike,
    *,
    bond_factor: float = 1.3,
    anion_factor: float = 1.1,
    threads: int | None = None,
) -> BondStatistics:
    """Find the bonds of each site by distance, and what they are like.

    Two sites are bonded that are closer than ``bond_factor`` times the sum of their radii. Two
    anions are bonded only below ``anion_factor`` times the sum, as in peroxides and pyrite: in
    close packings they touch without a bond. Two cations are not bonded: the covalent radii of
    electropositive elements reach far beyond their ions, and by distance alone caesium in CsCl
    would be bonded to caesium. The charge of a site is the mean of its oxidation states; where that
    is 0 or unknown, the site is neither anion nor cation.

    The order of a pair of sites at distance d is ``exp((r_i + r_j - d) / 0.37)``, in angstrom: the
    relation of bond order and length of Pauling [1]_, with the softness of bond valences. It exists
    for metals, too, and does not jump where a bond ends. It is summed over all pairs, except those
    of two cations and those below 0.01.

    A site with several species has the mean of their radii and electronegativities. Two sites that
    are alternatives of one disordered site (see :func:`~pyhpc.kernels.voronoi`) are not bonded, and
    bonds to them form no angle.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat, with oxidation states (see ``assign_oxidation_states``).
    radii : array, shape (118,)
        Radius of each element in angstrom, up to 5; NaN where it is unknown.
    electronegativities : array, shape (118,)
        Electronegativity of each element; NaN where it is unknown, which makes the differences of
        its crystals NaN.
    bond_factor, anion_factor : float
        Longest bond, and longest bond of two anions, over the sum of radii, from 0 to 3.
    threads : int, optional
        Number of threads.

    Returns
    -------
    BondStatistics
        A crystal fails if the radius of an element is unknown (``missing_radius``) or there are too
        many atoms within the length of a bond (``too_many_pairs``).

    Raises
    ------
    BatchError
        If the batch is malformed, an array has another length, or a parameter makes no sense.

    Notes
    -----
    Sites with the same ``asymmetric_index`` are computed once, unless their species or oxidation
    states differ.

    References
    ----------
    .. [1] L. Pauling, J. Am. Chem. Soc. 69, 542 (1947), doi:10.1021/ja01195a024.
    """
    found = _kernels.bond_statistics(
        batch,
        np.ascontiguousarray(radii, dtype=np.float64),
        np.ascontiguousarray(electronegativities, dtype=np.float64),
        float(bond_factor),
        float(anion_factor),
        threads,
    )
    return BondStatistics(**found)
