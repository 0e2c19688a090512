"""Structures that pymatgen reads from the development data."""

from __future__ import annotations

import functools
import random
import tarfile
import warnings


@functools.cache
def read_cifs(archive, *, count=None):
    """Dict from name to Structure without charges, in an order drawn at random once and for all."""
    # Importing pymatgen is slow: only the tests that need it pay.
    from pymatgen.core import Structure

    structures = {}
    with tarfile.open(archive) as tar:
        members = sorted((m for m in tar.getmembers() if m.isfile()), key=lambda m: m.name)
        random.Random(20261121).shuffle(members)
        for member in members:
            if count is not None and len(structures) == count:
                break
            text = tar.extractfile(member).read().decode()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                structure = Structure.from_str(text, fmt="cif")
            structure.remove_oxidation_states()
            structures[member.name.rsplit("/", 1)[-1]] = structure
    return structures


def up_to(structures, max_sites):
    """Structures with so many sites at most."""
    return {name: s for name, s in structures.items() if len(s) <= max_sites}
