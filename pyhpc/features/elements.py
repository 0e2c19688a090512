"""The table of elements, as arrays that compositions are multiplied with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc import tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS = tables.rows("elements")

SYMBOLS: tuple[str, ...] = tuple(row["symbol"] for row in _ROWS)
"""Symbols of the elements 1 to 118."""

PROPERTIES: dict[str, str] = {
    "number": "1",
    "mendeleev_number": "1",
    "atomic_weight": "g/mol",
    "melting_temperature": "K",
    "column": "1",
    "row": "1",
    "covalent_radius": "pm",
    "electronegativity": "1",
    "n_s_valence": "1",
    "n_p_valence": "1",
    "n_d_valence": "1",
    "n_f_valence": "1",
    "n_valence": "1",
    "n_s_unfilled": "1",
    "n_p_unfilled": "1",
    "n_d_unfilled": "1",
    "n_f_unfilled": "1",
    "n_unfilled": "1",
    "gs_volume_per_atom": "A^3",
    "gs_band_gap": "eV",
    "gs_magnetic_moment": "mu_B",
    "gs_space_group_number": "1",
}
"""Unit of each Magpie property, in the order of ``magpie_emb_0`` ... ``magpie_emb_21``."""

VALUES: NDArray[np.float64] = np.array(
    [[float(row[name] or "nan") for name in PROPERTIES] for row in _ROWS]
)
"""Properties of each element, shape (118, 22), NaN where the table has none."""
VALUES.flags.writeable = False

_SOLIDS = tables.rows("elemental_solids")

BULK_MODULI: NDArray[np.float64] = np.array(
    [float(row["bulk_modulus"] or "nan") for row in _SOLIDS]
)
"""Bulk modulus of each element in GPa, shape (118,), NaN where the table has none."""
BULK_MODULI.flags.writeable = False

MOLAR_VOLUMES: NDArray[np.float64] = np.array(
    [float(row["molar_volume"] or "nan") for row in _SOLIDS]
)
"""Molar volume of each element in cm^3/mol, shape (118,), NaN where the table has none."""
MOLAR_VOLUMES.flags.writeable = False

ANIONS: NDArray[np.bool_] = np.isin(SYMBOLS, ["N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"])
"""Elements that count as anions where nothing is known of their charge, shape (118,)."""


def property_values(name: str) -> NDArray[np.float64]:
    """One property of each element, shape (118,)."""
    return VALUES[:, list(PROPERTIES).index(name)]


def mobile_ion_number(symbol: str) -> int:
    """Atomic number of the mobile ion.

    Raises
    ------
    ValueError
        If the symbol is no element's.
    """
    if symbol not in SYMBOLS:
        raise ValueError(f"mobile_ion = {symbol!r} is no element; write a symbol such as 'Li'")
    return SYMBOLS.index(symbol) + 1
