"""Features of the mobile ion's sublattice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.features.catalogue import BOND_FACTOR, ION_PAIR_CUTOFF, MOBILE_ION
from pyhpc.features.elements import property_values
from pyhpc.features.grouped import Grouped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.features.contents import Contents
    from pyhpc.features.findings import Findings
    from pyhpc.kernels import IonEnvironments, Symmetry

_FULL = 0.999
"""Occupancy from which a site counts as filled; files round to three digits."""


def bond_cutoffs(ion_number: int) -> NDArray[np.float64]:
    """Length below which an anion of each element is bonded to the ion.

    Returns
    -------
    array, shape (118,)
        1.3 times the sum of the covalent radii (Cordero et al. 2008, doi 10.1039/b801115j), in
        angstrom; 0 for the ion itself, which is not counted among the anions, and for elements
        without a radius.
    """
    radii = property_values("covalent_radius") / 100.0
    cutoffs: NDArray[np.float64] = np.nan_to_num(BOND_FACTOR * (radii + radii[ion_number - 1]))
    cutoffs[ion_number - 1] = 0.0
    return cutoffs


def columns(
    contents: Contents,
    environments: IonEnvironments,
    symmetry: Symmetry,
    findings: Findings,
) -> dict[str, NDArray[np.float64]]:
    """Compute the features of the group ``mobile_ion``."""
    ion, batch = contents.prefix, contents.batch
    amounts, ions = contents.ion_amounts, contents.ions
    nearby = Grouped(batch.site_crystals[environments.sites], len(batch))
    pairs = environments.ion_distances < ION_PAIR_CUTOFF
    result = {
        f"{ion}_concentration": contents.n_ions / contents.volumes,
        "framework_density": (contents.n_atoms - contents.n_ions) / contents.volumes,
        f"{ion}_{ion}_min_dist": nearby.minima(environments.ion_distances),
        f"{ion}_{ion}_avg_dist": nearby.means(
            np.where(pairs, environments.ion_distances, 0.0),
            np.where(pairs, environments.amounts, 0.0),
        ),
        f"{ion}_anion_min_dist": nearby.minima(environments.anion_distances),
        f"{ion}_coordination_avg": nearby.means(
            environments.coordination_numbers, environments.amounts
        ),
        f"{ion}_site_avg_multiplicity": _mean_multiplicities(contents, symmetry),
        f"{ion}_occupancy_mean": ions.means(amounts, np.ones_like(amounts)),
        f"{ion}_occupancy_min": ions.minima(amounts),
        f"{ion}_occupancy_max": ions.maxima(amounts),
        f"{ion}_occupancy_std": ions.deviations(amounts, np.ones_like(amounts)),
        f"{ion}_partial_fraction": ions.means(
            (amounts < _FULL).astype(np.float64), np.ones_like(amounts)
        ),
    }
    _report(contents, environments, symmetry, result, findings)
    return result


def _mean_multiplicities(contents: Contents, symmetry: Symmetry) -> NDArray[np.float64]:
    """Mean over the orbits that hold the ion, not over their sites."""
    crystals = contents.ions.crystals
    keys = np.stack([crystals, symmetry.orbits[contents.ion_sites]])
    _, first = np.unique(keys, axis=1, return_index=True)
    orbits = Grouped(crystals[first], len(contents.batch))
    multiplicities = symmetry.multiplicities[contents.ion_sites[first]].astype(np.float64)
    means = orbits.means(multiplicities, np.ones_like(multiplicities))
    return np.where(symmetry.status == 0, means, np.nan)


def _report(
    contents: Contents,
    environments: IonEnvironments,
    symmetry: Symmetry,
    result: dict[str, NDArray[np.float64]],
    findings: Findings,
) -> None:
    """Say why values are missing."""
    symbol, ion = contents.ion, contents.prefix
    has_ion = contents.ions.counts() > 0
    treated = has_ion & (environments.status == 0)

    def lost(name: str) -> NDArray[np.bool_]:
        missing: NDArray[np.bool_] = treated & np.isnan(result[name])
        return missing

    findings.kernel(MOBILE_ION, "environments", environments)
    findings.kernel(MOBILE_ION, "symmetry", symmetry)
    findings.fact(
        ~has_ion & (environments.status == 0),
        MOBILE_ION,
        "no_mobile_ion",
        f"the crystal holds no {symbol}",
    )
    findings.fact(
        lost(f"{ion}_{ion}_avg_dist"),
        MOBILE_ION,
        "no_ion_pair",
        f"no {symbol} has another one within {ION_PAIR_CUTOFF:g} A",
    )
    findings.fact(
        lost(f"{ion}_anion_min_dist"),
        MOBILE_ION,
        "no_anion",
        f"no anion within 20 A of any {symbol}",
    )
