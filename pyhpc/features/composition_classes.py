"""What a composition is called: its formula, the class of its anion, whether it is a metal.

Words for folds and strata, not features: all that they tell, the composition tells as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.features.elements import SYMBOLS, property_values

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANION_CLASSES = {
    "F": "halide",
    "O": "oxide",
    "Cl": "halide",
    "N": "nitride",
    "Br": "halide",
    "I": "halide",
    "S": "sulfide",
    "Se": "selenide",
    "C": "carbide",
    "H": "hydride",
    "P": "phosphide",
    "As": "arsenide",
    "Te": "telluride",
    "Sb": "antimonide",
    "B": "boride",
    "Si": "silicide",
}
"""Elements that form anions, the most electronegative (Pauling) first."""

_NONMETALS = frozenset(
    [
        "H",
        "He",
        "B",
        "C",
        "N",
        "O",
        "F",
        "Ne",
        "Si",
        "P",
        "S",
        "Cl",
        "Ar",
        "Ge",
        "As",
        "Se",
        "Br",
        "Kr",
        "Sb",
        "Te",
        "I",
        "Xe",
        "Po",
        "At",
        "Rn",
        "Ts",
        "Og",
    ]
)
"""Nonmetals and metalloids."""

_MOST_ATOMS = 500
"""Atoms of a formula that is written in whole numbers."""

_TOLERANCE = 1e-3
"""By how much an amount may miss a whole number."""


def whole_amounts(contents: Mapping[int, float]) -> dict[int, float]:
    """Amounts of the smallest formula in whole numbers, by atomic number.

    The same for every cell of a compound. A composition that no formula of up to 500 atoms has
    is given as fractions of the atoms.

    Parameters
    ----------
    contents : dict of int to float
        Atoms by atomic number, in any amount.
    """
    amounts = np.fromiter(contents.values(), dtype=np.float64)
    fractions = amounts / amounts.sum()
    multiples = np.outer(np.arange(1, _MOST_ATOMS + 1), fractions)
    whole = (np.abs(multiples - np.rint(multiples)) < _TOLERANCE).all(axis=1)
    whole &= (np.rint(multiples) > 0).all(axis=1)
    found = np.rint(multiples[np.argmax(whole)]) if whole.any() else fractions
    return dict(zip(contents, found.tolist(), strict=True))


def reduced_formula(contents: Mapping[int, float]) -> str:
    """Write the smallest formula, the least electronegative element first: ``Li3PO4``.

    Peroxides and molecules are reduced like all others, ``Li2O2`` to ``LiO``; a composition
    without whole numbers is written in fractions of the atoms, ``Na0.1234...``.
    """
    electronegativity = property_values("electronegativity")

    def place(z: int) -> tuple[float, str]:
        value = electronegativity[z - 1]
        return (value if np.isfinite(value) else np.inf, SYMBOLS[z - 1])

    amounts = whole_amounts(contents)
    return "".join(
        SYMBOLS[z - 1] + ("" if amounts[z] == 1 else f"{amounts[z]:.4g}")
        for z in sorted(amounts, key=place)
    )


def anion_class(contents: Mapping[int, float]) -> str:
    """Class by the most electronegative element: ``"oxide"``, ``"sulfide"``, ``"halide"``, ...

    A compound without an element that forms anions is ``"intermetallic"``, one element alone
    ``"element"``. Li3PO4 is an oxide, LaOF a halide.
    """
    symbols = {SYMBOLS[z - 1] for z in contents}
    if len(symbols) == 1:
        return "element"
    return next(
        (word for symbol, word in _ANION_CLASSES.items() if symbol in symbols), "intermetallic"
    )


def metallic(contents: Mapping[int, float]) -> str:
    """``"metal"`` if all elements are metals, else ``"nonmetal"``; metalloids are no metals."""
    return "nonmetal" if any(SYMBOLS[z - 1] in _NONMETALS for z in contents) else "metal"
