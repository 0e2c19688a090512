"""Features of the ions' chemistry and electrostatics, from the physics kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pyhpc import kernels
from pyhpc.arrow import numbers, strings
from pyhpc.features.catalogue import PHYSICS, VORONOI_THRESHOLDS
from pyhpc.features.contents import species_crystals
from pyhpc.features.findings import stage
from pyhpc.features.grouped import Grouped
from pyhpc.records import Outcome, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.crystals import CrystalBatch
    from pyhpc.features.contents import Contents
    from pyhpc.features.findings import Findings
    from pyhpc.kernels import BondValence, Ewald, Valences, Voronoi

NET_CHARGE_PER_ATOM = 0.01
"""A cell with more charge than this per atom, in units of e, is reported; occupancies are rounded
numbers, so that a little charge is left in sound disordered crystals."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Charges:
    """Oxidation states of a batch, and what follows from them alone.

    Attributes
    ----------
    batch : CrystalBatch
        The crystals with their oxidation states.
    valences : Valences
        How the states were found.
    net : array, shape (n_crystals,)
        Charge of the cell in units of e, NaN where the states are unknown.
    neutral : array, shape (n_crystals,), bool
        Whether all atoms of the crystal are neutral.
    charged : array, shape (n_charged,)
        Crystals that hold ions.
    """

    batch: CrystalBatch
    valences: Valences
    net: NDArray[np.float64]
    neutral: NDArray[np.bool_]
    charged: NDArray[np.int64]

    @classmethod
    def of(cls, batch: CrystalBatch, valences: Valences) -> Charges:
        """Take the charges that were assigned."""
        assigned = batch.with_oxidation_states(valences.oxidation_states)
        species = Grouped(species_crystals(batch), len(batch))
        charges = batch.occupancies * assigned.oxidation_states
        known = valences.status == 0
        neutral = known & (species.sums(np.abs(charges)) == 0)
        return cls(
            batch=assigned,
            valences=valences,
            net=np.where(known, species.sums(charges), np.nan),
            neutral=neutral,
            charged=np.flatnonzero(known & ~neutral),
        )

    @property
    def ionic(self) -> CrystalBatch:
        """The crystals that hold ions, as a batch of their own."""
        return self.batch.select(self.charged)

    def spread_sites(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values over the sites of :attr:`ionic` as values over all sites, else NaN."""
        holds_ions = np.zeros(len(self.batch), dtype=np.bool_)
        holds_ions[self.charged] = True
        spread = np.full(self.batch.n_sites, np.nan)
        spread[holds_ions[self.batch.site_crystals]] = values
        return spread

    def spread_crystals(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values over the crystals of :attr:`ionic` as values over all crystals, else NaN."""
        spread = np.full(len(self.batch), np.nan)
        spread[self.charged] = values
        return spread


def ion_cells(
    batch: CrystalBatch, contents: Contents, cells: Voronoi | None, threads: int | None = None
) -> Voronoi:
    """Voronoi cells of the mobile ion's sites, out of those of all sites where there are any.

    A crystal whose cells failed is cut again: it may have failed on the cell of another site.
    """
    mask, thresholds = contents.ion_mask, tuple(VORONOI_THRESHOLDS)
    if cells is None:
        return kernels.voronoi(batch, mask, thresholds=thresholds, threads=threads)
    failed = np.flatnonzero(cells.status)
    in_failed = np.isin(batch.site_crystals, failed)
    again = kernels.voronoi(
        batch.select(failed), mask[in_failed], thresholds=thresholds, threads=threads
    )

    def of_ions(
        values: NDArray[np.float64], replacements: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        replaced = values.copy()
        replaced[mask & in_failed] = replacements
        return replaced[mask]

    status = cells.status.copy()
    status[failed] = again.status
    return kernels.Voronoi(
        sites=cells.sites[mask],
        volumes=of_ions(cells.volumes, again.volumes),
        coordination_numbers={
            threshold: of_ions(values, again.coordination_numbers[threshold])
            for threshold, values in cells.coordination_numbers.items()
        },
        effective_coordination_numbers=of_ions(
            cells.effective_coordination_numbers, again.effective_coordination_numbers
        ),
        inscribed_radii=of_ions(cells.inscribed_radii, again.inscribed_radii),
        faces=None,
        status=status,
        errors={int(failed[k]): message for k, message in again.errors.items()},
    )


def columns(
    contents: Contents,
    charges: Charges,
    bond_valence: BondValence,
    ewald: Ewald,
    voronoi: Voronoi,
    findings: Findings,
) -> dict[str, NDArray[np.generic] | pa.Array]:
    """Compute the features of the group ``physics``.

    ``bond_valence`` and ``ewald`` are those of ``charges.ionic``, ``voronoi`` that of the mobile
    ion's sites.
    """
    ion, sites, ions = contents.prefix, contents.ion_sites, contents.ions
    weights = contents.ion_amounts
    mismatches = charges.spread_sites(np.abs(bond_valence.expected - bond_valence.sums))[sites]
    energies = ion_energies(contents, charges, charges.spread_sites(ewald.site_energies))
    result: dict[str, NDArray[np.generic] | pa.Array] = {
        "bv_mismatch_avg": ions.means(mismatches, weights),
        "bv_mismatch_std": ions.deviations(mismatches, weights),
        "gii": charges.spread_crystals(bond_valence.gii),
        "ewald_energy_avg": ions.means(energies, weights),
        "ewald_energy_std": ions.deviations(energies, weights),
        "madelung_energy_per_atom": (
            charges.spread_crystals(ewald.total_energies) / contents.n_atoms
        ),
        "net_charge": charges.net,
    }
    for threshold, suffix in VORONOI_THRESHOLDS.items():
        coordination = voronoi.coordination_numbers[threshold]
        result[f"{ion}_voronoi_cn_avg{suffix}"] = ions.means(coordination, weights)
    valences = charges.valences
    result |= {
        "valence_method": pa.DictionaryArray.from_arrays(
            numbers(valences.method.astype(np.int8), valences.status != 0),
            strings([method.name.lower() for method in sorted(kernels.ValenceMethod)]),
        ),
        "valence_margin": np.where(np.isfinite(valences.margin), valences.margin, np.nan),
    }
    for indicator, name in {
        "has_bv": "bv_mismatch_avg",
        "has_ewald": "ewald_energy_avg",
        "has_voronoi": f"{ion}_voronoi_cn_avg",
    }.items():
        result[indicator] = np.isfinite(result[name]).astype(np.int8)
    _report(contents, charges, bond_valence, ewald, voronoi, result, findings)
    return result


def ion_energies(
    contents: Contents, charges: Charges, site_energies: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Site energy of one mobile ion on each of its sites.

    The energy of a disordered site is that of its mean charge, ``Q phi / 2``; the ion of charge q
    has ``q phi / 2`` of it, so that partly filled and mixed sites compare with filled ones.

    Returns
    -------
    array, shape (n_ion_sites,)
        In eV; NaN where the site's mean charge is 0, from which no potential can be told.
    """
    batch, sites = charges.batch, contents.ion_sites
    entries = batch.occupancies * batch.oxidation_states
    of_ion = batch.atomic_numbers == contents.ion_number
    site_charges = Grouped(batch.species_sites, batch.n_sites).sums(entries)[sites]
    ion_charges = Grouped(batch.species_sites[of_ion], batch.n_sites).sums(entries[of_ion])[sites]
    mean_charges = np.where(site_charges == 0, np.nan, site_charges)
    return site_energies[sites] * (ion_charges / contents.ion_amounts) / mean_charges


def _report(
    contents: Contents,
    charges: Charges,
    bond_valence: BondValence,
    ewald: Ewald,
    voronoi: Voronoi,
    result: dict[str, NDArray[np.generic] | pa.Array],
    findings: Findings,
) -> None:
    """Say why values are missing."""
    symbol = contents.ion
    valences = charges.valences
    known = valences.status == 0
    has_ion = contents.ions.counts() > 0
    findings.kernel(PHYSICS, "valences", valences)
    findings.kernel(PHYSICS, "bond valence", bond_valence, charges.charged)
    findings.kernel(PHYSICS, "ewald", ewald, charges.charged)
    findings.kernel(PHYSICS, "voronoi", voronoi)
    findings.fact(~has_ion, PHYSICS, "no_mobile_ion", f"the crystal holds no {symbol}")
    findings.fact(
        charges.neutral, PHYSICS, "neutral_atoms", "all atoms are neutral, there are no ions"
    )
    findings.fact(
        known & ~charges.neutral & np.isnan(result["valence_margin"]),
        PHYSICS,
        "no_runner_up",
        "there was no other assignment of valences to weigh against this one",
    )
    unknown_potential = np.zeros(len(contents.batch), dtype=np.bool_)
    unknown_potential[charges.charged] = ewald.status == 0
    findings.failure(
        unknown_potential & has_ion & np.isnan(result["ewald_energy_avg"]),
        PHYSICS,
        "neutral_ion_site",
        f"a site that holds {symbol} has the mean charge 0, which tells no potential",
    )
    strong = np.abs(charges.net) > NET_CHARGE_PER_ATOM * contents.n_atoms
    for crystal in np.flatnonzero(strong):
        message = f"the cell has a charge of {charges.net[crystal]:+.3f} e"
        reason = Reason("charged_cell", stage(PHYSICS), Outcome.DEGRADED, message)
        findings.add(int(crystal), reason)
