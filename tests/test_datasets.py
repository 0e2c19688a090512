import gzip
import io
import tarfile
from dataclasses import replace

import pytest

from pyhpc.datasets import DATASETS, Dataset, PublishedFile, fetch
from pyhpc.datasets.fetch import content_hash
from pyhpc.errors import PyhpcError
from pyhpc.shards.files import digest


def pack(members, prefix=""):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as tar:
        for name, data in members:
            info = tarfile.TarInfo(prefix + name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


MEMBERS = [("a.cif", b"data_a"), ("b.cif", b"data_b")]


@pytest.fixture
def dataset():
    files = (
        PublishedFile("t.csv", "t.csv", digest(b"id\n1\n")),
        PublishedFile("c.tar.gz", "all.tar.gz", content_hash(pack(MEMBERS))),
    )
    return Dataset("tiny", ("http://127.0.0.1:9/",), files, "CC0", "nobody")


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "t.csv").write_bytes(b"id\n1\n")
    # Packed otherwise than by the publisher, and under the publisher's name.
    (folder / "all.tar.gz").write_bytes(pack(MEMBERS[::-1], "folder/"))
    return folder


def test_a_copy_is_taken_once(dataset, copy, tmp_path):
    told = []
    out = tmp_path / "out"
    fetch(dataset, out, copy=copy, on_file=lambda *one: told.append(one))
    assert (out / "t.csv").read_bytes() == b"id\n1\n"
    assert sorted(path.name for path in out.iterdir()) == ["c.tar.gz", "t.csv"]
    fetch(dataset, out, on_file=lambda *one: told.append(one))
    assert told[2:] == [("t.csv", "already there"), ("c.tar.gz", "already there")]


def test_an_altered_copy_is_refused(dataset, copy, tmp_path):
    (copy / "t.csv").write_bytes(b"id\n2\n")
    with pytest.raises(PyhpcError, match="not the published file"):
        fetch(dataset, tmp_path / "out", copy=copy)


@pytest.mark.parametrize(
    "data",
    [b"", b"no archive", gzip.compress(b"x"), pack(MEMBERS)[:60], pack(MEMBERS[:1])],
    # Not the bytes: they hold the time.
    ids=["empty", "text", "no_tar", "cut_off", "member_missing"],
)
def test_a_broken_archive_is_refused(dataset, copy, tmp_path, data):
    (copy / "all.tar.gz").write_bytes(data)
    with pytest.raises(PyhpcError, match="not the published file"):
        fetch(dataset, tmp_path / "out", copy=copy)


def test_a_missing_file_is_named(dataset, copy, tmp_path):
    (copy / "t.csv").unlink()
    with pytest.raises(PyhpcError, match=r"no t\.csv in"):
        fetch(dataset, tmp_path / "out", copy=copy)


def test_without_a_network_the_error_says_what_to_do(dataset, tmp_path):
    with pytest.raises(PyhpcError, match="could not be had") as caught:
        fetch(dataset, tmp_path / "out")
    assert "--from" in caught.value.remedy
    assert not list((tmp_path / "out").iterdir())


def test_a_set_without_a_publisher_says_what_it_is_made_of(dataset, copy, tmp_path):
    compiled = replace(dataset, addresses=(), parts="t.csv joins two tables")
    with pytest.raises(PyhpcError, match="joins two tables") as caught:
        fetch(compiled, tmp_path / "out")
    assert "--from" in caught.value.remedy
    fetch(compiled, tmp_path / "out", copy=copy)
    assert (tmp_path / "out" / "c.tar.gz").exists()


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_has_addresses_or_says_what_it_is_made_of(name):
    one = DATASETS[name]
    assert bool(one.addresses) != bool(one.parts)
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in one.files)


def test_members_decide_not_their_order_or_folder():
    assert content_hash(pack(MEMBERS)) == content_hash(pack(MEMBERS[::-1], "x/y/"))
    assert content_hash(pack(MEMBERS)) != content_hash(pack([MEMBERS[0], ("b.cif", b"data_c")]))


@pytest.mark.parametrize("name", ["obelix", "elasticity"])
def test_the_copy_is_the_published_one(shared_data, tmp_path, name):
    one = DATASETS[name]
    fetch(replace(one, addresses=()), tmp_path, copy=shared_data(name))
    assert {path.name for path in tmp_path.iterdir()} == {file.name for file in one.files}


def test_a_single_file_comes_from_its_publisher(tmp_path):
    """The set has the layout of matbench's, and its publisher is a folder here."""
    (tmp_path / "published").mkdir()
    data = gzip.compress(b'{"columns": [], "data": []}', mtime=0)
    (tmp_path / "published" / "tiny.json.gz").write_bytes(data)
    one = Dataset(
        "tiny",
        ((tmp_path / "none").as_uri() + "/", (tmp_path / "published").as_uri() + "/"),
        (PublishedFile("tiny.json.gz", "tiny.json.gz", digest(data)),),
        "CC0",
        "nobody",
    )
    fetch(one, tmp_path / "out")
    assert (tmp_path / "out" / "tiny.json.gz").read_bytes() == data
