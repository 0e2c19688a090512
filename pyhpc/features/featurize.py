"""Features of a batch of crystals, all groups in one pass."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pyhpc import kernels
from pyhpc.arrow import numbers, strings
from pyhpc.features import composition, lattice, mechanical, mobile_ion, physics, symmetry
from pyhpc.features.catalogue import (
    COMPOSITION,
    LATTICE,
    MECHANICAL,
    MOBILE_ION,
    PHYSICS,
    SYMMETRY,
    VORONOI_THRESHOLDS,
    check_groups,
    schema,
)
from pyhpc.features.contents import Contents
from pyhpc.features.elements import ANIONS, mobile_ion_number
from pyhpc.features.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyhpc.crystals import CrystalBatch
    from pyhpc.reasons import Reasons


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the values of the features depend on, beside the crystals.

    Parameters
    ----------
    groups : sequence of str, optional
        Keys of :data:`~pyhpc.features.catalogue.GROUPS`, by default all.
    mobile_ion : str, default "Li"
        Symbol of the mobile ion.
    symprec : float, default 0.01
        Distance within which positions are symmetrically the same, in angstrom.
    accuracy : float, default 1e-8
        Relative accuracy of the Ewald site energies.

    Raises
    ------
    ValueError
        If a value makes no sense.
    """

    groups: Sequence[str] | None = None
    mobile_ion: str = "Li"
    symprec: float = 1e-2
    accuracy: float = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", check_groups(self.groups))
        mobile_ion_number(self.mobile_ion)
        if not (_is_number(self.symprec) and self.symprec > 0):
            raise ValueError(f"symprec = {self.symprec!r}: expected a positive number of angstrom")
        if not (_is_number(self.accuracy) and 1e-14 <= self.accuracy <= 0.1):
            raise ValueError(f"accuracy = {self.accuracy!r}: expected a number from 1e-14 to 0.1")

    @property
    def schema(self) -> pa.Schema:
        """Schema of the table that these settings give."""
        return schema(self.groups, self.mobile_ion)


@dataclass(frozen=True, eq=False)
class Featurized:
    """Features, with the reasons of what is missing.

    Attributes
    ----------
    table : pyarrow.Table
        ``id`` and the features, one row per crystal, in batch order.
    reasons : Reasons
        What is to be said of the crystals; every missing value has a reason of its group's stage.
    seconds : dict of str to float
        Time by stage.
    """

    table: pa.Table
    reasons: Reasons
    seconds: dict[str, float]


def featurize(
    batch: CrystalBatch,
    groups: Sequence[str] | None = None,
    *,
    mobile_ion: str = "Li",
    threads: int | None = None,
) -> pa.Table:
    """Compute features of crystals.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat.
    groups : sequence of str, optional
        Any of ``"composition"``, ``"lattice"``, ``"symmetry"``, ``"mobile_ion"``, ``"physics"``,
        ``"mechanical"``; by default all.
    mobile_ion : str, default "Li"
        Symbol of the mobile ion. The names of its features begin with it, in lower case.
    threads : int, optional
        Number of threads of the kernels.

    Returns
    -------
    pyarrow.Table
        ``id``, then the features in the order of the catalogue, one row per crystal. A missing
        value is NaN in floating columns and null in others;
        :func:`~pyhpc.features.featurize_with_reasons` says why. The fields' metadata carries
        unit, group, meaning and source.

    Raises
    ------
    ValueError
        If a group or the ion is unknown, or the batch is malformed (``BatchError``).

    Examples
    --------
    >>> import pyhpc
    >>> table = pyhpc.featurize(batch, ["composition", "lattice"])  # doctest: +SKIP
    """
    settings = Settings(groups=groups, mobile_ion=mobile_ion)
    return featurize_with_reasons(batch, settings, threads=threads).table


def featurize_with_reasons(
    batch: CrystalBatch, settings: Settings | None = None, *, threads: int | None = None
) -> Featurized:
    """Compute features of crystals, and say why values are missing.

    Each kernel runs once over the whole batch, and only if a chosen group needs it. No crystal's
    row depends on the others, nor on the number of threads, bit for bit.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals to treat.
    settings : Settings, optional
        Groups, mobile ion and accuracies.
    threads : int, optional
        Number of threads of the kernels.

    Returns
    -------
    Featurized
        Table, reasons and times.
    """
    settings = settings or Settings()
    groups = set(check_groups(settings.groups))
    findings, clock = Findings(), _Clock()
    columns: dict[str, Any] = {"id": strings(batch.ids)}

    with clock("composition"):
        contents = Contents.of(batch, settings.mobile_ion)
        if COMPOSITION in groups:
            columns |= composition.columns(contents, findings)
    with clock("lattice"):
        if LATTICE in groups:
            columns |= lattice.columns(contents, findings)
    if groups & {SYMMETRY, MOBILE_ION, PHYSICS, MECHANICAL}:
        with clock("symmetry"):
            found = kernels.symmetry(batch, settings.symprec, wyckoffs=False, threads=threads)
            if SYMMETRY in groups:
                columns |= symmetry.columns(found, findings)
            # The kernels compute what is exactly the same by symmetry once.
            orbits = np.where(found.exact_orbits < 0, batch.asymmetric_index, found.exact_orbits)
            batch = batch.with_asymmetric_index(orbits)
    if groups & {MOBILE_ION, PHYSICS, MECHANICAL}:
        with clock("valences"):
            valences = kernels.assign_oxidation_states(batch, threads=threads)
            charges = physics.Charges.of(batch, valences)
    if MOBILE_ION in groups:
        with clock("mobile_ion"):
            cutoffs = mobile_ion.bond_cutoffs(contents.ion_number)
            environments = kernels.ion_environments(
                charges.batch, contents.ion_number, cutoffs, ANIONS, threads=threads
            )
            columns |= mobile_ion.columns(contents, environments, found, findings)
    if groups & {PHYSICS, MECHANICAL}:
        ionic = charges.ionic
        with clock("bond_valence"):
            bond_valence = kernels.bond_valence_sums(ionic, threads=threads)
    # One tessellation serves both groups.
    cells = None
    if MECHANICAL in groups:
        with clock("bonds"):
            bonds = mechanical.bonds(charges.batch, threads)
        with clock("voronoi"):
            cells = kernels.voronoi(batch, thresholds=tuple(VORONOI_THRESHOLDS), threads=threads)
    if PHYSICS in groups:
        with clock("ewald"):
            ewald = kernels.ewald_site_energies(ionic, settings.accuracy, threads=threads)
        with clock("voronoi"):
            voronoi = physics.ion_cells(batch, contents, cells, threads)
        with clock("physics"):
            columns |= physics.columns(contents, charges, bond_valence, ewald, voronoi, findings)
    if cells is not None:
        with clock("mechanical"):
            columns |= mechanical.columns(contents, charges, bonds, bond_valence, cells, findings)
    with clock("table"):
        fields = settings.schema
        arrays = [_to_arrow(columns[field.name], field.type) for field in fields]
        table = pa.Table.from_arrays(arrays, schema=fields)
    return Featurized(table, findings.reasons, clock.seconds)


def _to_arrow(values: Any, type_: pa.DataType) -> pa.Array:
    """Arrow array of a column, NaN kept."""
    if isinstance(values, np.ndarray):
        values = numbers(values)
    return values if values.type == type_ else values.cast(type_)


def _is_number(value: object) -> bool:
    """Tell whether a value that may come from a file is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


class _Clock:
    """Wall-clock time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
