"""Records in the formats that ASE reads: POSCAR and frames of extended XYZ."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pyhpc.crystals.checks import close_sites, out_of_bounds, quarantined
from pyhpc.crystals.interop import from_ase, import_extra

if TYPE_CHECKING:
    from pyhpc.crystals.batch import CrystalBatch
    from pyhpc.crystals.limits import Limits
    from pyhpc.records import Reason, Record

_ASE_FORMATS = {"poscar": "vasp", "extxyz": "extxyz"}


def read_atoms(record: Record, limits: Limits) -> tuple[CrystalBatch | None, list[Reason]]:
    """Read a record through ASE, within the limits that hold for CIF too.

    Returns
    -------
    batch : CrystalBatch or None
        One crystal; None if the record can't be read, and then the last reason says why.
    reasons : list of Reason
        Findings.
    """
    try:
        ase_io = import_extra("ase.io")
    except ImportError as error:
        return None, [quarantined("missing_dependency", str(error))]
    text = record.text.decode("utf-8", "replace")
    if record.format == "poscar" and not _has_lines_for_its_atoms(text):
        return None, [quarantined("syntax_error", "POSCAR announces more atoms than lines")]
    try:
        atoms = ase_io.read(io.StringIO(text), format=_ASE_FORMATS[record.format], index=0)
        batch = from_ase(atoms, [record.id])
    except Exception as error:  # ASE's readers raise whatever the broken text leads to.
        message = f"ASE can't read this {record.format}: {type(error).__name__}: {error}"
        return None, [quarantined("syntax_error", " ".join(message.split())[:200])]
    refused = out_of_bounds(batch, limits)
    if refused is not None:
        return None, [refused]
    return batch, close_sites(batch)


def _has_lines_for_its_atoms(text: str) -> bool:
    """Whether a POSCAR has a line for each atom it announces: ASE makes room before it looks."""
    lines = text.splitlines()
    counts = [line.partition("!")[0].split() for line in lines[5:7]]
    announced = [sum(map(int, c)) for c in counts if c and all(n.isdecimal() for n in c)]
    return all(n <= len(lines) for n in announced)
