"""Records in the formats that ASE reads: POSCAR and frames of extended XYZ."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.crystals.interop import from_ase, import_extra
from pyhpc.kernels.neighbors import neighbor_list
from pyhpc.records import Outcome, Reason

if TYPE_CHECKING:
    from pyhpc.crystals.batch import CrystalBatch
    from pyhpc.crystals.limits import Limits
    from pyhpc.records import Record

_ASE_FORMATS = {"poscar": "vasp", "extxyz": "extxyz"}
_MIN_DISTANCE = 0.5


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
        return None, [_quarantined("missing_dependency", str(error))]
    text = record.text.decode("utf-8", "replace")
    if record.format == "poscar" and not _has_lines_for_its_atoms(text):
        return None, [_quarantined("syntax_error", "POSCAR announces more atoms than lines")]
    try:
        atoms = ase_io.read(io.StringIO(text), format=_ASE_FORMATS[record.format], index=0)
        batch = from_ase(atoms, [record.id])
    except Exception as error:  # ASE's readers raise whatever the broken text leads to.
        message = f"ASE can't read this {record.format}: {type(error).__name__}: {error}"
        return None, [_quarantined("syntax_error", " ".join(message.split())[:200])]
    refused = _out_of_bounds(batch, limits)
    if refused is not None:
        return None, [refused]
    return batch, _close_sites(batch)


def _quarantined(code: str, message: str) -> Reason:
    return Reason(code, "parse", Outcome.QUARANTINED, message)


def _has_lines_for_its_atoms(text: str) -> bool:
    """Whether a POSCAR has a line for each atom it announces: ASE makes room before it looks."""
    lines = text.splitlines()
    counts = [line.partition("!")[0].split() for line in lines[5:7]]
    announced = [sum(map(int, c)) for c in counts if c and all(n.isdecimal() for n in c)]
    return all(n <= len(lines) for n in announced)


def _out_of_bounds(batch: CrystalBatch, limits: Limits) -> Reason | None:
    if batch.n_sites == 0:
        return _quarantined("no_sites", "no atoms")
    if batch.n_sites > limits.max_sites:
        message = f"{batch.n_sites} sites, more than {limits.max_sites}"
        return _quarantined("too_many_sites", message)
    if not np.isfinite(batch.frac_coords).all() or not np.isfinite(batch.lattices).all():
        return _quarantined("bad_number", "a coordinate or lattice vector is not finite")
    volume = abs(np.linalg.det(batch.lattices[0]))
    edges = np.linalg.norm(batch.lattices[0], axis=1)
    if volume <= 1e-6 * np.prod(edges):
        return _quarantined("bad_cell", f"lattice vectors span only {volume:.3e} A^3")
    spacings = 1 / np.linalg.norm(np.linalg.inv(batch.lattices[0]), axis=0)
    lengths = np.concatenate([edges, spacings])[np.tile(batch.pbc[0], 2)]
    if np.any((lengths < limits.min_cell_edge) | (lengths > limits.max_cell_edge)):
        low, high = limits.min_cell_edge, limits.max_cell_edge
        message = (
            f"edges and distances of lattice planes are {lengths.min():.4g} to "
            f"{lengths.max():.4g} A, allowed are {low} to {high} A"
        )
        return _quarantined("cell_edge", message)
    return None


def _close_sites(batch: CrystalBatch) -> list[Reason]:
    pairs = neighbor_list(batch, _MIN_DISTANCE, threads=1)
    if len(pairs.distances) == 0:
        return []
    k = int(np.argmin(pairs.distances))
    others = len(pairs.distances) // 2 - 1
    message = f"sites {pairs.i[k]} and {pairs.j[k]} are {pairs.distances[k]:.3f} A apart"
    message += f" (and {others} more)" if others else ""
    return [Reason("close_sites", "check", Outcome.DEGRADED, message)]
