"""Expanded crystals against pymatgen's CifParser on real CIFs."""

from __future__ import annotations

import warnings
from collections import Counter
from itertools import islice

import gemmi
import numpy as np
from numpy.testing import assert_allclose
from pymatgen.io.cif import CifParser

from pyhpc.crystals import iter_records, read_records
from pyhpc.records import Outcome, worst

# Where pymatgen reads its own test files otherwise, and why.
OH_LEFT_OUT = "pymatgen leaves the oxygen of OH and OH2 out"
PYMATGEN_DIFFERS = {
    "srycoo": "a quoted string that runs over lines, which is no CIF",
    "PF_sd_1601634#sm_isp_SD1601634-standardized_unitcell": OH_LEFT_OUT,
    "PF_sd_1500382#sm_isp_SD1500382-standardized_unitcell": OH_LEFT_OUT,
    "PF_sd_1500382#sm_isp_SD1500382-published_cell": OH_LEFT_OUT,
    "PF_sd_1002871#sm_isp_SD1002871-standardized_unitcell": "pymatgen takes NH3 for nihonium",
    "PF_sd_1002871#sm_isp_SD1002871-published_cell": "as above, and F 4/m m m for I 4/m m m",
}


def pymatgen_structure(text):
    """First structure that pymatgen reads, None if it reads none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # The bound above which occupancies are quarantined here.
            parser = CifParser.from_str(text.decode(), occupancy_tolerance=1.25)
            return parser.parse_structures(primitive=False, on_error="ignore")[0]
        except ValueError:
            return None


def difference(crystal, structure):
    """What differs between a batch of one crystal and pymatgen's structure; None if nothing."""
    if crystal.n_sites != len(structure):
        return f"{crystal.n_sites} sites, pymatgen has {len(structure)}"
    amounts = Counter()
    for species, amount in structure.composition.items():
        amounts[getattr(species, "Z", 0)] += amount
    found = np.bincount(crystal.atomic_numbers, crystal.occupancies, minlength=119)
    expected = np.array([amounts[z] for z in range(119)])
    if not np.allclose(found, expected, rtol=1e-6, atol=1e-6):
        return f"amounts {found[found != expected]}, pymatgen has {expected[found != expected]}"
    offsets = crystal.frac_coords[:, None] - structure.frac_coords[None]
    offsets -= np.round(offsets)
    # Averages on special positions move by less than the tolerance of merging.
    farthest = np.abs(offsets).max(axis=-1).min(axis=1).max()
    return f"a site is {farthest} away from pymatgen's" if farthest > 1e-4 else None


def compare(source, step=1):
    """Outcomes, and what differs from pymatgen, by id."""
    records = list(islice(iter_records(source), 0, None, step))
    result = read_records(records)
    crystals = {position: k for k, position in enumerate(result.positions.tolist())}
    outcomes, differences = {}, {}
    for k, record in enumerate(records):
        outcomes[record.id] = worst(result.reasons.get(k, []))
        structure = pymatgen_structure(record.text)
        if k not in crystals or structure is None:
            if (k in crystals) != (structure is not None):
                differences[record.id] = f"read by {'pyhpc' if k in crystals else 'pymatgen'} only"
            continue
        crystal = result.batch.select([crystals[k]])
        assert_allclose(abs(np.linalg.det(crystal.lattices[0])), structure.volume, rtol=1e-9)
        if found := difference(crystal, structure):
            differences[record.id] = found
    return outcomes, differences


def test_obelix(shared_data):
    outcomes, differences = compare(shared_data("obelix/cifs.tar.gz"))
    assert len(outcomes) == 321
    assert differences == {}
    # Two lithium sites 0.42 angstrom apart with occupancies that sum to 1.08.
    doubtful = {name for name, outcome in outcomes.items() if outcome is not Outcome.OK}
    assert doubtful == {"13q", "9rc", "ik8", "mtn"}


def test_split_sites_that_gemmi_merges(shared_data):
    records = list(iter_records(shared_data("obelix/cifs.tar.gz")))
    batch = read_records(records).batch
    # gemmi has an entry for each image of each row, as there is here for each species of a site.
    entries = np.diff(batch.species_offsets[batch.site_offsets])
    counts = np.diff(batch.site_offsets)
    merged = {}
    for record, n_entries, n_sites in zip(records, entries, counts, strict=True):
        block = gemmi.cif.read_string(record.text)[0]
        found = gemmi.make_small_structure_from_block(block).get_all_unit_cell_sites()
        if len(found) != n_entries:
            assert len(found) < n_entries
            merged[record.id] = n_sites
            assert n_sites == len(pymatgen_structure(record.text))
    assert merged == {
        "cz2": 40,
        "na5": 322,
        "019": 144,
        "0o6": 144,
        "9yt": 148,
        "iqt": 144,
        "kab": 144,
        "kh3": 328,
        "my9": 144,
        "qno": 144,
        "uex": 104,
    }


def test_materials_project(shared_data):
    outcomes, differences = compare(shared_data("mp/mp_cifs_a.tar.gz"), step=60)
    assert len(outcomes) >= 300
    assert differences == {}
    assert set(outcomes.values()) == {Outcome.OK}


def test_pymatgens_own_files(shared_data):
    outcomes, differences = compare(shared_data("cif_pymatgen/cifs.tar.gz"))
    assert len(outcomes) == 120
    assert set(differences) == set(PYMATGEN_DIFFERS)
