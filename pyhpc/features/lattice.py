"""Features of the cell and of how much it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.arrow import numbers
from pyhpc.features.catalogue import LATTICE
from pyhpc.features.contents import species_crystals
from pyhpc.features.elements import property_values
from pyhpc.features.grouped import bin_sums

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.features.contents import Contents
    from pyhpc.features.findings import Findings

DALTON = 1.66053906660
"""g/cm^3 per dalton per cubic angstrom; CODATA 2018, doi 10.1103/RevModPhys.93.025010."""

_CUBIC_EDGES = 0.01
_CUBIC_ANGLES = 1.0


def columns(contents: Contents, findings: Findings) -> dict[str, NDArray[np.generic] | pa.Array]:
    """Compute the features of the group ``lattice``."""
    batch, volumes, n_atoms = contents.batch, contents.volumes, contents.n_atoms
    weights = property_values("atomic_weight")[batch.atomic_numbers - 1]
    masses = bin_sums(species_crystals(batch), batch.occupancies * weights, len(batch))
    sound = np.isfinite(volumes)
    parameters = lattice_parameters(np.where(sound[:, None, None], batch.lattices, np.nan))
    edges, angles = parameters[:3], parameters[3:]
    longest, shortest = edges.max(axis=0), edges.min(axis=0)
    skew = np.abs(angles - 90.0)
    cubic = (longest <= shortest * (1 + _CUBIC_EDGES)) & (skew.max(axis=0) <= _CUBIC_ANGLES)

    findings.failure(~sound, LATTICE, "singular_lattice", "the lattice vectors span no volume")
    findings.failure(
        np.isnan(n_atoms), LATTICE, "no_atoms", "the occupancies do not sum to an atom"
    )
    findings.failure(
        np.isnan(masses) & np.isfinite(n_atoms),
        LATTICE,
        "missing_element_data",
        "an element without an atomic weight",
    )
    return {
        **dict(zip(("lattice_a", "lattice_b", "lattice_c"), edges, strict=True)),
        **dict(zip(("lattice_alpha", "lattice_beta", "lattice_gamma"), angles, strict=True)),
        "volume": volumes,
        "density": DALTON * np.where(np.isfinite(n_atoms), masses, np.nan) / volumes,
        "volume_per_atom": volumes / n_atoms,
        "n_total_atoms": n_atoms,
        "n_sites": np.diff(batch.site_offsets).astype(np.int32),
        f"n_{contents.prefix}_sites": contents.ions.counts().astype(np.int32),
        "lattice_anisotropy_bc_a": (edges[1] + edges[2]) / (2 * edges[0]),
        "lattice_anisotropy_max_min": longest / shortest,
        "angle_deviation_from_ortho": (skew[0] + skew[1] + skew[2]) / 3,
        "is_cubic_like": numbers(cubic.astype(np.int8), ~sound),
        "has_cif_struct": np.ones(len(batch), dtype=np.int8),
    }


def lattice_parameters(lattices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges in angstrom and angles in degrees: a, b, c, alpha, beta, gamma, shape (6, n)."""
    edges = np.sqrt((lattices**2).sum(axis=2)).T
    angles = []
    for i, j in ((1, 2), (2, 0), (0, 1)):
        dots = (lattices[:, i] * lattices[:, j]).sum(axis=1)
        cosines = np.clip(dots / (edges[i] * edges[j]), -1.0, 1.0)
        angles.append(np.degrees(np.arccos(cosines)))
    return np.concatenate([edges, np.stack(angles)])
