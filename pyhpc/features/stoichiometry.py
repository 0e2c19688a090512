"""Features of a stated formula and cell beyond those that a crystal has.

They ask how the mobile ion, the other cations and the anions share a composition, as a chemist does
who compares two conductors, and what volume and shape the stated cell gives each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.features.elements import ANIONS, SYMBOLS, mobile_ion_number, property_values
from pyhpc.features.formulas import common_states

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_SORTED = 4
"""Elements, the most abundant first, whose fraction is a feature."""

_CATION_PROPERTIES = (
    "electronegativity",
    "row",
    "column",
    "covalent_radius",
    "mendeleev_number",
    "atomic_weight",
)
"""Magpie properties whose statistics over the cations are features."""


def stoichiometry(
    contents: Sequence[Mapping[int, float]], ion: str = "Li"
) -> dict[str, NDArray[np.float64]]:
    """How mobile ions, other cations and anions share a composition.

    Parameters
    ----------
    contents : sequence of dict, length n
        Atoms of one formula unit by atomic number.
    ion : str
        Symbol of the mobile ion.

    Returns
    -------
    dict of str to array, shape (n,)
        ``stoich_ion_per_anion``, ``stoich_ion_per_cation``, ``stoich_cation_per_anion`` and
        ``stoich_ion_per_other``: ratios of amounts, NaN over nothing, where a cation is whatever
        is neither anion nor mobile ion; ``stoich_<O|halogen|chalcogen>_share``: of the anions;
        ``stoich_entropy``: of the mixing of all elements, in units of R;
        ``stoich_fraction_1`` to ``_4``: of the most abundant elements; ``stoich_fraction_least``:
        of the rarest, often a dopant; ``stoich_rounding``: distance of all amounts from whole
        numbers, summed; ``stoich_n_cations``, ``stoich_n_anions``: elements;
        ``stoich_formula_atoms``, ``stoich_formula_ions``: amounts as the formula is written.
    """
    amounts = _amounts(contents)
    fractions = amounts / amounts.sum(axis=1, keepdims=True)
    ions, cations, anions = _parts(amounts, ion)
    n_ion, n_cation, n_anion = (part.sum(axis=1) for part in (ions, cations, anions))
    result = {
        "stoich_ion_per_anion": _ratio(n_ion, n_anion),
        "stoich_ion_per_cation": _ratio(n_ion, n_cation),
        "stoich_cation_per_anion": _ratio(n_cation, n_anion),
        "stoich_ion_per_other": _ratio(n_ion, n_cation + n_anion),
    }
    for name, symbols in (
        ("O", ("O",)),
        ("halogen", ("F", "Cl", "Br", "I")),
        ("chalcogen", ("S", "Se", "Te")),
    ):
        share = anions[:, np.isin(SYMBOLS, symbols)].sum(axis=1)
        result[f"stoich_{name}_share"] = _ratio(share, n_anion)
    logarithms = np.log(fractions, out=np.zeros_like(fractions), where=fractions > 0)
    result["stoich_entropy"] = -(fractions * logarithms).sum(axis=1)
    descending = -np.sort(-fractions, axis=1)
    result |= {f"stoich_fraction_{k + 1}": descending[:, k] for k in range(_SORTED)}
    result["stoich_fraction_least"] = np.where(fractions > 0, fractions, np.inf).min(axis=1)
    result["stoich_rounding"] = np.abs(amounts - np.round(amounts)).sum(axis=1)
    result["stoich_n_cations"] = (cations > 0).sum(axis=1).astype(np.float64)
    result["stoich_n_anions"] = (anions > 0).sum(axis=1).astype(np.float64)
    result["stoich_formula_atoms"] = amounts.sum(axis=1)
    result["stoich_formula_ions"] = n_ion
    return result


def cation_statistics(
    contents: Sequence[Mapping[int, float]], ion: str = "Li"
) -> dict[str, NDArray[np.float64]]:
    """Statistics of properties over the cations that stay where they are.

    The mobile ion and the anions make most of a composition, so that in statistics over all
    elements a substitution on a cation's site is hardly seen.

    Parameters
    ----------
    contents : sequence of dict, length n
        Atoms by atomic number.
    ion : str
        Symbol of the mobile ion.

    Returns
    -------
    dict of str to array, shape (n,)
        ``cation_<statistic>_<property>``: ``mean`` and standard deviation ``std`` by amount,
        ``min``, ``max`` and ``range``, of six Magpie properties, of ``charge``, the commonest
        oxidation state in e, and of ``field``, charge over covalent radius in e/pm. NaN where there
        is no such cation, or none with a known value.
    """
    _, cations, _ = _parts(_amounts(contents), ion)
    charges, _ = common_states()
    values = {name: property_values(name) for name in _CATION_PROPERTIES}
    values |= {"charge": charges, "field": charges / property_values("covalent_radius")}
    result: dict[str, NDArray[np.float64]] = {}
    for name, value in values.items():
        known = np.isfinite(value)
        weights, x = cations[:, known], value[known]
        total = weights.sum(axis=1)
        mean = _ratio(weights @ x, total)
        variance = _ratio((weights * (x - mean[:, None]) ** 2).sum(axis=1), total)
        least = np.where(weights > 0, x, np.inf).min(axis=1)
        most = np.where(weights > 0, x, -np.inf).max(axis=1)
        statistics = {
            "mean": mean,
            "std": np.sqrt(variance),
            "min": least,
            "max": most,
            "range": most - least,
        }
        result |= {
            f"cation_{statistic}_{name}": np.where(total > 0, column, np.nan)
            for statistic, column in statistics.items()
        }
    return result


def cell_shares(
    contents: Sequence[Mapping[int, float]],
    cells: NDArray[np.float64],
    volumes: NDArray[np.float64],
    ion: str = "Li",
) -> dict[str, NDArray[np.float64]]:
    """Volume of the stated cell for each kind of atom, and the cell's shape.

    Parameters
    ----------
    contents : sequence of dict, length n
        Atoms of the cell by atomic number.
    cells : array, shape (n, 6)
        Edges in angstrom and angles in degrees.
    volumes : array, shape (n,)
        Of the cells, in cubic angstrom.
    ion : str
        Symbol of the mobile ion.

    Returns
    -------
    dict of str to array, shape (n,)
        ``cell_volume_per_ion``, ``cell_volume_per_anion``, ``cell_volume_per_other`` (atoms other
        than mobile ions), in cubic angstrom, NaN where there are none; ``cell_relative_a`` and so
        on: edges over the cube root of the volume; ``cell_edge_1`` to ``_3``: edges, shortest
        first, in angstrom, as authors order their axes differently.
    """
    ions, cations, anions = _parts(_amounts(contents), ion)
    others = (cations + anions).sum(axis=1)
    result = {
        "cell_volume_per_ion": _ratio(volumes, ions.sum(axis=1)),
        "cell_volume_per_anion": _ratio(volumes, anions.sum(axis=1)),
        "cell_volume_per_other": _ratio(volumes, others),
    }
    edges = cells[:, :3]
    relative = edges / np.cbrt(volumes)[:, None]
    result |= {f"cell_relative_{axis}": relative[:, k] for k, axis in enumerate("abc")}
    ascending = np.sort(edges, axis=1)
    return result | {f"cell_edge_{k + 1}": ascending[:, k] for k in range(3)}


def formula_units(
    contents: Sequence[Mapping[int, float]], cells: Sequence[Mapping[int, float]]
) -> NDArray[np.float64]:
    """Count the formula units in each cell, by the numbers of atoms, shape (n,)."""
    atoms, written = (
        np.array([sum(one.values()) for one in part], dtype=np.float64)
        for part in (cells, contents)
    )
    units: NDArray[np.float64] = atoms / written
    return units


def _amounts(contents: Sequence[Mapping[int, float]]) -> NDArray[np.float64]:
    """Atoms of each element, shape (n, 118)."""
    amounts = np.zeros((len(contents), len(SYMBOLS)))
    for row, one in zip(amounts, contents, strict=True):
        row[np.fromiter(one, dtype=np.int64) - 1] = list(one.values())
    return amounts


def _parts(
    amounts: NDArray[np.float64], ion: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Amounts of mobile ions, other cations and anions, 0 for elements of other kinds."""
    mobile = np.arange(len(SYMBOLS)) == mobile_ion_number(ion) - 1
    anions = ANIONS & ~mobile
    return amounts * mobile, amounts * ~(mobile | anions), amounts * anions


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient, NaN where the denominator is 0."""
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
