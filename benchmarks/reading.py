"""CIF text to the sites of the cell."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import data
from benchmarks.harness import Comparison, System, Work
from pyhpc.crystals import read_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Effort, Row
    from pyhpc import CrystalBatch

N_CRYSTALS = 150
LIMIT = 0.0

TOLERANCE = 0.02
"""Relative deviation of an element's amount, since occupancies are rounded."""

Contents = list[dict[str, float]]
Stated = tuple[dict[str, float], int] | None


def run(effort: Effort) -> Iterator[Row]:
    """Compare readers.

    The error is the share of files, of those that state their formula and Z, whose cell does not
    hold what they state.
    """
    compare = Comparison(
        "reading", "CIF text to cell", "share of files against their formula", LIMIT
    )
    for name in data.available(quick=effort.quick):
        chosen = data.sample(name, 12 if effort.quick else N_CRYSTALS)
        texts = [chosen.text(k) for k in range(len(chosen.batch))]
        stated = [_stated(text) for text in texts]
        records = [chosen.records[k] for k in chosen.positions]

        def error(contents: Contents, stated: list[Stated] = stated) -> float:
            return _contradicting(contents, stated)

        ours = Work(
            "pyhpc",
            lambda records=records: lambda: read_records(records, threads=1).batch,
            lambda batch, error=error: error(_contents(batch)),
        )
        peers = [
            Work("gemmi", lambda texts=texts: _gemmi(texts), error, "gemmi"),
            Work("CifParser", lambda texts=texts: _cif_parser(texts), error, "pymatgen"),
        ]
        system = System(name, len(texts), chosen.batch.n_sites)
        yield from compare.rows(system, effort, ours, peers)


def _gemmi(texts: list[str]) -> Callable[[], Contents]:
    import gemmi

    def run() -> Contents:
        found = []
        for text in texts:
            block = gemmi.cif.read_string(text).sole_block()
            structure = gemmi.make_small_structure_from_block(block)
            amounts: dict[str, float] = {}
            for site in structure.get_all_unit_cell_sites():
                amounts[site.element.name] = amounts.get(site.element.name, 0.0) + site.occ
            found.append(amounts)
        return found

    return run


def _cif_parser(texts: list[str]) -> Callable[[], Contents]:
    from pymatgen.io.cif import CifParser

    def run() -> Contents:
        found: Contents = []
        for text in texts:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    structure = CifParser.from_str(text).parse_structures(primitive=False)[0]
            except ValueError:
                found.append({})
                continue
            elements = structure.composition.element_composition
            found.append({element.symbol: amount for element, amount in elements.items()})
        return found

    return run


def _contents(batch: CrystalBatch) -> Contents:
    """Atoms of each element in each cell."""
    from pyhpc.features.contents import Contents as Amounts
    from pyhpc.features.elements import SYMBOLS

    amounts = Amounts.of(batch, "Li").amounts
    return [{SYMBOLS[z]: row[z] for z in np.flatnonzero(row)} for row in amounts]


def _stated(text: str) -> Stated:
    """Formula and Z as the file states them."""
    formula = re.search(r"^_chemical_formula_sum\s+['\"]?([^'\"\n]+)", text, re.MULTILINE)
    units = re.search(r"^_cell_formula_units_Z\s+(\d+)", text, re.MULTILINE)
    if not formula or not units:
        return None
    parts = re.findall(r"([A-Z][a-z]?)([\d.]*)", formula[1])
    return {symbol: float(count or 1) for symbol, count in parts}, int(units[1])


def _contradicting(contents: Contents, stated: list[Stated]) -> float:
    """Share of the files that say so whose cell is neither Z formulas nor (as often meant) one."""
    wrong = total = 0
    for found, said in zip(contents, stated, strict=True):
        if said is None:
            continue
        formula, units = said
        total += 1
        wrong += not any(_are_equal(found, formula, factor) for factor in (units, 1))
    return wrong / total if total else 0.0


def _are_equal(found: dict[str, float], formula: dict[str, float], factor: int) -> bool:
    for symbol in found.keys() | formula.keys():
        expected = factor * formula.get(symbol, 0.0)
        if abs(found.get(symbol, 0.0) - expected) > TOLERANCE * max(1.0, expected):
            return False
    return True
