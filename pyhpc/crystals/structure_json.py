"""Structures as pymatgen writes them in JSON, without pymatgen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from pyhpc.crystals.batch import CrystalBatch
from pyhpc.crystals.checks import close_sites, out_of_bounds, quarantined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.crystals.limits import Limits
    from pyhpc.records import Reason, Record

_NUMBERS = {gemmi.Element(z).name: z for z in range(1, 119)} | {"D": 1, "T": 1}
_MAX_OCCUPANCY = 1.0 + 1e-6
"""Of a site: pymatgen itself makes no structure above 1."""


class _RefusedError(Exception):
    """Ends the reading of a structure with a reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reason = quarantined(code, message)


def is_structure_json(text: bytes) -> bool:
    """Whether a cell of a table holds JSON, and not CIF, which never begins with a brace."""
    return text[:100].lstrip().startswith(b"{")


def read_structure_json(record: Record, limits: Limits) -> tuple[CrystalBatch | None, list[Reason]]:
    """Read a record that holds ``Structure.as_dict()`` of pymatgen.

    Lattice, periodic directions, fractional coordinates, elements, occupancies and oxidation
    states are taken; the total charge and properties of sites are not.

    Returns
    -------
    batch : CrystalBatch or None
        One crystal, as :meth:`CrystalBatch.from_pymatgen` gives it; None if the record can't be
        read, and then the last reason says why.
    reasons : list of Reason
        Findings.
    """
    try:
        batch = _crystal(record.id, _parse(record.text), limits)
    except _RefusedError as error:
        return None, [error.reason]
    refused = out_of_bounds(batch, limits)
    if refused is not None:
        return None, [refused]
    return batch, close_sites(batch)


def _parse(text: bytes) -> dict[str, Any]:
    try:
        structure = json.loads(text)
    # Besides its own error, json raises these for wrong bytes, long numbers and deep nesting.
    except (ValueError, RecursionError) as error:
        message = " ".join(f"no JSON: {error}".split())[:200]
        raise _RefusedError("syntax_error", message) from None
    if not isinstance(structure, dict) or not isinstance(structure.get("sites"), list):
        raise _RefusedError("no_structure", "no list of sites: not pymatgen's JSON of a Structure")
    return structure


def _crystal(name: str, structure: dict[str, Any], limits: Limits) -> CrystalBatch:
    sites = structure["sites"]
    if len(sites) > limits.max_sites:
        message = f"{len(sites)} sites, more than {limits.max_sites}"
        raise _RefusedError("too_many_sites", message)
    lattice = structure.get("lattice")
    if not isinstance(lattice, dict) or "matrix" not in lattice:
        raise _RefusedError("missing_cell", "no matrix of the lattice")
    coords, species, offsets = [], [], [0]
    for k, site in enumerate(sites):
        if not isinstance(site, dict):
            raise _RefusedError("no_structure", f"site {k} is no object")
        coords.append(site.get("abc"))
        species += _species(site.get("species"), k)
        offsets.append(len(species))
    columns = np.array(species, dtype=np.float64).reshape(-1, 3)
    return CrystalBatch(
        ids=(name,),
        lattices=_numbers([lattice["matrix"]], (1, 3, 3), "lattice.matrix"),
        pbc=_directions(lattice.get("pbc")),
        site_offsets=np.array([0, len(sites)]),
        frac_coords=_numbers(coords, (len(sites), 3), "abc of the sites"),
        asymmetric_index=np.full(len(sites), -1),
        species_offsets=np.array(offsets),
        atomic_numbers=columns[:, 0].astype(np.uint8),
        occupancies=columns[:, 1],
        oxidation_states=columns[:, 2],
    )


def _numbers(values: list[Any], shape: tuple[int, ...], what: str) -> Any:
    try:
        array = np.array(values)
    except ValueError:
        array = np.empty(0)
    # Of texts, null and integers without bounds NumPy makes arrays of other kinds.
    if (values and array.shape != shape) or array.dtype.kind not in "if":
        raise _RefusedError("bad_number", f"{what}: numbers in the shape {shape} expected")
    return array.astype(np.float64).reshape(shape)


def _directions(pbc: Any) -> NDArray[np.bool_]:
    """Periodic directions; older files do not tell, and then all are."""
    if pbc is None:
        return np.ones(3, dtype=np.bool_)
    if not (isinstance(pbc, list) and len(pbc) == 3 and all(isinstance(one, bool) for one in pbc)):
        raise _RefusedError("bad_cell", f"lattice.pbc is {str(pbc)[:40]}, not three truth values")
    return np.array(pbc)


def _species(entries: Any, site: int) -> list[tuple[int, float, float]]:
    """Atomic number, occupancy and oxidation state of each species on a site."""
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise _RefusedError("no_structure", f"site {site} has no list of species")
    found = []
    for one in entries:
        symbol = one.get("element")
        number = _NUMBERS.get(symbol) if isinstance(symbol, str) else None
        if number is None:
            raise _RefusedError("unknown_element", f"site {site} holds {str(symbol)[:40]!r}")
        charge = one.get("oxidation_state")
        occupancy = _number(one.get("occu"), f"occu of site {site}")
        charge = np.nan if charge is None else _number(charge, f"oxidation_state of site {site}")
        if occupancy < 0:
            raise _RefusedError("bad_number", f"occu of site {site} is {occupancy:g}")
        if occupancy > 0:
            found.append((number, occupancy, charge))
    if not found:
        raise _RefusedError("unknown_element", f"site {site} holds no species")
    if (total := sum(entry[1] for entry in found)) > _MAX_OCCUPANCY:
        raise _RefusedError("occupancy_above_one", f"site {site} is filled to {total:g}")
    return found


def _number(value: Any, what: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = np.inf
        if np.isfinite(number):
            return number
    raise _RefusedError("bad_number", f"{what} is {str(value)[:40]}")
