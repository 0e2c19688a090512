"""Features of real crystals: every one has its row, its physics, and its reasons."""

from __future__ import annotations

import csv
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pyhpc import CrystalBatch, kernels
from pyhpc.crystals import iter_records, read, read_records
from pyhpc.features import featurize_with_reasons, unexplained
from pyhpc.gallery import crystals_path
from pyhpc.tasks.featurize import FeaturizeTask


def run(records):
    parts = [FeaturizeTask().run(records[k : k + 64]) for k in range(0, len(records), 64)]
    reasons = {}
    for part, first in zip(parts, range(0, len(records), 64), strict=True):
        for k, said in part.reasons.items():
            reasons[records[first + k].id] = said
    return pa.concat_tables([part.table for part in parts]), reasons


@pytest.mark.parametrize(
    "name", ["obelix/cifs.tar.gz", "mp/mp_cifs_a.tar.gz", "elasticity/cifs.tar.gz"]
)
def test_every_missing_value_of_real_crystals_has_a_reason(shared_data, name):
    records = list(islice(iter_records([shared_data(name)]), 100))
    table, reasons = run(records)
    assert table["id"].to_pylist() == [record.id for record in records]
    assert unexplained(table, reasons) == []
    assert (table["density"].to_numpy() > 0.3).all()


def test_nearly_all_lithium_conductors_have_all_physics(shared_data):
    table, _ = run(list(iter_records([shared_data("obelix/cifs.tar.gz")])))
    conductors = table.filter(pc.greater(table["li_fraction"], 0.0))
    assert table.num_rows == 321
    assert conductors.num_rows == 314
    for indicator in ("has_bv", "has_ewald", "has_voronoi"):
        assert conductors[indicator].to_numpy().mean() >= 0.99
    # Lithium bonds to its anions over 1.5 to 3.3 angstrom (random shifts of coordinates included).
    nearest = conductors["li_anion_min_dist"].to_numpy()
    assert np.nanmedian(nearest) == pytest.approx(2.1, abs=0.4)


def test_stiff_crystals_have_many_strong_bonds(shared_data):
    """Bond orders per volume rank real crystals by their bulk modulus from first principles."""
    table, _ = run(list(islice(iter_records([shared_data("elasticity/cifs.tar.gz")]), 0, None, 40)))
    with shared_data("elasticity/kvrh.csv").open() as file:
        moduli = {
            row["mp_id"]: float(row["K_VRH_matbench2019"] or "nan") for row in csv.DictReader(file)
        }
    names = [name.rpartition("/")[2] for name in table["id"].to_pylist()]
    stiffness = np.array([moduli[name] for name in names])
    for name, least in {"bond_order_density": 0.65, "elemental_bulk_modulus_reuss": 0.55}.items():
        values = table[name].to_numpy()
        known = np.isfinite(values) & np.isfinite(stiffness)
        ranks = [np.argsort(np.argsort(x[known])) for x in (values, stiffness)]
        assert known.sum() > 200
        assert np.corrcoef(ranks)[0, 1] > least


def assert_features_do_not_need_orbits(batch, monkeypatch):
    """Features are the same where every site is computed for itself."""
    made = featurize_with_reasons(batch)
    monkeypatch.setattr(CrystalBatch, "with_asymmetric_index", lambda self, _: self)
    alone = featurize_with_reasons(batch)
    assert made.reasons == alone.reasons
    for name in made.table.column_names:
        found, expected = made.table[name], alone.table[name]
        if pa.types.is_floating(found.type):
            # A standard deviation that is 0 by symmetry is a rounding error otherwise.
            np.testing.assert_allclose(
                found.to_numpy(), expected.to_numpy(), rtol=1e-8, atol=1e-8, err_msg=name
            )
        else:
            assert found.equals(expected), name


def test_orbits_of_shipped_crystals_change_no_feature(monkeypatch):
    batch = read(crystals_path())
    # As if the files listed all sites and no operators.
    batch = batch.with_asymmetric_index(np.full(batch.n_sites, -1))
    n_orbits = len(np.unique([batch.site_crystals, kernels.symmetry(batch).exact_orbits], axis=1).T)
    assert n_orbits < 0.3 * batch.n_sites
    assert_features_do_not_need_orbits(batch, monkeypatch)


def test_orbits_of_real_crystals_change_no_feature(shared_data, monkeypatch):
    records = list(islice(iter_records([shared_data("mp/mp_cifs_b.tar.gz")]), 150))
    assert_features_do_not_need_orbits(read_records(records).batch, monkeypatch)
