"""The result opens unchanged in what people read tables with."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pyhpc.features import featurize
from pyhpc.shards.parquet import encode_table
from tests.fake_task import plain_records
from tests.named_crystals import rock_salt
from tests.shard_jobs import make_job, run_inline

READERS = {
    "pyarrow": lambda folder: pq.read_table(folder).to_pandas(),
    "pyarrow.dataset": lambda folder: ds.dataset(folder).to_table().to_pandas(),
    "pandas": pd.read_parquet,
    "polars": lambda folder: pl.read_parquet(f"{folder}/*.parquet").to_pandas(),
    "duckdb": lambda folder: duckdb.sql(f"from '{folder}/*.parquet'").df(),
}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    records = plain_records(60)
    # One part without a row.
    records += [one for one in plain_records(20 * 13) if b"bad" in one.text][:20]
    job = make_job(tmp_path_factory.mktemp("run"), records)
    run_inline(job)
    return job


@pytest.mark.parametrize("reader", READERS)
def test_table(job, reader):
    # SQL promises no order.
    frame = READERS[reader](job.output.parts).sort_values("id")
    kept = [one for one in plain_records(60) if b"bad" not in one.text]
    assert list(frame["id"]) == [one.id for one in kept]
    degraded = np.array([b"degraded" in one.text for one in kept])
    np.testing.assert_array_equal(np.isnan(frame["length"].to_numpy(float)), degraded)


@pytest.mark.parametrize("reader", READERS)
def test_ledger(job, reader):
    frame = READERS[reader](job.output.ledger)
    assert len(frame) == 80
    assert dict(frame["outcome"].value_counts()) == {"ok": 51, "quarantined": 24, "degraded": 5}
    (reason,) = frame["reasons"][frame["id"] == "r00007"].iloc[0]
    assert reason["code"] == "no_length"


def test_metadata_names_the_plan_and_the_catalogue(job):
    metadata = ds.dataset(job.output.parts).schema.metadata
    assert metadata[b"catalogue"] == b"fake"
    assert metadata[b"pyhpc_plan_sha256"].decode() == job.plan.sha256


def plain_parquet(table, dictionaries):
    """File of a table as Arrow makes it by itself."""
    sink = pa.BufferOutputStream()
    options = {"compression": "snappy", "write_statistics": False, "use_dictionary": dictionaries}
    pq.write_table(table.combine_chunks(), sink, row_group_size=max(table.num_rows, 1), **options)
    return sink.getvalue().to_pybytes()


def test_files_are_those_that_arrow_makes(job):
    part, ledger = (pq.read_table(folder) for folder in (job.output.parts, job.output.ledger))
    words = [f"reasons.list.element.{name}" for name in ("code", "stage", "outcome", "message")]
    bare = pa.table({"a": [1.0, 2.0]})
    features = featurize(rock_salt(11, 17, 5.64))
    own = [
        name
        for name, kind in zip(features.schema.names, features.schema.types, strict=True)
        if pa.types.is_dictionary(kind)
    ]
    assert own
    for table, dictionaries in (
        (part, False),
        (ledger, words),
        (bare, False),
        (features, own),
        (part[:0], False),
    ):
        # What differs in metadata alone is not taken for the same.
        for metadata in (table.schema.metadata or {}, {b"pyhpc_plan_sha256": b"another"}):
            described = table.replace_schema_metadata(metadata)
            data = bytes(encode_table(described))
            assert data == plain_parquet(described, dictionaries)
            back = pq.read_schema(pa.BufferReader(data))
            assert back.equals(described.schema, check_metadata=True)
    assert back.metadata == {b"pyhpc_plan_sha256": b"another"}
