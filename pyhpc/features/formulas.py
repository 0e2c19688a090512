"""Features of rows of a table that states compositions and cells, without a structure."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from pyhpc import tables
from pyhpc.crystals import CrystalBatch
from pyhpc.errors import PyhpcError
from pyhpc.features.elements import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_TOKEN = re.compile(r"([A-Z][a-z]?|[(\[{]|[)\]}])(\d+\.?\d*|\.\d+)?")
_MULTIPLIER = re.compile(r"\d+\.?\d*|\.\d+")
_NUMBERS = {symbol: z for z, symbol in enumerate(SYMBOLS, start=1)}


def parse_formula(text: str) -> dict[int, float]:
    """Read a formula such as ``Li7La3Zr2O12`` or ``(La0.65Li0.35)(Ti0.7Al0.3)O3``.

    Parameters
    ----------
    text : str
        Symbols, each with an optional amount, and groups in brackets; parts of an adduct are
        separated by ``*`` or a middle dot. Spaces do not count.

    Returns
    -------
    dict of int to float
        Amount by atomic number, in the order of the numbers.

    Raises
    ------
    PyhpcError
        If it is no formula.
    """
    contents: dict[int, float] = {}
    for part in re.split(r"[*\u00b7]", "".join(text.split())):
        multiplier = _MULTIPLIER.match(part)
        factor = float(multiplier[0]) if multiplier else 1.0
        for z, count in _parse_part(part[multiplier.end() if multiplier else 0 :], text).items():
            contents[z] = contents.get(z, 0.0) + factor * count
    contents = {z: count for z, count in sorted(contents.items()) if count > 0}
    if not contents:
        raise _no_formula(text, "it holds no atom")
    return contents


def _parse_part(part: str, text: str) -> dict[int, float]:
    levels: list[dict[int, float]] = [{}]
    position = 0
    while position < len(part):
        token = _TOKEN.match(part, position)
        if token is None:
            raise _no_formula(text, f"{part[position:]!r} is not clear")
        position = token.end()
        word, amount = token[1], float(token[2] or 1)
        if word in "([{":
            levels.append({})
            continue
        if word in ")]}":
            inner = levels.pop()
            if not levels:
                raise _no_formula(text, "a bracket is not opened")
        elif word in _NUMBERS:
            inner = {_NUMBERS[word]: 1.0}
        else:
            raise _no_formula(text, f"{word!r} is no element")
        for z, count in inner.items():
            levels[-1][z] = levels[-1].get(z, 0.0) + amount * count
    if len(levels) > 1:
        raise _no_formula(text, "a bracket is not closed")
    return levels[0]


def _no_formula(text: str, why: str) -> PyhpcError:
    return PyhpcError(
        f"{text!r} is no formula: {why}",
        "Write symbols and amounts, such as Li6.5La3Zr1.5Ta0.5O12 or CuSO4*5H2O.",
    )


def chemical_system(contents: Mapping[int, float]) -> str:
    """Elements of a composition, by symbol: ``La-Li-O-Zr``."""
    return "-".join(sorted(SYMBOLS[z - 1] for z in contents))


def stated_batch(
    ids: Sequence[str],
    contents: Sequence[Mapping[int, float]],
    cells: NDArray[np.float64] | None = None,
) -> CrystalBatch:
    """Crystals of known content and cell, whose atoms share one site.

    Good for the groups of features that ask for no coordinates: composition and lattice.

    Parameters
    ----------
    ids : sequence of str, length n
        Names of the rows.
    contents : sequence of dict, length n
        Atoms by atomic number, from :func:`parse_formula`.
    cells : array, shape (n, 6), optional
        Edges in angstrom and angles in degrees; cells of 1 angstrom where it is not given.

    Raises
    ------
    PyhpcError
        If six numbers make no cell.
    """
    n = len(ids)
    lattices = np.tile(np.eye(3), (n, 1, 1))
    if cells is not None:
        for k, parameters in enumerate(cells):
            cell = gemmi.UnitCell(*parameters)
            # Without a volume there is no cell; gemmi says so by the volume only.
            if not (np.isfinite(cell.volume) and cell.volume > 0):
                raise PyhpcError(
                    f"row {ids[k]} has the cell {list(map(float, parameters))}, which spans none",
                    "Correct the lattice columns of that row.",
                )
            lattices[k] = np.array(cell.orth.mat.tolist()).T
    amounts = [amount for one in contents for amount in one.values()]
    return CrystalBatch(
        ids=tuple(ids),
        lattices=lattices,
        site_offsets=np.arange(n + 1),
        frac_coords=np.zeros((n, 3)),
        asymmetric_index=np.zeros(n, dtype=np.int32),
        species_offsets=np.concatenate([[0], np.cumsum([len(one) for one in contents])]),
        atomic_numbers=np.array([z for one in contents for z in one], dtype=np.uint8),
        occupancies=np.array(amounts, dtype=np.float64),
        oxidation_states=np.full(len(amounts), np.nan),
    )


def charge_balance(contents: Sequence[Mapping[int, float]]) -> dict[str, NDArray[np.float64]]:
    """Charges of compositions by the commonest oxidation state of each element in the ICSD.

    Parameters
    ----------
    contents : sequence of dict, length n
        Atoms by atomic number.

    Returns
    -------
    dict of str to array, shape (n,)
        ``charge_imbalance``: net charge per atom, 0 where the common states balance;
        ``charge_anion_mean``: mean charge of the anions; ``charge_cation_mean``,
        ``charge_cation_max``: of the cations, NaN without any; ``charge_expected_states``: mean
        logarithm of the share of these states among the elements' compounds. In units of e.

    References
    ----------
    .. [1] D. W. Davies et al., J. Open Source Softw. 4, 1361 (2019), doi 10.21105/joss.01361
    """
    states, shares = common_states()
    result = {name: np.full(len(contents), np.nan) for name in CHARGE_BALANCE}
    for k, one in enumerate(contents):
        elements = np.fromiter(one, dtype=np.int64) - 1
        fractions = np.fromiter(one.values(), dtype=np.float64)
        fractions /= fractions.sum()
        charges = states[elements]
        positive, negative = charges > 0, charges < 0
        result["charge_imbalance"][k] = fractions @ charges
        result["charge_expected_states"][k] = fractions @ np.log(shares[elements])
        if negative.any():
            weights = fractions[negative] / fractions[negative].sum()
            result["charge_anion_mean"][k] = weights @ charges[negative]
        if positive.any():
            weights = fractions[positive] / fractions[positive].sum()
            result["charge_cation_mean"][k] = weights @ charges[positive]
            result["charge_cation_max"][k] = charges[positive].max()
    return result


CHARGE_BALANCE = (
    "charge_imbalance",
    "charge_anion_mean",
    "charge_cation_mean",
    "charge_cation_max",
    "charge_expected_states",
)
"""Columns of :func:`charge_balance`."""


@cache
def common_states() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Commonest state of each element other than 0, and its share; NaN where none is known."""
    states, shares = np.full(len(SYMBOLS), np.nan), np.full(len(SYMBOLS), np.nan)
    counts: dict[int, dict[float, float]] = {}
    for row in tables.rows("icsd_oxidation_states"):
        state = float(row["oxidation_state"])
        if state and row["symbol"] in _NUMBERS:
            index = _NUMBERS[row["symbol"]] - 1
            counts.setdefault(index, {})[state] = float(row["compounds"])
    for index, found in counts.items():
        states[index] = max(found, key=lambda state: (found[state], -abs(state)))
        shares[index] = found[states[index]] / sum(found.values())
    states.flags.writeable = shares.flags.writeable = False
    return states, shares
