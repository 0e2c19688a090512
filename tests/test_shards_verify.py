"""Whatever is altered is found, and what is found can be redone."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyhpc.errors import PyhpcError
from pyhpc.shards import repair, verify
from pyhpc.shards.commit import build_manifest, describe_file, read_manifest
from pyhpc.shards.files import digest, to_json
from pyhpc.shards.parquet import encode_table
from tests.fake_task import plain_records
from tests.shard_jobs import attempts_by_shard, make_job, result_tree, run_inline, run_one


@pytest.fixture
def job(tmp_path):
    job = make_job(tmp_path, plain_records(60))
    run_inline(job)
    return job


def only(folder, pattern):
    (path,) = folder.glob(pattern)
    return path


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def alter(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, alter, remove, empty])
@pytest.mark.parametrize("file", ["part", "ledger", "manifest"])
def test_damage_is_found_and_redone(job, damage, file):
    before = result_tree(job.output)
    path = {
        "part": only(job.output.parts, "part-00001-*"),
        "ledger": only(job.output.ledger, "ledger-00001-*"),
        "manifest": job.output.manifest(1),
    }[file]
    damage(path)
    problems = verify(job.output)
    assert problems
    assert all(problem.remedy for problem in problems)
    repair(job.output, problems)
    run_inline(job)
    assert result_tree(job.output) == before
    assert verify(job.output) == []
    assert attempts_by_shard(job.output) == {0: 1, 1: 2, 2: 1}


def test_manifest_with_other_counts_is_found(job):
    path = job.output.manifest(1)
    manifest = json.loads(path.read_bytes())
    manifest["outcomes"]["ok"] += 1
    path.write_bytes(to_json(manifest))
    (problem,) = verify(job.output)
    assert "does not say what its files do" in problem.message


def forge(job, *, part=lambda table: table, ledger=lambda table: table):
    """Replace the files of shard 1 by others, hashes and counts and all."""
    manifest = read_manifest(job.output, job.plan, 1)
    tables, entries = [], []
    for folder, name, change in (
        (job.output.part, manifest["part"]["name"], part),
        (job.output.ledger_part, manifest["ledger"]["name"], ledger),
    ):
        old = folder(1, "").parent / name
        tables.append(change(pq.read_table(old)))
        old.unlink()
        data = encode_table(tables[-1])
        path = folder(1, digest(data))
        path.write_bytes(data)
        entries.append(describe_file(path, data, tables[-1].num_rows))
    forged = build_manifest(job.plan, 1, entries[0], entries[1], tables[1])
    job.output.manifest(1).write_bytes(to_json(forged))


def edit(column, change):
    def edited(table):
        rows = table.to_pylist()
        for k, row in enumerate(rows):
            row[column] = change(k, row[column])
        return pa.Table.from_pylist(rows, schema=table.schema)

    return edited


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part": edit("noise", lambda k, v: None if k == 2 else v)}, "no value for noise"),
        ({"part": edit("noise", lambda k, v: float("nan") if k == 2 else v)}, "and no reason"),
        ({"part": edit("id", lambda k, v: v + "x" if k == 2 else v)}, "not the records"),
        ({"part": lambda table: table[1:]}, "not the records"),
        ({"ledger": lambda table: table[1:]}, "not those of the shard"),
        ({"ledger": edit("sha256", lambda k, v: v[::-1])}, "not those of the shard"),
        ({"ledger": edit("row", lambda k, v: v + 1)}, "out of order"),
        ({"ledger": edit("reasons", lambda k, v: [])}, "which its reasons do not say"),
        ({"ledger": lambda table: table.drop_columns("stop")}, "other columns"),
    ],
)
def test_contradiction_is_found_though_all_hashes_agree(job, changes, message):
    forge(job, **changes)
    assert any(message in problem.message for problem in verify(job.output))


def test_damaged_inputs_are_found(job):
    path = job.output.path.parent / "shards" / job.plan.shards[2].name
    alter(path)
    (problem,) = verify(job.output)
    assert (problem.path.name, problem.suspects) == (path.name, ())


def test_stray_parts_are_found_and_removed(job):
    stray = job.output.parts / "part-00001-000000000000.parquet"
    stray.write_bytes(only(job.output.parts, "part-00001-*").read_bytes())
    (problem,) = verify(job.output)
    assert problem.path == stray
    repair(job.output, [problem])
    run_inline(job)
    assert verify(job.output) == []


@pytest.mark.parametrize("damage", [truncate, alter, remove])
def test_damaged_plan_is_an_error_that_making_it_again_mends(job, damage):
    before = result_tree(job.output)
    damage(job.output.plan)
    with pytest.raises(PyhpcError, match=r"Remove it|Make one"):
        verify(job.output)
    job.output.plan.unlink(missing_ok=True)
    again = make_job(job.output.path.parent, plain_records(60))
    run_inline(again)
    assert result_tree(again.output) == before


def test_damaged_final_manifest_is_found_and_made_again(job):
    before = result_tree(job.output)
    for damage in (truncate, remove):
        damage(job.output.final_manifest)
        (problem,) = verify(job.output)
        assert problem.path == job.output.final_manifest
        run_inline(job)
        assert result_tree(job.output) == before


def test_unfinished_run_is_said_to_be_one(tmp_path):
    job = make_job(tmp_path, plain_records(60))
    run_one(job, 1)
    (problem,) = verify(job.output)
    assert problem.message == "2 of 3 shards are not done"
