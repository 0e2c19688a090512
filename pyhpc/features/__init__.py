"""Named features of crystals, with units, meanings and sources.

:func:`featurize` computes them, :data:`CATALOGUE` lists them, :data:`GROUPS` gives the names of
each group. The groups:

``composition``
    Fractions of elements and Magpie statistics; needs the formula alone.
``lattice``
    Cell, density and counts of atoms.
``symmetry``
    Space group and crystal system.
``mobile_ion``
    Concentration, distances, coordination and occupancy of the mobile ion's sites.
``physics``
    Bond valences, Ewald site energies, Voronoi coordination, valences.
``mechanical``
    Bonds, Voronoi cells and packing of all sites, bulk moduli and volumes of the elements.
"""

from pyhpc.features.catalogue import CATALOGUE, GROUPS, Feature, catalogue, schema, select
from pyhpc.features.explain import unexplained
from pyhpc.features.featurize import Featurized, Settings, featurize, featurize_with_reasons
from pyhpc.features.symmetry import one_hot_space_group

__all__ = [
    "CATALOGUE",
    "GROUPS",
    "Feature",
    "Featurized",
    "Settings",
    "catalogue",
    "featurize",
    "featurize_with_reasons",
    "one_hot_space_group",
    "schema",
    "select",
    "unexplained",
]
