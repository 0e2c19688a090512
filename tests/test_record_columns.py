"""Records as columns are the records that they were made of, to tasks and to the reader."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest

from pyhpc import _kernels
from pyhpc.crystals import Limits, read_records
from pyhpc.crystals.limits import DEFAULT_LIMITS
from pyhpc.record_columns import RecordColumns, Texts, refusals
from pyhpc.records import Outcome, Reason, Record
from tests.cifs import cif
from tests.fake_task import record

REFUSED = Reason("unreadable", "source", Outcome.QUARANTINED, "the disk is gone")


def columns_of(records, *, skip=0):
    """Columns of some records, which stand behind others that are left out."""
    rows = [one._asdict() for one in [*records[:skip], *records]]
    refused = [row.pop("refused") for row in rows][skip:]
    batch = pa.RecordBatch.from_pylist(
        rows,
        schema=pa.schema(
            {"sha256": pa.string(), "id": pa.string(), "text": pa.binary(), "format": pa.string()}
            | {"source": pa.string(), "start": pa.int64(), "stop": pa.int64()}
        ),
    )
    found = {k: reason for k, reason in enumerate(refused) if reason is not None}
    return RecordColumns(batch.slice(skip), found)


@pytest.fixture
def records():
    """CIFs, one of which is none, and one that gemmi has to read."""
    texts = [cif(), "data_x\n", cif().replace("data_", "# ü\ndata_"), cif()]
    return [record(f"r{k}", text, start=7 * k) for k, text in enumerate(texts)]


@pytest.mark.parametrize("skip", [0, 2])
def test_they_are_those_records(records, skip):
    for given in (records, [*records, records[0]._replace(text=b"", refused=REFUSED)]):
        columns = columns_of(given, skip=skip)
        for same in (columns, pickle.loads(pickle.dumps(columns))):
            assert list(same) == given
            assert [same[k] for k in range(len(given))] == given
            assert same[1:3] == given[1:3]
            assert same[-1] == given[-1]
            assert same.ids == [one.id for one in given]
            assert refusals(same) == refusals(given)
        with pytest.raises(IndexError):
            columns[len(given)]
    assert isinstance(columns[0], Record)


@pytest.mark.parametrize("skip", [0, 2])
def test_texts_are_cut_where_they_end(records, skip):
    texts = columns_of(records, skip=skip).cifs
    joined = Texts.join([one.text for one in records])
    for k, one in enumerate(records):
        assert texts[k] == joined[k] == one.text
    assert Texts.of(pa.array([], pa.binary())).offsets.tolist() == [0]
    assert Texts.join([]).offsets.tolist() == [0]


def test_only_cifs_go_to_the_kernels_as_they_are(records):
    assert columns_of(records).cifs is not None
    assert columns_of([*records, records[0]._replace(format="poscar")]).cifs is None
    assert columns_of([*records, records[0]._replace(text=b"", refused=REFUSED)]).cifs is None


def test_reader_makes_the_same_of_them(records):
    poscar = b"a\n1\n4 0 0\n0 4 0\n0 0 4\nCs Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
    other = record("other", poscar.decode(), format="poscar")
    short = Limits(max_text_bytes=len(records[0].text))
    for given, limits in (
        (records, DEFAULT_LIMITS),
        (records, short),
        ([*records, other], DEFAULT_LIMITS),
        ([*records, other._replace(text=b"", refused=REFUSED)], DEFAULT_LIMITS),
        ([], DEFAULT_LIMITS),
    ):
        plain = read_records(given, limits)
        read = read_records(columns_of(given), limits)
        assert read.reasons == plain.reasons
        assert read.positions.tolist() == plain.positions.tolist()
        assert read.batch.ids == plain.batch.ids
        assert np.array_equal(read.batch.frac_coords, plain.batch.frac_coords)
        assert np.array_equal(read.batch.atomic_numbers, plain.batch.atomic_numbers)
    assert set(read_records(records, short).reasons) == {1, 2}


@pytest.mark.parametrize("offsets", [[0, 9], [-1, 2], [2, 1], [5, 6]])
def test_texts_that_lead_out_of_memory_are_refused(offsets):
    data, places = np.zeros(4, np.uint8), np.array(offsets, np.int64)
    with pytest.raises(ValueError, match="offsets lead out of the data"):
        _kernels.expand_cells(data, places, lambda text: None, DEFAULT_LIMITS, 1)
