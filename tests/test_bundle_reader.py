"""Dask workers that read a bundle's first shard while they end another."""

from __future__ import annotations

import pickle
from itertools import pairwise
from types import SimpleNamespace

import pytest
from distributed import Client

from pyhpc.executors import bundle_reader
from pyhpc.executors.bundle_reader import BundleReader, bundle_key
from pyhpc.shards import finish, verify
from pyhpc.shards.plan import packing_folder
from pyhpc.shards.read_ahead import ReadAhead
from tests.fake_task import plain_records, record
from tests.shard_jobs import make_job
from tests.test_dask_pool import dask_client, run_on


@pytest.fixture
def expected(monkeypatch):
    """Which files are expected to be opened."""
    seen = []
    monkeypatch.setattr(ReadAhead, "expect", lambda files, index: seen.append(index))
    return seen


@pytest.fixture
def reader(monkeypatch):
    reader = pickle.loads(pickle.dumps(BundleReader()))
    reader.setup(None)
    worker = SimpleNamespace(plugins={BundleReader.name: reader})
    monkeypatch.setattr(bundle_reader, "get_worker", lambda: worker)
    return reader


def come(reader, key, *states):
    for start, end in pairwise(states):
        reader.transition(key, start, end, stimulus_id="test")


def test_first_shard_of_a_bundle_is_expected_when_it_has_come(reader, expected, tmp_path):
    job = make_job(tmp_path, plain_records(60))
    folder = packing_folder(job.output, job.plan)
    come(reader, bundle_key("7-early"), "released", "waiting", "ready", "executing")
    assert expected == []
    files = BundleReader.of_worker().of(folder, job.plan.shards)
    assert expected == [7]
    assert BundleReader.of_worker().of(folder, job.plan.shards) is files
    come(reader, bundle_key("12-next"), "released", "waiting", "ready")
    assert expected == [7, 12]
    come(reader, bundle_key("12-next"), "ready", "executing", "long-running", "memory")
    come(reader, "sum-5", "waiting", "ready")
    come(reader, ("shard", 5), "waiting", "ready")
    assert expected == [7, 12]


def test_worker_without_the_plugin_reads_all_the_same(monkeypatch, tmp_path):
    job = make_job(tmp_path, plain_records(60))
    monkeypatch.setattr(bundle_reader, "get_worker", lambda: SimpleNamespace(plugins={}))
    folder = packing_folder(job.output, job.plan)
    with BundleReader.of_worker().of(folder, job.plan.shards) as files:
        assert next(files.open(2).batches).records[0].id == "r00040"


def test_worker_reads_ahead_what_waits_for_it(tmp_path):
    """Bundles are a third of what is left, so that those behind the first begin at 4 and 6."""
    records = [record(f"slow{k}", "sleep:0.3 " + "word " * 20_000) for k in range(12)]
    job = make_job(tmp_path, records, per_shard=1)
    seen = set()
    with dask_client(1) as client:

        def look(status):
            for held in client.run(_held).values():
                seen.update(held)

        status = run_on(client, job).wait(look)
    assert status.complete
    assert {4, 6} <= seen
    assert finish(job.output, job.plan)["records"] == 12
    assert verify(job.output) == []


def _held(dask_worker):
    files = dask_worker.plugins[BundleReader.name].files._files
    return [] if files is None else list(files._expected)


def test_run_goes_on_when_a_worker_dies_while_it_is_told(tmp_path, monkeypatch):
    def register(client, plugin):
        raise OSError("the worker has left")

    monkeypatch.setattr(Client, "register_plugin", register)
    job = make_job(tmp_path, plain_records(60))
    with dask_client(1) as client:
        assert run_on(client, job).wait().complete
    assert finish(job.output, job.plan)["records"] == 60
