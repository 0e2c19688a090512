"""Features from the physics kernels: how their results become columns."""

from __future__ import annotations

import numpy as np
import pytest

from pyhpc import CrystalBatch, featurize, kernels
from pyhpc.features import Settings, featurize_with_reasons
from tests.named_crystals import FCC, antifluorite, from_sites, metal, rock_salt

COULOMB = 14.399645478  # eV A / e^2, CODATA 2018
MADELUNG_ROCK_SALT = 1.7475645946
HALF = np.array([0.5, 0.0, 0.0])
INDICATORS = ("has_bv", "has_ewald", "has_voronoi")


def featurized(batch, **settings):
    return featurize_with_reasons(batch, Settings(groups=["physics"], **settings))


def row(batch, **options):
    return featurize(batch, ["physics"], **options).to_pylist()[0]


def stated(batch, charges):
    """The batch with the charge of each element stated."""
    return batch.with_oxidation_states([charges[int(z)] for z in batch.atomic_numbers])


def test_rock_salt():
    values = row(rock_salt(3, 9, 4.0262))
    site = -MADELUNG_ROCK_SALT * COULOMB / 4.0262
    assert values["ewald_energy_avg"] == pytest.approx(site, rel=1e-8)
    assert values["ewald_energy_std"] == pytest.approx(0.0, abs=1e-8)
    assert values["madelung_energy_per_atom"] == pytest.approx(site, rel=1e-8)
    assert values["net_charge"] == 0.0
    for suffix in ("_010", "_025", "_050"):
        assert values[f"li_voronoi_cn_avg{suffix}"] == 6.0
    assert values["bv_mismatch_avg"] < 0.15
    assert values["gii"] == pytest.approx(values["bv_mismatch_avg"], rel=1e-9)
    assert values["valence_method"] == "bond_valence"
    assert [values[name] for name in INDICATORS] == [1, 1, 1]


def test_bond_valence_mismatch_is_that_of_the_kernel():
    batch = stated(rock_salt(3, 9, 4.0262), {3: 1.0, 9: -1.0})
    sums = kernels.bond_valence_sums(batch).sums[:4]
    values = row(batch)
    assert values["bv_mismatch_avg"] == pytest.approx(abs(1.0 - sums[0]), rel=1e-12)
    assert values["bv_mismatch_std"] == pytest.approx(0.0, abs=1e-12)


def test_means_are_weighted_by_occupancy():
    # Two lithium sites of different surroundings, 0.9 and 0.1 filled.
    sites = [
        ([0, 0, 0], {3: 0.9, 11: 0.1}),
        ([0.5, 0.5, 0.5], {3: 0.1, 11: 0.9}),
        ([0.35, 0, 0], {9: 1.0}),
        ([0.5, 0.5, 0.1], {9: 1.0}),
    ]
    batch = stated(from_sites(np.eye(3) * 5.5, sites), {3: 1.0, 11: 1.0, 9: -1.0})
    ewald = kernels.ewald_site_energies(batch).site_energies[:2]
    bonds = kernels.bond_valence_sums(batch)
    mismatch = np.abs(bonds.expected - bonds.sums)[:2]
    assert abs(ewald[0] - ewald[1]) > 0.1
    values = row(batch)
    for name, expected in (("ewald_energy", ewald), ("bv_mismatch", mismatch)):
        mean = 0.9 * expected[0] + 0.1 * expected[1]
        spread = np.sqrt(0.9 * (expected[0] - mean) ** 2 + 0.1 * (expected[1] - mean) ** 2)
        assert values[f"{name}_avg"] == pytest.approx(mean, rel=1e-9)
        assert values[f"{name}_std"] == pytest.approx(spread, rel=1e-9)


def test_site_energies_are_those_of_one_ion():
    """The same potential from half an ion of charge 2 as from a whole one of charge 1."""
    whole = stated(antifluorite(3, 8, 4.62), {3: 1.0, 8: -2.0})
    half = stated(antifluorite(3, 8, 4.62, occupancy=0.5), {3: 2.0, 8: -2.0})
    one, two = row(whole), row(half)
    assert two["ewald_energy_avg"] == pytest.approx(2 * one["ewald_energy_avg"], rel=1e-8)
    assert two["net_charge"] == 0.0


def test_stated_valences_have_no_runner_up():
    batch = stated(rock_salt(3, 9, 4.0262), {3: 1.0, 9: -1.0})
    result = featurized(batch)
    values = result.table.to_pylist()[0]
    assert values["valence_method"] == "stated"
    assert np.isnan(values["valence_margin"])
    assert [(r.code, r.outcome.value) for r in result.reasons[0]] == [("no_runner_up", "ok")]


def test_a_crystal_without_the_ion_keeps_what_is_the_crystals():
    result = featurized(rock_salt(11, 17, 5.64))
    values = result.table.to_pylist()[0]
    assert np.isfinite(values["gii"])
    assert values["madelung_energy_per_atom"] == pytest.approx(
        -MADELUNG_ROCK_SALT * COULOMB / 5.64, rel=1e-8
    )
    assert np.isnan(values["ewald_energy_avg"])
    assert [values[name] for name in INDICATORS] == [0, 0, 0]
    codes = [reason.code for reason in result.reasons[0]]
    assert "no_mobile_ion" in codes
    sodium = row(rock_salt(11, 17, 5.64), mobile_ion="Na")
    assert [sodium[name] for name in INDICATORS] == [1, 1, 1]


def test_a_metal_is_a_plain_fact():
    result = featurized(metal(3, 3.5))
    values = result.table.to_pylist()[0]
    assert values["valence_method"] == "neutral"
    assert values["net_charge"] == 0.0
    assert [values[name] for name in INDICATORS] == [0, 0, 1]
    assert np.isnan(values["gii"])
    assert np.isnan(values["madelung_energy_per_atom"])
    assert {(r.code, r.outcome.value) for r in result.reasons[0]} == {("neutral_atoms", "ok")}


def test_a_charged_cell_is_reported():
    batch = stated(rock_salt(3, 9, 4.0), {3: 1.0, 9: -0.5})
    result = featurized(batch)
    assert result.table["net_charge"][0].as_py() == pytest.approx(2.0)
    assert "charged_cell" in [reason.code for reason in result.reasons[0]]


def test_a_site_of_mean_charge_zero_tells_no_energy():
    sites = [(frac, {3: 0.5, 9: 0.5}) for frac in FCC]
    sites += [(frac + HALF, {11: 0.5, 17: 0.5}) for frac in FCC]
    sites.append(([0.25, 0.25, 0.25], {12: 0.5}))
    sites.append(([0.75, 0.75, 0.75], {8: 0.5}))
    charges = {3: 1.0, 9: -1.0, 11: 1.0, 17: -1.0, 12: 2.0, 8: -2.0}
    result = featurized(stated(from_sites(np.eye(3) * 5, sites), charges))
    values = result.table.to_pylist()[0]
    assert np.isnan(values["ewald_energy_avg"])
    assert values["has_ewald"] == 0
    assert "neutral_ion_site" in [reason.code for reason in result.reasons[0]]


def test_what_a_kernel_says_of_a_crystal_is_its_reason():
    """Lithium on an anion: coincident charges fail the Ewald sum, and only it."""
    sites = [(frac, {3: 1.0}) for frac in FCC]
    sites += [(frac + 2e-5 * HALF, {9: 1.0}) for frac in FCC]
    broken = stated(from_sites(np.eye(3) * 4, sites, name="broken"), {3: 1.0, 9: -1.0})
    good = rock_salt(3, 9, 4.0262, name="good")
    neutral = metal(26, 2.87, name="iron")
    # The neutral crystal is left out of the kernels' batch: positions must not slip.
    result = featurized(CrystalBatch.concatenate([neutral, broken, good]))
    rows = {row["id"]: row for row in result.table.to_pylist()}
    assert rows["broken"]["has_ewald"] == 0
    assert rows["good"]["has_ewald"] == 1
    assert rows["good"]["gii"] == row(good)["gii"]
    messages = [r.message for r in result.reasons[1] if r.code == "coincident_sites"]
    assert any(message.startswith("ewald: ") for message in messages)
    assert all(r.stage == "features.physics" for r in result.reasons[1])
    assert {r.code for r in result.reasons.get(2, [])} <= {"no_runner_up"}
