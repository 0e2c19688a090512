"""Symmetry operators of a space group that a CIF names without listing them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import gemmi

_LONGEST_SYMBOL = 40
# ICSD marks origin choice 1 and 2 by S and Z, and hexagonal and rhombohedral axes by H and R.
_SETTINGS = {"S": ":1", "Z": ":2", "H": ":H", "R": ":R"}


class Setting(NamedTuple):
    """Operators of a space group, and what is doubtful about them.

    Attributes
    ----------
    operators : tuple of str
        Coordinate triplets; empty where the file names no group.
    doubt : str, optional
        Why another setting could be meant.
    """

    operators: tuple[str, ...]
    doubt: str | None = None


@lru_cache(maxsize=4096)
def find_setting(hall: str, hermann_mauguin: str, number: int, *, hexagonal: bool) -> Setting:
    """Find the operators by Hall symbol, else Hermann-Mauguin symbol, else number.

    Parameters
    ----------
    hall, hermann_mauguin : str
        Symbols, empty where they are not given.
    number : int
        Number in the International Tables, 0 where it is not given.
    hexagonal : bool
        Whether the cell has a gamma of 120 degrees, which decides between the two settings of a
        rhombohedral group.

    Returns
    -------
    Setting
        In the standard setting of the number (origin choice 2) where no symbol is known.
    """
    if 0 < len(hall) <= _LONGEST_SYMBOL:
        try:
            return _setting(gemmi.symops_from_hall(hall))
        except (RuntimeError, ValueError):
            pass  # Not a Hall symbol: the other names are tried.
    group = _by_name(hermann_mauguin, hexagonal=hexagonal)
    if group is not None:
        doubt = None
        if number not in (0, group.number):
            doubt = (
                f"{hermann_mauguin!r} is number {group.number}, the file says {number}; "
                "the symbol was taken"
            )
        return _setting(group.operations(), doubt)
    if not 1 <= number <= 230:
        named = hall or hermann_mauguin
        doubt = f"unknown space group {named[:_LONGEST_SYMBOL]!r}" if named else None
        return Setting((), doubt)
    standard = gemmi.get_spacegroup_reference_setting(number)
    group = _by_name(standard.hm, hexagonal=hexagonal) or standard
    doubt = None
    if hermann_mauguin:
        doubt = (
            f"unknown symbol {hermann_mauguin[:_LONGEST_SYMBOL]!r}; "
            f"number {number} taken in its standard setting {group.xhm()}"
        )
    return _setting(group.operations(), doubt)


def _by_name(name: str, *, hexagonal: bool) -> gemmi.SpaceGroup | None:
    """Find a group by a Hermann-Mauguin symbol in the notations that people use."""
    if not 0 < len(name) <= _LONGEST_SYMBOL:
        return None
    plain = re.sub(r"\((\d)\)", r"\1", name.replace("_", " "))
    match = re.fullmatch(r"(.*\S)\s*([SZHR])", plain)
    candidates = [plain] if match is None else [plain, match[1] + _SETTINGS[match[2]]]
    angles = (90.0, 120.0) if hexagonal else (60.0, 60.0)
    for candidate in candidates:
        group = gemmi.find_spacegroup_by_name(candidate, *angles, prefer="2")
        if group is not None:
            return group
    return None


def _setting(operations: gemmi.GroupOps, doubt: str | None = None) -> Setting:
    return Setting(tuple(operation.triplet() for operation in operations), doubt)
