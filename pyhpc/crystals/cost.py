"""Guess from its text how long a record will take."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyhpc.records import Record

# Fitted to batches of OBELiX, of two sets of the Materials Project, and of rattled supercells of
# 100 to 12,000 atoms: off by a sixth in the mean, by a factor of three at most.
_SECONDS_PER_RECORD = 1e-4
_SECONDS_PER_ATOM = 3.5e-6
_SECONDS_PER_ATOM_3_2 = 4.6e-7
_SECONDS_PER_IMAGE = 1e-6
_MAX_SITES = 20_000

_OPERATORS = re.compile(rb"_(?:symmetry_equiv_pos|space_group_symop_operation)_(?:as_)?xyz\s")
_ATOMS = re.compile(rb"_atom_site_\w+[^\S\n]*\n(?=\s*[^_\s])")
_END_OF_LOOP = re.compile(rb"^\s*(?:loop_|data_|_|$)", re.MULTILINE | re.IGNORECASE)


def estimate_cost(record: Record) -> float:
    """Estimate how long all features of a record take on one core, in seconds.

    Counts the lines of atoms and of symmetry operators; nothing is parsed. Only good for cutting
    work into pieces of similar size: images of an atom by symmetry cost less than other atoms, but
    those that fall together on special positions are not seen, and a cell that is named by its
    space group alone counts as if it had no symmetry.
    """
    text = record.text
    images = 0
    if record.format == "cif":
        atoms = min(_loop_rows(text, _ATOMS), _MAX_SITES)
        operators = max(1, _loop_rows(text, _OPERATORS))
        images = min(atoms * operators, _MAX_SITES) - atoms
    else:
        mark = b'"abc"' if record.format == "pymatgen" else b"\n"
        atoms = min(text.count(mark), _MAX_SITES)
    per_atom = _SECONDS_PER_ATOM + _SECONDS_PER_ATOM_3_2 * math.sqrt(atoms)
    return _SECONDS_PER_RECORD + per_atom * atoms + _SECONDS_PER_IMAGE * images


def _loop_rows(text: bytes, last_tag: re.Pattern[bytes]) -> int:
    """Count the lines of a loop from its last tag on."""
    tag = last_tag.search(text)
    if tag is None:
        return 0
    end = _END_OF_LOOP.search(text, tag.end())
    if end is None:
        return text.count(b"\n", tag.end()) + 1
    return text.count(b"\n", tag.end(), end.start())
