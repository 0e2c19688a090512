"""Records and what can be said of them: the words that all floors share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Record(NamedTuple):
    """One crystal as it came: the text of a CIF block, POSCAR, extended-XYZ frame or structure.

    Attributes
    ----------
    id : str
        Name of the record: the file's name without its ending, ``file#block`` where a CIF has
        several blocks with a structure, the id column of a table.
    text : bytes
        The record as it stands in its source, empty where it could not be read.
    format : str
        ``"cif"``, ``"poscar"``, ``"extxyz"`` or ``"pymatgen"``: JSON of a pymatgen Structure.
    source : str
        Path of the file; ``archive!member`` inside an archive, ``table!row`` inside a table.
    start, stop : int
        Byte range of the record within its file, member or cell.
    refused : Reason, optional
        Why the source could not give the text. Such a record goes on, so that it is counted.
    """

    id: str
    text: bytes
    format: str
    source: str
    start: int
    stop: int
    refused: Reason | None = None

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self.text).hexdigest()


class Outcome(StrEnum):
    """How a record ended, from best to worst."""

    OK = "ok"
    DEGRADED = "degraded"
    QUARANTINED = "quarantined"

    # Equal to strings, so they are found where those are; Enum's own hash is that of the name.
    __hash__ = str.__hash__


OUTCOMES = tuple(Outcome)
"""All outcomes, from best to worst. In columns, an outcome is its index here."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that the ledger says of a record.

    Attributes
    ----------
    code : str
        Short and stable, in snake case: ``"formula_mismatch"``.
    stage : str
        Where it was found: ``"source"``, ``"parse"``, ``"expand"``, ``"check"``,
        ``"features.<group>"``, ``"worker"``.
    outcome : Outcome
        What it does to the record: ``OK`` for a plain fact that explains a missing value (no
        mobile ion in the crystal), ``DEGRADED`` when a feature could not be computed or the input
        is doubtful, ``QUARANTINED`` when there is no row for the record.
    message : str
        One line for a person, with the numbers.
    """

    code: str
    stage: str
    outcome: Outcome
    message: str


def worst(reasons: Iterable[Reason]) -> Outcome:
    """Outcome of a record with these reasons."""
    return OUTCOMES[max((OUTCOMES.index(reason.outcome) for reason in reasons), default=0)]
