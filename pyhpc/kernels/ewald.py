"""Electrostatic energies of sites by Ewald's method."""

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
class Ewald(KernelResult):
    """Electrostatic energies of point charges in eV.

    Attributes
    ----------
    site_energies : array, shape (n_sites,), float64
        Energy ``q_i phi_i / 2`` of each site, so that those of a crystal sum to its total energy.
    total_energies : array, shape (n_crystals,), float64
        Energy of each crystal, per cell.
    error_bounds : array, shape (n_crystals,), float64
        No site energy of the crystal is further than this from the exact one of the given lattice,
        coordinates and charges: a rigorous bound on what the cutoffs leave out and on what a mesh
        adds, plus an estimate of rounding errors (about 1e-12 of the energies).
        The error of a total energy is at most the number of its sites times this. Where sites are
        declared the same by symmetry, what their coordinates deviate from it is not included.
    net_charges : array, shape (n_crystals,), float64
        Charge of each cell in units of e. Where it is not 0, the energies include the uniform
        background that neutralizes the cell.
    alphas : array, shape (n_crystals,), float64
        Splitting parameter in 1/angstrom, that of the Gaussian about as wide as the window; NaN
        where there are no charges.
    real_cutoffs, reciprocal_cutoffs : array, shape (n_crystals,), float64
        Longest pair in angstrom and longest wave vector in 1/angstrom (with the factor 2 pi) that
        were summed; NaN likewise.
    mesh_sizes : array, shape (n_crystals, 3), int64
        Points of the mesh along the vectors of a reduced cell; 0 where there was none.
    real_energies, reciprocal_energies, self_energies, background_energies : array, optional
        Parts of the site energies, each of shape (n_sites,), if they were asked for. The first
        three depend on how the sum was split, and the background does too.
    """

    site_energies: NDArray[np.float64]
    total_energies: NDArray[np.float64]
    error_bounds: NDArray[np.float64]
    net_charges: NDArray[np.float64]
    alphas: NDArray[np.float64]
    real_cutoffs: NDArray[np.float64]
    reciprocal_cutoffs: NDArray[np.float64]
    mesh_sizes: NDArray[np.int64]
    real_energies: NDArray[np.float64] | None = None
    reciprocal_energies: NDArray[np.float64] | None = None
    self_energies: NDArray[np.float64] | None = None
    background_energies: NDArray[np.float64] | None = None


def ewald_site_energies(
    batch: CrystalBatch,
    accuracy: float = 1e-8,
    *,
    alpha: float | None = None,
    method: Literal["auto", "direct", "mesh"] = "auto",
    parts: bool = False,
    threads: int | None = None,
) -> Ewald:
    r"""Compute the electrostatic energy of each site of crystals of point charges.

    A site carries the mean charge of its species, the sum of occupancy times oxidation state.
    Sites that share an ``asymmetric_index`` (and their charges) are computed once.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat, with an oxidation state for each species.
    accuracy : float, default 1e-8
        Largest error of any site energy, relative to the energy of the mean square charge at the
        mean distance of the charges, ``k_e <q^2> (n / V)^(1/3)``, which is about the magnitude of
        a site energy. From 1e-14 to 0.1.
    alpha : float, optional
        Splitting parameter in 1/angstrom, that of the Gaussian about as wide as the window (see
        Notes); by default the one that costs least. The energies do not depend on it, beyond their
        errors.
    method : {"auto", "direct", "mesh"}, default "auto"
        How the reciprocal part is computed: wave by wave, in a time that grows as the number of
        sites to the power of 3/2, or on a particle mesh [3]_, as n log n; by default in the way
        that is expected to take less time. The energies do not depend on it, beyond their errors.
    parts : bool, default False
        Whether to return the parts of the site energies too.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Ewald
        Energies in eV; NaN for a crystal that fails. Crystals without any charge have energies of
        exactly 0.

    Raises
    ------
    BatchError
        If the batch is malformed or a parameter makes no sense.
    ValueError
        If there is no such method.

    Notes
    -----
    With the charges :math:`q_j` in units of e, the energy of site :math:`i` is

    .. math::
        E_i = \frac{k_e q_i}{2} \Bigl[ \sum_{j, \mathbf{L}}'
        q_j \Bigl( \frac{1}{r} - L(r) \Bigr)
        + \frac{4 \pi}{V} \sum_{\mathbf{k} \ne 0} \frac{F(k r_c)}{k^2}
        \operatorname{Re} S^*(\mathbf{k}) e^{i \mathbf{k} \mathbf{r}_i}
        - q_i L(0) - \frac{2 \pi Q r_c^2}{V} \langle x^2 \rangle \Bigr]

    with :math:`k_e = e^2 / 4 \pi \epsilon_0` = 14.3996454784 eV angstrom (CODATA 2018) [1]_. The
    last term is the background of a cell of charge Q [2]_. Energies are those of
    ``EwaldSummation.get_site_energy`` of pymatgen, except in a charged cell, where pymatgen has
    the background in the total energy only.

    The interaction is split by a window, an even function :math:`h(x)` on [-1, 1]:
    :math:`L(r) = (2 / r) \int_0^{r / r_c} h / \int_{-1}^1 h` is equal to :math:`1 / r` beyond the
    real cutoff :math:`r_c`, F is the Fourier transform of h over its value at 0, and
    :math:`\langle x^2 \rangle` its second moment. Ewald's window is a Gaussian, which has to be cut
    in both spaces. Here it is that of Kaiser and Bessel, :math:`h = s I_1(\beta s)` with
    :math:`s^2 = 1 - x^2`, which takes half as many pairs and waves for the same accuracy, as
    prolate functions do [4]_; ``alphas`` are :math:`\sqrt{\beta / 2} / r_c`.

    A crystal fails with status ``missing_oxidation_states``, ``not_periodic`` (in all three
    directions), ``coincident_sites`` (two charged sites closer than 0.01 angstrom; alternatives of
    a disordered site at larger distances interact with their mean charges) or
    ``too_many_ewald_terms`` (which a sensible ``alpha`` avoids).

    References
    ----------
    .. [1] P. P. Ewald, Ann. Phys. 369, 253 (1921), doi:10.1002/andp.19213690304.
    .. [2] M. Leslie and M. J. Gillan, J. Phys. C: Solid State Phys. 18, 973 (1985),
       doi:10.1088/0022-3719/18/5/005.
    .. [3] U. Essmann et al., J. Chem. Phys. 103, 8577 (1995), doi:10.1063/1.470117; splines of
       order 16.
    .. [4] J. Liang, L. Lu, A. Barnett, L. Greengard and S. Jiang, arXiv:2505.09727 (2025).
    """
    return Ewald(**_kernels.ewald_site_energies(batch, accuracy, alpha, method, parts, threads))
