"""Records go into few files, whole, in order and always alike."""

from __future__ import annotations

import pytest
from pyarrow import feather

from pyhpc.errors import PyhpcError
from pyhpc.records import Outcome, Reason
from pyhpc.shards import Packing, describe_sources
from pyhpc.shards.packed import index_path, open_shard, read_batches
from tests.fake_task import plain_records, record
from tests.shard_jobs import pack_records


def read_back(packing):
    return [
        one
        for shard in packing.shards
        for batch in read_batches(open_shard(packing.folder, shard))
        for one in batch.records
    ]


def folder_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_records_come_back_in_order_with_all_fields(tmp_path):
    refused = Reason("too_large", "source", Outcome.QUARANTINED, "17 MiB, at most 16 MiB")
    records = [
        *plain_records(50),
        record("empty", "", refused=refused),
        record("part", "x", source="a.tar!b.cif", start=7, stop=8, format="poscar"),
    ]
    packing = pack_records(tmp_path / "shards", records)
    assert read_back(packing) == records
    assert [shard.records for shard in packing.shards] == [20, 20, 12]
    assert Packing.load(tmp_path / "shards") == packing


def test_equal_records_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        pack_records(tmp_path / name, plain_records(90))
    assert folder_bytes(tmp_path / "a") == folder_bytes(tmp_path / "b")


def test_cuts_at_the_first_bound(tmp_path):
    records = plain_records(30)
    by_cost = pack_records(tmp_path / "cost", records, seconds=0.075)
    assert [shard.records for shard in by_cost.shards] == [7, 7, 7, 7, 2]
    assert all(shard.cost <= 0.075 for shard in by_cost.shards)
    sizes = [len(one.text) for one in records]
    by_text = pack_records(tmp_path / "text", records, text_bytes=100)
    assert all(shard.text_bytes <= 100 for shard in by_text.shards)
    assert sum(shard.text_bytes for shard in by_text.shards) == sum(sizes)
    # One record beyond every bound still has a place.
    large = pack_records(tmp_path / "large", [record("a", "x" * 500), *records[:2]], text_bytes=100)
    assert [shard.records for shard in large.shards] == [1, 2]


def test_batches_are_bounded_by_records_and_bytes(tmp_path):
    packing = pack_records(tmp_path / "n", plain_records(20), per_batch=8)
    (batches,) = (list(read_batches(open_shard(packing.folder, s))) for s in packing.shards)
    assert [len(batch.records) for batch in batches] == [8, 8, 4]
    records = [record(f"{k}", "x" * 40) for k in range(6)]
    packing = pack_records(tmp_path / "b", records, batch_bytes=100)
    (batches,) = (list(read_batches(open_shard(packing.folder, s))) for s in packing.shards)
    assert [len(batch.records) for batch in batches] == [2, 2, 2]


def test_streams(tmp_path):
    """When a record of a later shard is drawn, the shards before are on the disk."""
    seen = []

    def stream():
        for k, one in enumerate(plain_records(100)):
            seen.append((k, len(list((tmp_path / "s").glob("shard-*.arrow")))))
            yield one

    pack_records(tmp_path / "s", stream())
    assert all(shards >= (k - 1) // 20 for k, shards in seen)


def test_names_that_are_no_utf8_are_kept_readable(tmp_path):
    packing = pack_records(tmp_path / "s", [record("a\udcff", "x", source="dir\udcfe/a")])
    (back,) = read_back(packing)
    assert (back.id, back.source) == ("a\\udcff", "dir\\udcfe/a")


def test_broken_off_packing_is_none(tmp_path):
    def broken():
        yield from plain_records(45, words="other")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        pack_records(tmp_path / "s", broken())
    assert len(list((tmp_path / "s").iterdir())) == 2
    with pytest.raises(PyhpcError, match="no complete packing"):
        Packing.load(tmp_path / "s")
    pack_records(tmp_path / "s", plain_records(45))
    pack_records(tmp_path / "fresh", plain_records(45))
    assert folder_bytes(tmp_path / "s") == folder_bytes(tmp_path / "fresh")


def test_complete_packing_is_taken_without_reading(tmp_path):
    packing = pack_records(tmp_path / "s", plain_records(45))

    def unread():
        raise AssertionError("read again")
        yield

    assert pack_records(tmp_path / "s", unread()) == packing


def test_complete_packing_of_other_inputs_is_kept(tmp_path):
    pack_records(tmp_path / "s", plain_records(45))
    before = folder_bytes(tmp_path / "s")
    with pytest.raises(PyhpcError, match=r'sources was \["made here"\], is \["b"\].*another --out'):
        pack_records(tmp_path / "s", plain_records(45), inputs={"sources": ["b"]})
    with pytest.raises(PyhpcError, match=r"size\.records was 20, is 30"):
        pack_records(tmp_path / "s", plain_records(45), per_shard=30)
    assert folder_bytes(tmp_path / "s") == before


@pytest.mark.parametrize("same", [True, False])
def test_two_packers_at_once(tmp_path, same):
    """The first to end wins, whatever the other has written by then."""
    folder = tmp_path / "s"
    other = {"sources": ["made here" if same else "elsewhere"]}

    def overtaken():
        records = plain_records(45, words="" if same else "other")
        yield from records[:25]
        pack_records(folder, plain_records(45))
        yield from records[25:]

    if same:
        pack_records(folder, overtaken(), inputs=other)
    else:
        with pytest.raises(PyhpcError, match="other inputs"):
            pack_records(folder, overtaken(), inputs=other)
    assert read_back(Packing.load(folder)) == plain_records(45)


@pytest.mark.parametrize("damage", ["truncate", "alter", "remove"])
def test_damaged_shard_is_named(tmp_path, damage):
    packing = pack_records(tmp_path / "s", plain_records(45))
    path = packing.folder / packing.shards[1].name
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(data[:-9] if damage == "truncate" else data[:99] + b"?" + data[100:])
    with pytest.raises(PyhpcError, match=f"{path.name} .*shards.json and give the same command"):
        open_shard(packing.folder, packing.shards[1])
    # The remedy works: packed anew, the shard has the same name and bytes.
    index_path(packing.folder).unlink()
    assert pack_records(tmp_path / "s", plain_records(45)) == packing
    assert path.read_bytes() == data


def test_damaged_index_is_named(tmp_path):
    pack_records(tmp_path / "s", plain_records(45))
    path = index_path(tmp_path / "s")
    path.write_text(path.read_text().replace('"records": 45', '"records": 46'))
    with pytest.raises(PyhpcError, match="does not match its own hash"):
        Packing.load(tmp_path / "s")
    path.write_text("{")
    with pytest.raises(PyhpcError, match="does not match its own hash"):
        Packing.load(tmp_path / "s")


def test_shard_files_are_plain_arrow_files(tmp_path):
    packing = pack_records(tmp_path / "s", plain_records(45))
    table = feather.read_table(tmp_path / "s" / packing.shards[0].name)
    assert table.column_names[:2] == ["id", "text"]
    assert table["sha256"].to_pylist() == [one.sha256 for one in plain_records(20)]


def test_sources_are_known_by_content_not_by_time(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("one")
    (tmp_path / "f").write_text("two")
    sources = [str(tmp_path / "d"), str(tmp_path / "f"), str(tmp_path / "d" / "*")]
    before = describe_sources(sources)
    (tmp_path / "d" / "a").write_text("eno")
    (tmp_path / "f").write_text("two")
    assert describe_sources(sources) == before
    (tmp_path / "f").write_text("owt")
    assert describe_sources(sources)[1] != before[1]
    (tmp_path / "d" / "b").write_text("")
    changed = describe_sources(sources)
    assert changed[0] != before[0]
    assert changed[2] != before[2]
    with pytest.raises(PyhpcError, match="has no files"):
        describe_sources([str(tmp_path / "missing")])
