"""Plain, slow and independent: what the kernels and their peers are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.kernels import COULOMB_CONSTANT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc import CrystalBatch

REACH = 6.3
"""Cutoffs of the Ewald sums in units of the Gaussians' widths; ``erfc`` is 5e-19 there."""

PAIRS_AT_ONCE = 2_000_000


def site_charges(one: CrystalBatch) -> NDArray[np.float64]:
    """Mean charge of each site of one crystal."""
    return np.bincount(
        one.species_sites, one.occupancies * one.oxidation_states, minlength=one.n_sites
    )


def energy_scale(one: CrystalBatch) -> float:
    """Energy that the accuracy of site energies is relative to (see ``ewald_site_energies``)."""
    charges = site_charges(one)
    n_charged = np.count_nonzero(charges)
    volume = abs(np.linalg.det(one.lattices[0]))
    mean_square = (charges**2).sum() / max(n_charged, 1)
    return float(COULOMB_CONSTANT * mean_square * (n_charged / volume) ** (1 / 3))


def ewald_site_energies(
    one: CrystalBatch, sites: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Site energies in eV of one crystal, both sums converged to rounding; by default of all sites.

    The background that neutralizes a charged cell is included.
    """
    from scipy.special import erfc

    lattice = one.lattices[0]
    charges = site_charges(one)
    sites = np.arange(one.n_sites) if sites is None else sites
    volume = abs(np.linalg.det(lattice))
    alpha = np.sqrt(np.pi) * (one.n_sites / volume**2) ** (1 / 6)
    cart = one.frac_coords @ lattice
    phi = -2 * alpha / np.sqrt(np.pi) * charges[sites]
    phi -= np.pi * charges.sum() / (volume * alpha**2)

    images = _points_within(lattice, REACH / alpha + _diameter(lattice)) @ lattice
    for row, site in enumerate(sites):
        delta = cart - cart[site]
        for start in range(0, len(images), block := max(1, PAIRS_AT_ONCE // one.n_sites)):
            vectors = delta[None] + images[start : start + block, None]
            r = np.sqrt((vectors**2).sum(-1))
            weight = np.broadcast_to(charges, r.shape)
            near = (r > 1e-9) & (r < REACH / alpha)
            phi[row] += (weight[near] * erfc(alpha * r[near]) / r[near]).sum()

    reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
    miller = _points_within(reciprocal, 2 * REACH * alpha)
    miller = miller[np.any(miller != 0, axis=1)]
    for start in range(0, len(miller), block := max(1, PAIRS_AT_ONCE // one.n_sites)):
        k = miller[start : start + block] @ reciprocal
        k2 = (k**2).sum(1)
        factors = np.exp(-1j * (k @ cart.T)) @ charges
        weights = 4 * np.pi / volume * np.exp(-k2 / (4 * alpha**2)) / k2
        phi += ((weights * factors) @ np.exp(1j * (k @ cart[sites].T))).real
    return 0.5 * COULOMB_CONSTANT * charges[sites] * phi


def voronoi_volume(one: CrystalBatch, site: int) -> float:
    """Volume of the Voronoi cell of one site, by Qhull over all neighbours that may cut it."""
    from scipy.spatial import ConvexHull, Voronoi

    lattice = one.lattices[0]
    cart = one.frac_coords @ lattice
    reach = 2 * (20 * abs(np.linalg.det(lattice)) / one.n_sites) ** (1 / 3)
    while True:
        images = _points_within(lattice, reach + _diameter(lattice)) @ lattice
        around = (cart[None] - cart[site] + images[:, None]).reshape(-1, 3)
        distances = np.linalg.norm(around, axis=1)
        order = np.argsort(distances)[: np.count_nonzero(distances <= reach)]
        diagram = Voronoi(around[order])
        corners = diagram.regions[diagram.point_region[0]]
        if corners and -1 not in corners:
            vertices = diagram.vertices[corners]
            # What is further than twice the furthest corner can't cut the cell.
            if 2 * np.linalg.norm(vertices, axis=1).max() <= reach:
                return float(ConvexHull(vertices).volume)
        reach *= 1.5


def _points_within(rows: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """Whole numbers ``n`` with ``|n @ rows| <= radius``, shape (n_points, 3)."""
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(rows), axis=0)).astype(int)
    axes = [np.arange(-n, n + 1) for n in reach]
    n = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    return n[np.linalg.norm(n @ rows, axis=1) <= radius]


def _diameter(lattice: NDArray[np.float64]) -> float:
    """Longest difference of two points of the cell at the origin and of sites close to it."""
    return float(1.5 * np.abs(lattice).sum(axis=0).max() * np.sqrt(3))
