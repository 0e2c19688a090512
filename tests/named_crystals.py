"""Well-known crystals for the tests of features, ordered and disordered."""

from __future__ import annotations

import numpy as np

from pyhpc import CrystalBatch

FCC = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def from_sites(lattice, sites, *, name="x"):
    """Batch of one crystal from (frac_coords, {atomic number: occupancy}) of each site."""
    species = [list(content.items()) for _, content in sites]
    flat = [entry for content in species for entry in content]
    return CrystalBatch(
        ids=[name],
        lattices=np.asarray(lattice, dtype=float)[None],
        site_offsets=[0, len(sites)],
        frac_coords=[frac for frac, _ in sites],
        species_offsets=np.concatenate([[0], np.cumsum([len(content) for content in species])]),
        atomic_numbers=[z for z, _ in flat],
        occupancies=[occupancy for _, occupancy in flat],
        oxidation_states=np.full(len(flat), np.nan),
        asymmetric_index=np.full(len(sites), -1),
    )


def rock_salt(cation, anion, a, *, name="rock salt"):
    """NaCl structure; ``cation`` is an atomic number or a dict of occupancies."""
    content = cation if isinstance(cation, dict) else {cation: 1.0}
    sites = [(frac, content) for frac in FCC]
    sites += [(frac + 0.5 * np.eye(3)[0], {anion: 1.0}) for frac in FCC]
    return from_sites(np.eye(3) * a, sites, name=name)


def antifluorite(cation, anion, a, *, occupancy=1.0, name="antifluorite"):
    """Li2O structure: anions on the face-centred lattice, cations in its tetrahedra."""
    tetrahedra = np.array(
        [[x, y, z] for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)]
    )
    sites = [(frac, {anion: 1.0}) for frac in FCC]
    sites += [(frac, {cation: occupancy}) for frac in tetrahedra]
    return from_sites(np.eye(3) * a, sites, name=name)


def metal(z, a, *, name="metal"):
    """Body-centred cubic element."""
    return from_sites(
        np.eye(3) * a, [([0, 0, 0], {z: 1.0}), ([0.5, 0.5, 0.5], {z: 1.0})], name=name
    )


def split_site(*, name="split"):
    """Half a lithium on each of two places 0.6 angstrom apart, in an oxide cube of 6 angstrom."""
    gap = 0.3 / 6.0
    sites = [
        ([0.5 - gap, 0.5, 0.5], {3: 0.5}),
        ([0.5 + gap, 0.5, 0.5], {3: 0.5}),
        ([0.5, 0.5, 0.5 + 2.0 / 6.0], {8: 1.0}),
        ([0.0, 0.0, 0.0], {41: 0.2, 73: 0.0}),
    ]
    return from_sites(np.eye(3) * 6.0, sites, name=name)
