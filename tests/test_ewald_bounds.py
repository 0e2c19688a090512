"""Ewald sums: that errors are below their a-priori bounds, and that all ways agree.

``PYHPC_EWALD_CRYSTALS=1000 pytest tests/test_ewald_bounds.py`` takes a thousand random crystals and
real ones in proportion, where the suite takes 120.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyhpc import CrystalBatch
from pyhpc.crystals import iter_records, read_records
from pyhpc.kernels import COULOMB_CONSTANT, assign_oxidation_states, ewald_site_energies
from tests.crystals import random_ionic, rock_salt, supercell

N_CRYSTALS = int(os.environ.get("PYHPC_EWALD_CRYSTALS", "120"))


def lattice_of(lengths, angles):
    """Lattice from edges and angles in degrees, or None where the angles do not close."""
    cosines = np.cos(np.radians(angles))
    metric = np.array(
        [
            [1, cosines[2], cosines[1]],
            [cosines[2], 1, cosines[0]],
            [cosines[1], cosines[0], 1],
        ]
    )
    if np.linalg.det(metric) < 1e-3:
        return None
    return np.linalg.cholesky(metric) * np.asarray(lengths)[:, None]


def shaped_lattice(rng, n_sites):
    """Lattice with angles from 25 to 155 degrees and edges that differ up to 20 times."""
    while True:
        lengths = np.exp(rng.uniform(0, math.log(20), size=3) * rng.choice([0.2, 1.0]))
        lattice = lattice_of(lengths, rng.uniform(25, 155, size=3))
        if lattice is not None:
            volume = n_sites * rng.uniform(6, 40)
            return lattice * (volume / np.linalg.det(lattice)) ** (1 / 3)


def bound_cases(rng, count):
    """Random crystals of all shapes and sizes, charged ones and coherent ones among them."""
    for k in range(count):
        n_sites = int(np.exp(rng.uniform(math.log(4), math.log(60))))
        n_sites = {1: 500, 121: 2000}.get(k % 200, n_sites)
        kind = k % 5
        if kind == 0:
            n_cells = rng.integers(1, 4, size=3)
            small = random_ionic(rng, 4, lattice=shaped_lattice(rng, 4))
            yield supercell(small, n_cells)
        else:
            batch = random_ionic(
                rng, n_sites, neutral=kind < 4, lattice=shaped_lattice(rng, n_sites)
            )
            one_sign = batch.with_oxidation_states(np.abs(batch.oxidation_states))
            yield one_sign if kind == 3 else batch


def looseness(batch, accuracy, reference=None, **options):
    """Bound over actual error of each crystal; at least 1 where the bound holds."""
    result = ewald_site_energies(batch, accuracy, **options)
    reference = reference or ewald_site_energies(batch, 1e-14, method="direct")
    assert not np.any(result.status)
    errors = np.abs(result.site_energies - reference.site_energies)
    worst = np.maximum.reduceat(errors, batch.site_offsets[:-1])
    # A crystal without charges has neither bound nor error.
    return np.where(worst == 0, np.inf, result.error_bounds / np.maximum(worst, 1e-300))


def charged_sample(path, step):
    """Some crystals of an archive, with their most probable charges."""
    batch = read_records(list(itertools.islice(iter_records([path]), 0, None, step))).batch
    found = assign_oxidation_states(batch)
    known = np.flatnonzero(found.status == 0)
    return batch.with_oxidation_states(found.oxidation_states).select(known)


@pytest.mark.parametrize(
    ("accuracy", "options"),
    [
        (1e-4, {}),
        (1e-8, {}),
        (1e-6, {"alpha": 0.35}),
        (1e-3, {"method": "mesh"}),
        (1e-8, {"method": "mesh"}),
        (1e-11, {"method": "mesh"}),
    ],
)
def test_errors_stay_below_their_bounds_and_near(rng, accuracy, options):
    batch = CrystalBatch.concatenate(list(bound_cases(rng, N_CRYSTALS)))
    ratios = looseness(batch, accuracy, **options)
    assert ratios.min() >= 1
    assert np.median(ratios) < 1e3
    assert np.quantile(ratios, 0.98) < 1e4


@pytest.mark.parametrize(
    ("name", "step"), [("mp/mp_cifs_a.tar.gz", 2000), ("obelix/cifs.tar.gz", 20)]
)
def test_errors_stay_below_their_bounds_in_real_crystals(shared_data, name, step):
    batch = charged_sample(shared_data(name), max(1, step * 120 // N_CRYSTALS))
    reference = ewald_site_energies(batch, 1e-14, method="direct")
    for method in ("auto", "direct", "mesh"):
        assert looseness(batch, 1e-8, reference, method=method).min() >= 1


@pytest.mark.parametrize("neutral", [True, False])
@pytest.mark.parametrize("accuracy", [1e-3, 1e-8, 1e-12])
def test_mesh_agrees_with_the_sum_over_waves(rng, accuracy, neutral):
    for n_sites in (2, 30, 700):
        lattice = shaped_lattice(rng, n_sites)
        batch = random_ionic(rng, n_sites, neutral=neutral, lattice=lattice)
        mesh = ewald_site_energies(batch, accuracy, method="mesh", parts=True)
        direct = ewald_site_energies(batch, accuracy, method="direct", parts=True)
        tolerance = mesh.error_bounds[0] + direct.error_bounds[0]
        assert np.abs(mesh.site_energies - direct.site_energies).max() <= tolerance
        # They were computed in different ways.
        assert not np.array_equal(mesh.reciprocal_energies, direct.reciprocal_energies)


def test_large_crystals_take_the_mesh_and_keep_their_madelung_constant():
    batch = supercell(rock_salt(), (12, 12, 12))
    result = ewald_site_energies(batch, 1e-8)
    expected = -1.7475645946331822 * COULOMB_CONSTANT / 5.64
    assert np.abs(result.site_energies - expected).max() <= result.error_bounds[0]
    mesh = ewald_site_energies(batch, 1e-8, method="mesh")
    assert np.array_equal(result.site_energies, mesh.site_energies)


def test_mesh_where_sites_are_the_same_by_symmetry(rng):
    batch = supercell(random_ionic(rng, 6), (5, 4, 3))
    labelled = dataclasses.replace(batch, asymmetric_index=np.tile(np.arange(6), 60))
    whole = ewald_site_energies(batch, 1e-9, method="mesh")
    reduced = ewald_site_energies(labelled, 1e-9, method="mesh")
    tolerance = whole.error_bounds[0] + reduced.error_bounds[0]
    assert np.abs(whole.site_energies - reduced.site_energies).max() <= tolerance


LEVELS_SCRIPT = """
import sys
import numpy as np
from pyhpc.kernels import ewald_site_energies
from tests.crystals import random_ionic
batches = [random_ionic(np.random.default_rng(5), n) for n in (7, 40, 300)]
results = [ewald_site_energies(b, method=m) for b in batches for m in ("direct", "mesh")]
np.save(sys.argv[1], np.concatenate([r.site_energies / r.error_bounds[0] for r in results]))
"""


def test_vector_instructions_change_no_more_than_rounding(tmp_path):
    found = {}
    for level in ("scalar", "avx2", "avx512"):
        path = tmp_path / f"{level}.npy"
        subprocess.run(
            [sys.executable, "-c", LEVELS_SCRIPT, str(path)],
            check=True,
            env={**os.environ, "PYHPC_SIMD": level},
            cwd=Path(__file__).parents[1],
        )
        found[level] = np.load(path)
    for level in ("avx2", "avx512"):
        # In units of the bound, which is 1e-8 of an energy.
        assert np.abs(found[level] - found["scalar"]).max() < 1e-4


def test_bounds_are_what_was_asked_for(rng):
    batch = CrystalBatch.concatenate(list(bound_cases(rng, 30)))
    starts = batch.site_offsets[:-1]
    n_charged = np.add.reduceat(batch.oxidation_states != 0, starts)
    volumes = np.abs(np.linalg.det(batch.lattices))
    mean_square = np.add.reduceat(batch.oxidation_states**2, starts) / n_charged
    scale = COULOMB_CONSTANT * mean_square * (n_charged / volumes) ** (1 / 3)
    for accuracy, method in itertools.product((1e-3, 1e-8, 1e-12), ("auto", "mesh")):
        result = ewald_site_energies(batch, accuracy, method=method)
        # Rounding errors are bounded relative to the inverse distances of all pairs.
        assert np.all(result.error_bounds <= (accuracy + 5e-12) * scale)
