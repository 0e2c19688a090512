"""What holds for a crystal in any format but CIF, whose reader checks as it expands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.kernels.neighbors import neighbor_list
from pyhpc.records import Outcome, Reason

if TYPE_CHECKING:
    from pyhpc.crystals.batch import CrystalBatch
    from pyhpc.crystals.limits import Limits

_MAX_FRAC_COORD = 1e6
"""Of what is larger, too few digits are left within the cell."""
_MIN_DISTANCE = 0.5
_MAX_OCCUPANCY = 1.02
"""Of two close sites together: positions of one disordered atom."""


def quarantined(code: str, message: str) -> Reason:
    """Give a reason why a record has no crystal."""
    return Reason(code, "parse", Outcome.QUARANTINED, message)


def out_of_bounds(batch: CrystalBatch, limits: Limits) -> Reason | None:
    """Say why the one crystal of a batch is not taken, None if it is."""
    if batch.n_sites == 0:
        return quarantined("no_sites", "no atoms")
    if batch.n_sites > limits.max_sites:
        message = f"{batch.n_sites} sites, more than {limits.max_sites}"
        return quarantined("too_many_sites", message)
    if not np.isfinite(batch.frac_coords).all() or not np.isfinite(batch.lattices).all():
        return quarantined("bad_number", "a coordinate or lattice vector is not finite")
    if np.abs(batch.frac_coords).max() > _MAX_FRAC_COORD:
        message = f"a fractional coordinate is {np.abs(batch.frac_coords).max():.3g}"
        return quarantined("bad_number", message)
    # Edges of 1e200 overflow, and no comparison with what comes out may pass.
    with np.errstate(over="ignore", invalid="ignore"):
        volume = abs(np.linalg.det(batch.lattices[0]))
        edges = np.linalg.norm(batch.lattices[0], axis=1)
        spanned = volume > 1e-6 * np.prod(edges)
    if not spanned:
        return quarantined("bad_cell", f"lattice vectors span only {volume:.3e} A^3")
    spacings = 1 / np.linalg.norm(np.linalg.inv(batch.lattices[0]), axis=0)
    lengths = np.concatenate([edges, spacings])[np.tile(batch.pbc[0], 2)]
    if np.any((lengths < limits.min_cell_edge) | (lengths > limits.max_cell_edge)):
        low, high = limits.min_cell_edge, limits.max_cell_edge
        message = (
            f"edges and distances of lattice planes are {lengths.min():.4g} to "
            f"{lengths.max():.4g} A, allowed are {low} to {high} A"
        )
        return quarantined("cell_edge", message)
    return None


def close_sites(batch: CrystalBatch) -> list[Reason]:
    """Sites of one crystal that are too close for both to be filled."""
    pairs = neighbor_list(batch, _MIN_DISTANCE, threads=1)
    filled = np.bincount(batch.species_sites, batch.occupancies, minlength=batch.n_sites)
    both = np.flatnonzero(filled[pairs.i] + filled[pairs.j] > _MAX_OCCUPANCY)
    if len(both) == 0:
        return []
    k = both[np.argmin(pairs.distances[both])]
    others = len(both) // 2 - 1
    message = f"sites {pairs.i[k]} and {pairs.j[k]} are {pairs.distances[k]:.3f} A apart"
    message += f" (and {others} more)" if others else ""
    return [Reason("close_sites", "check", Outcome.DEGRADED, message)]
