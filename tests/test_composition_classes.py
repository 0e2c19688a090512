"""Names and classes of compositions."""

from __future__ import annotations

import pytest
from pymatgen.core import Composition, Element

from pyhpc.features.composition_classes import (
    anion_class,
    metallic,
    reduced_formula,
    whole_amounts,
)
from pyhpc.features.elements import SYMBOLS
from pyhpc.features.formulas import parse_formula


@pytest.mark.parametrize(
    ("text", "formula", "word"),
    [
        ("Li12P4O16", "Li3PO4", "oxide"),
        ("Al12O18", "Al2O3", "oxide"),
        ("La2O2F2", "LaOF", "halide"),
        ("LaOCl", "LaClO", "oxide"),
        ("Li10GeP2S12", "Li10GeP2S12", "sulfide"),
        ("Li6.5La3Zr1.5Ta0.5O12", "Li13La6Zr3TaO24", "oxide"),
        ("Ca3N2", "Ca3N2", "nitride"),
        ("NaBH4", "NaBH4", "hydride"),
        ("SiC", "SiC", "carbide"),
        ("Bi2Te3", "Bi2Te3", "telluride"),
        ("Cu3Au", "Cu3Au", "intermetallic"),
        ("C8", "C", "element"),
        ("Ti2", "Ti", "element"),
        ("Na0.12345678Cl0.87654322", "Na10Cl71", "halide"),
        ("Na1Cl1000", "Na0.000999Cl0.999", "halide"),
    ],
)
def test_formulas_and_classes(text, formula, word):
    contents = parse_formula(text)
    assert reduced_formula(contents) == formula
    assert anion_class(contents) == word
    cell = {z: 8 * amount * (1 + 1e-12) for z, amount in contents.items()}
    assert reduced_formula(cell) == formula


def test_whole_amounts_are_those_of_pymatgen():
    for text in ("Li7La3Zr2O12", "Ca20P12O50H4", "Y3Fe5O12", "Mg17Al12", "La0.5Sr0.5MnO3"):
        found = whole_amounts(parse_formula(text))
        expected, _ = Composition(text).get_integer_formula_and_factor(max_denominator=100)
        assert {SYMBOLS[z - 1]: n for z, n in found.items()} == Composition(expected).as_dict()


def test_metals_are_those_of_pymatgen():
    for symbol in SYMBOLS:
        element = Element(symbol)
        # Those of which too little was ever made count as what their group makes of them.
        if element.Z <= 103:
            assert (metallic({element.Z: 1}) == "metal") == element.is_metal, symbol
    assert metallic(parse_formula("Cu3Au")) == "metal"
    assert metallic(parse_formula("TiC")) == "nonmetal"
