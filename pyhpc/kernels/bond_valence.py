"""Bond-valence sums and the global instability index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyhpc import _kernels
from pyhpc.kernels.result import KernelResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyhpc.crystals import CrystalBatch


@dataclass(frozen=True, eq=False, kw_only=True)
class BondValence(KernelResult):
    """Bond-valence sums.

    Attributes
    ----------
    sums : array, shape (n_sites,), float64
        What the bonds of each site sum to, in valence units, positive; the mean over the species
        of the site, weighted by occupancy.
    expected : array, shape (n_sites,), float64
        What they would sum to without strain: the mean absolute oxidation state. The mismatch of
        a site is ``abs(expected - sums)``.
    estimated : array, shape (n_sites,), float64
        Fraction of each sum that rests on parameters that were not fitted to the pair of ions.
    gii : array, shape (n_crystals,), float64
        Global instability index: root mean square of ``sums - expected`` over the charged sites,
        weighted by occupancy, in valence units. Below 0.2 in most sound crystals.
    """

    sums: NDArray[np.float64]
    expected: NDArray[np.float64]
    estimated: NDArray[np.float64]
    gii: NDArray[np.float64]


def bond_valence_sums(
    batch: CrystalBatch,
    *,
    cutoff: float = 6.0,
    parameters: Literal["brown2020", "okeeffe_brese"] = "brown2020",
    b: float | None = None,
    threads: int | None = None,
) -> BondValence:
    """Sum the bond valences ``s = exp((R0 - R) / b)`` at each site [1]_.

    Bonds are all pairs of species with oxidation states of opposite sign that are closer than the
    cutoff. A neighbour counts with its occupancy. Two sites in part occupied, together at most
    once, and closer than 1 angstrom (0.7 with hydrogen) are alternatives of one disordered site
    and no bond.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat, with oxidation states (see ``assign_oxidation_states``).
    cutoff : float, default 6.0
        Longest bond in angstrom.
    parameters : {"brown2020", "okeeffe_brese"}
        Where R0 and b of a pair of ions come from. ``"brown2020"`` takes the first of: the pair's
        own in Brown's accumulated table [2]_, for the charge of the cation (rounded), then for an
        unspecified charge; an estimate from the elements [3]_ with b = 0.37 angstrom; the table's
        for the nearest other charge of the cation. The charge of the anion does not enter.
        ``"okeeffe_brese"`` takes the estimate from the elements for all pairs.
    b : float, optional
        With ``parameters="okeeffe_brese"`` only: softness in angstrom, by default the published
        0.37; pymatgen's ``BVAnalyzer`` uses 0.31 with the same R0.
    threads : int, optional
        Number of threads.

    Returns
    -------
    BondValence
        A crystal fails if an oxidation state is unknown (``missing_oxidation_states``), no two
        species have opposite charges (``no_ion_pairs``), or a pair of ions is in no table
        (``missing_bond_parameters``).

    Raises
    ------
    BatchError
        If the batch is malformed or a parameter makes no sense.

    Notes
    -----
    Sites that the batch's ``asymmetric_index`` calls the same by symmetry are computed once, unless
    their species or oxidation states differ.

    References
    ----------
    .. [1] I. D. Brown, D. Altermatt, Acta Cryst. B41, 244 (1985), doi:10.1107/S0108768185002063.
    .. [2] I. D. Brown, Accumulated table of bond valence parameters (2020),
       https://www.iucr.org/resources/data/datasets/bond-valence-parameters.
    .. [3] M. O'Keeffe, N. E. Brese, J. Am. Chem. Soc. 113, 3226 (1991), doi:10.1021/ja00009a002.
    """
    return BondValence(**_kernels.bond_valence_sums(batch, cutoff, parameters, b, threads))
