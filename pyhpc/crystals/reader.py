"""From records to a batch of crystals, with a reason for everything that is not as it should be.

Reason codes
------------
Quarantined: there is no crystal, or none that could be trusted, so that there is no row.

======================== ==========================================================================
code                     why no crystal
======================== ==========================================================================
text_too_large           over ``max_text_bytes``: not read
too_many_blocks          over ``max_blocks``: not read
too_many_rows            over ``max_loop_rows``: not read
too_many_sites           over ``max_sites``: not expanded
archive_ratio            an archive unpacks to far more than its size: reading it ends there
unsafe_path              an archive member that is a link, or whose path leads out of the archive
nested_archive           an archive inside an archive: not opened
unreadable               the file system, the archive or the table gave an error
empty_text               a table has no text in this row
missing_dependency       the format is read by ASE, which is not installed
syntax_error             not a CIF, POSCAR, extended XYZ or JSON
no_structure             no atomic coordinates
missing_cell, bad_cell   a cell length is missing; the angles do not close
cell_edge                the cell is smaller or larger than any crystal's
bad_number               a number that is needed is none: guessing would make up a crystal
bad_operator             without one operator, sites would be missing
unknown_element          what is on the site can't be known (``M1``)
composite_site           several heavier atoms on one position (``NO3``)
occupancy_above_one      above 1.25: a duplicate or a wrong site, not a rounded refinement
no_sites                 nothing is left
======================== ==========================================================================

Degraded: there is a crystal, but the file contradicts itself or something had to be assumed.

======================== ==========================================================================
code                     what is doubtful
======================== ==========================================================================
duplicate_tag            a tag comes twice (the first counts) or has no value
several_blocks           only the first structure of the record was read
symmetry_missing         neither operators nor a space group: P 1 assumed
setting_assumed          unknown symbol, or one that contradicts the number
identity_missing         the operators lack the identity, which was added
operator_mismatch        an operator changes the metric of the lattice by more than 2 %
cell_angle_assumed       90 degrees, the default of the CIF dictionary, for a missing angle
cartesian_frame_assumed  cartesian coordinates whose frame is not told
dummy_site               positions without an atom were left out
site_without_coordinates atoms without coordinates were left out
coordinate_assumed       ``.`` taken as 0, the default of the CIF dictionary
negative_occupancy       atoms with a negative occupancy were left out
occupancy_above_one      1.01 to 1.25, scaled to 1 (up to 1.01 is rounding, scaled in silence)
implicit_hydrogen        hydrogens of the formula have no position
formula_mismatch         cell contents are not formula times Z; without Z, not a whole multiple
multiplicity_mismatch    a site has another number of images than declared
close_sites              sites below 0.5 angstrom whose occupancies sum to more than 1.02
volume_mismatch          stated and actual volume differ by more than 1 %
======================== ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from pyhpc import _kernels
from pyhpc.crystals.atoms import read_atoms
from pyhpc.crystals.batch import CrystalBatch
from pyhpc.crystals.cif import read_columns
from pyhpc.crystals.limits import DEFAULT_LIMITS
from pyhpc.crystals.sources import iter_records
from pyhpc.crystals.structure_json import read_structure_json
from pyhpc.record_columns import RecordColumns, Texts
from pyhpc.records import Outcome, Reason, worst

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pyhpc.crystals.cif import Columns
    from pyhpc.crystals.limits import Limits
    from pyhpc.records import Record

_CHUNK = 1000


class CrystalReadError(ValueError):
    """A record that was asked for can't be read.

    Attributes
    ----------
    reasons : dict of str to list of Reason
        Reasons of every record that was quarantined, by id.
    """

    def __init__(self, message: str, reasons: dict[str, list[Reason]]) -> None:
        super().__init__(message)
        self.reasons = reasons


@dataclass(frozen=True, eq=False, kw_only=True)
class ReadResult:
    """Crystals of some records, and what is to be said of the records.

    Attributes
    ----------
    batch : CrystalBatch
        The crystals that could be read, in the order of the records.
    positions : array, shape (n_crystals,), int64
        Index of the record of each crystal.
    reasons : dict of int to list of Reason
        Findings by index of the record. Records without a crystal always have one.
    """

    batch: CrystalBatch
    positions: NDArray[np.int64]
    reasons: dict[int, list[Reason]]


def read_records(
    records: Sequence[Record], limits: Limits = DEFAULT_LIMITS, *, threads: int | None = None
) -> ReadResult:
    """Read and check a batch of records.

    Parameters
    ----------
    records : sequence of Record
        From :func:`~pyhpc.crystals.iter_records`, say. A refused one passes its reason on.
    limits : Limits
        Bounds on each record.
    threads : int, optional
        Number of threads that expand crystals; the result does not depend on it.

    Returns
    -------
    ReadResult
        A record that can't be read has a reason there, it never raises.
    """
    given = _sort(records, limits)
    texts, of_texts, reasons = given.texts, given.of_texts, given.reasons

    def parse(text: int) -> Columns | None:
        block, found = read_columns(texts[text], limits)
        if found:
            reasons[int(of_texts[text])] = found
        return block

    expanded = _kernels.expand_cells(texts.data, texts.offsets, parse, limits, threads)
    for text, code, stage, fatal, message in expanded.pop("findings"):
        outcome = Outcome.QUARANTINED if fatal else Outcome.DEGRADED
        reason = Reason(code, stage, outcome, message)
        reasons.setdefault(int(of_texts[text]), []).append(reason)
    positions = of_texts[expanded.pop("positions")]
    ids = records.ids if isinstance(records, RecordColumns) else [one.id for one in records]
    batch = CrystalBatch(ids=tuple(ids[k] for k in positions.tolist()), **expanded)
    if given.others:
        batch, positions = _in_order([batch, *given.others], np.append(positions, given.of_others))
    return ReadResult(batch=batch, positions=positions, reasons=reasons)


class _Sorted(NamedTuple):
    """Records by who reads them, and reasons of those that nobody does.

    ``of_texts`` and ``of_others`` are the records of the CIFs and of the crystals in ``others``.
    """

    texts: Texts
    of_texts: NDArray[np.int64]
    others: list[CrystalBatch]
    of_others: list[int]
    reasons: dict[int, list[Reason]]


def _sort(records: Sequence[Record], limits: Limits) -> _Sorted:
    """Give CIFs to the kernels, which read most of them, and read the others."""
    cifs = records.cifs if isinstance(records, RecordColumns) else None
    if cifs is not None and np.diff(cifs.offsets).max(initial=0) <= limits.max_text_bytes:
        return _Sorted(cifs, np.arange(len(records)), [], [], {})
    texts: list[bytes] = []
    of_texts: list[int] = []
    others: list[CrystalBatch] = []
    of_others: list[int] = []
    reasons: dict[int, list[Reason]] = {}
    for k, record in enumerate(records):
        found: list[Reason] = []
        if record.refused is not None:
            found = [record.refused]
        elif len(record.text) > limits.max_text_bytes:
            message = f"{len(record.text)} bytes, more than {limits.max_text_bytes}"
            found = [Reason("text_too_large", "parse", Outcome.QUARANTINED, message)]
        elif record.format == "cif":
            texts.append(record.text)
            of_texts.append(k)
        else:
            read_other = read_structure_json if record.format == "pymatgen" else read_atoms
            crystal, found = read_other(record, limits)
            if crystal is not None:
                others.append(crystal)
                of_others.append(k)
        if found:
            reasons[k] = found
    return _Sorted(Texts.join(texts), np.array(of_texts, np.int64), others, of_others, reasons)


def _in_order(
    batches: list[CrystalBatch], positions: NDArray[np.int64]
) -> tuple[CrystalBatch, NDArray[np.int64]]:
    """Join batches by the positions of their crystals."""
    order = np.argsort(positions)
    return CrystalBatch.concatenate(batches).select(order), positions[order]


def read(
    source: str | Path | Sequence[str | Path],
    limits: Limits = DEFAULT_LIMITS,
    *,
    on_error: Literal["raise", "skip"] = "raise",
    threads: int | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
) -> CrystalBatch:
    """Read all crystals of one or several sources into one batch.

    For more than fits in memory, and to see what is doubtful about a record, go through
    :func:`iter_records` and :func:`read_records`.

    Parameters
    ----------
    source : path, or sequence of paths
        Anything that :func:`iter_records` takes.
    limits : Limits
        Bounds on the input.
    on_error : {"raise", "skip"}
        What to do with records that can't be read.
    threads : int, optional
        Number of threads.
    text_column, id_column : str, optional
        Columns of a table.

    Returns
    -------
    CrystalBatch
        Crystals in the order of the source; those with findings short of quarantine included.

    Raises
    ------
    CrystalReadError
        If a record can't be read and ``on_error`` is ``"raise"``.
    SourceError
        If a source does not exist or is of no known kind.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error = {on_error!r}: must be 'raise' or 'skip'")
    stream = iter_records(source, limits, text_column=text_column, id_column=id_column)
    batches = []
    quarantined: dict[str, list[Reason]] = {}
    first: Record | None = None
    while records := list(islice(stream, _CHUNK)):
        result = read_records(records, limits, threads=threads)
        batches.append(result.batch)
        for k in sorted(result.reasons):
            if worst(result.reasons[k]) is Outcome.QUARANTINED:
                first = first or records[k]
                quarantined[records[k].id] = result.reasons[k]
    if first is not None and on_error == "raise":
        reason = quarantined[first.id][-1]
        more = f" (and {len(quarantined) - 1} more)" if len(quarantined) > 1 else ""
        message = (
            f"{first.source}: record {first.id!r} can't be read: {reason.code}: "
            f"{reason.message}{more}; pass on_error='skip' to go on without"
        )
        raise CrystalReadError(message, quarantined)
    empty = read_records([], limits, threads=threads).batch
    return CrystalBatch.concatenate([empty, *batches])
