"""The result opens unchanged in what people read tables with."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.fake_task import plain_records
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
