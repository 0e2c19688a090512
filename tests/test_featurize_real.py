"""Features of real crystals: every one has its row, its physics, and its reasons."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pyhpc.crystals import iter_records
from pyhpc.features import unexplained
from pyhpc.tasks.featurize import FeaturizeTask


def run(records):
    parts = [FeaturizeTask().run(records[k : k + 64]) for k in range(0, len(records), 64)]
    reasons = {}
    for part, first in zip(parts, range(0, len(records), 64), strict=True):
        for k, said in part.reasons.items():
            reasons[records[first + k].id] = said
    return pa.concat_tables([part.table for part in parts]), reasons


@pytest.mark.parametrize("name", ["obelix/cifs.tar.gz", "mp/mp_cifs_a.tar.gz"])
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
