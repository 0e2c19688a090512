"""Oxidation states."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from pyhpc import _kernels
from pyhpc.kernels.result import KernelResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyhpc.crystals import CrystalBatch


class ValenceMethod(IntEnum):
    """Where the charges of a crystal come from; lower-case names are the words of the ledger."""

    UNASSIGNED = 0
    """Nothing was found."""
    STATED = 1
    """The input states them all."""
    BOND_VALENCE = 2
    """Most probable by bond-valence sums; charges that the input states are kept."""
    COMPOSITION = 3
    """Most probable whole charges of the composition, one per element."""
    MIXED_VALENCE = 4
    """As COMPOSITION, but one element has a fractional mean charge."""
    NEUTRAL = 5
    """All zero: an element, an alloy, an intermetallic compound."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Valences(KernelResult):
    """Charges of the atoms of each crystal.

    Attributes
    ----------
    oxidation_states : array, shape (n_species,), float64
        Charge of each species entry in units of e, NaN where none were found.
    method : array, shape (n_crystals,), uint8
        :class:`ValenceMethod` of each crystal.
    margin : array, shape (n_crystals,), float64
        Natural logarithm of the ratio of probabilities of the assignment and the next one found by
        the same method (or, for COMPOSITION, MIXED_VALENCE and NEUTRAL, all zero against charged).
        Infinite where there is no other, NaN where nothing was compared (STATED, a crystal of one
        element).
    net_charge : array, shape (n_crystals,), float64
        Sum of occupancy times charge, in units of e. Stated charges are kept even if they do not
        sum to zero: this is where it shows.
    """

    oxidation_states: NDArray[np.float64]
    method: NDArray[np.uint8]
    margin: NDArray[np.float64]
    net_charge: NDArray[np.float64]


def assign_oxidation_states(
    batch: CrystalBatch,
    *,
    distance_scale: float = 1.015,
    neutrality_tolerance: float = 0.01,
    outlier_fraction: float = 0.0,
    threads: int | None = None,
) -> Valences:
    """Assign a charge to each species entry.

    Charges that the input states are kept: if it states all, there is nothing to do. The others
    are the most probable neutral choice under the model of pymatgen's ``BVAnalyzer`` [1]_. Each
    group of equivalent sites has one factor: the Gaussian, with mean and standard deviation from
    the ICSD, of its bond-valence sum (parameters of O'Keeffe and Brese [2]_ with b = 0.31 angstrom,
    bonds up to 4 angstrom, weighted by the occupancies of both ends) times how often the ICSD
    holds the element in that state. The optimum and the runner-up are found exactly, by dynamic
    programming over the sum of charges.

    Sites are equivalent where `asymmetric_index` says so, or where they hold the same species and
    their bond-valence sums differ by at most 0.005 (a tolerance that is doubled until an element
    has no more than 24 groups). States less than 1% as probable as a site's best one, or 0.1% where
    nothing else is neutral, are not tried. Charges of one element differ by at most 1, and an anion
    of two charges counts as ten times less probable than one of a single charge; larger differences
    (NH4NO3) are accepted where they are a thousand times as probable as that and within a factor of
    ten of the best states of all sites, neutral or not.

    Where no such choice is neutral, or an element has no parameters (Pt, Au, Os, Tc, the noble
    gases and actinides but Th and U), one charge per element is sought from the composition, by the
    share of each state among the element's ICSD entries [3]_: whole charges of at least 5%; else
    a fractional mean charge for one element, between states of at least 1%, zero among them for
    nonmetals that may bond to themselves and, at last, for metals. Zero for all wins where that is
    more probable and no two elements differ by 1.7 or more in electronegativity: an alloy.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat.
    distance_scale : float, default 1.015
        Factor on distances before bond valences are taken. The default is ``BVAnalyzer``'s, for
        structures relaxed with PBE; 1 is right for measured ones.
    neutrality_tolerance : float, default 0.01
        Net charge that still counts as neutral, in e per partly filled site, since occupancies are
        rounded. A choice within a tenth of it is preferred. Crystals without such sites are
        neutral exactly.
    outlier_fraction : float, default 0
        Share of bond-valence sums that are taken to say nothing of the charge (uniform over 15
        valence units). With 0 the model is ``BVAnalyzer``'s, which trusts every distance; with
        0.01, common charges are kept where coordinates are in error, such as P5+ with a P-O bond
        of 1.2 angstrom.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Valences
        Crystals without an answer have the status ``no_neutral_assignment``.

    Raises
    ------
    BatchError
        If the batch is malformed or a parameter is out of its range.

    References
    ----------
    .. [1] S. P. Ong et al., Comput. Mater. Sci. 68, 314 (2013), doi 10.1016/j.commatsci.2012.10.028
    .. [2] M. O'Keeffe, N. E. Brese, J. Am. Chem. Soc. 113, 3226 (1991), doi 10.1021/ja00009a002
    .. [3] D. W. Davies et al., J. Open Source Softw. 4, 1361 (2019), doi 10.21105/joss.01361
    """
    return Valences(
        **_kernels.assign_oxidation_states(
            batch, distance_scale, neutrality_tolerance, outlier_fraction, threads
        )
    )
