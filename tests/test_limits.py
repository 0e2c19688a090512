"""Bounds against hostile input: each ends in its own reason code, none in an exception."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
import zipfile

import pytest

from pyhpc.crystals import Limits, iter_records, read_records
from pyhpc.records import Outcome
from tests.cifs import cif, read_one
from tests.test_sources import FRAME, POSCAR, codes, ids, tar_of, write_csv, zip_of

SMALL = Limits(max_text_bytes=2000, max_ratio=10, ratio_floor=100_000)


def padded(n_bytes):
    """A readable CIF of this many bytes."""
    text = cif()
    return text + "#" + "x" * (n_bytes - len(text) - 1)


@pytest.mark.parametrize("field", ["max_text_bytes", "max_ratio", "max_sites", "min_cell_edge"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_are_positive(field, value):
    with pytest.raises(ValueError, match=field):
        Limits(**{field: value})


def test_text_too_large_in_every_kind_of_source(tmp_path):
    members = {"fits.cif": padded(2000), "over.cif": padded(2001)}
    for name, text in members.items():
        (tmp_path / name).write_text(text)
    with gzip.open(tmp_path / "packed.cif.gz", "wt") as stream:
        stream.write(padded(2001))
    assert codes(tmp_path, SMALL) == {"over": "text_too_large", "packed": "text_too_large"}
    for archive in (
        tar_of(tmp_path / "a.tar", members),
        tar_of(tmp_path / "a.tar.gz", members, "w:gz"),
        zip_of(tmp_path / "a.zip", members),
    ):
        assert codes(archive, SMALL) == {"over": "text_too_large"}
        assert len(list(iter_records(archive, SMALL))) == 2
    rows = [["id", "cif"], ["fits", padded(2000)], ["over", padded(2001)], ["last", cif()]]
    table = write_csv(tmp_path / "t.csv", rows)
    assert codes(table, SMALL) == {"over": "text_too_large"}
    assert ids(table) == ["fits", "over", "last"]
    (tmp_path / "t.xyz").write_text(
        FRAME + "200\n" + "x" * 3000 + "\n" + "Li 0 0 0\n" * 200 + FRAME
    )
    assert codes(tmp_path / "t.xyz", SMALL) == {"t#1": "text_too_large"}
    assert len(list(iter_records(tmp_path / "t.xyz", SMALL))) == 3


def test_text_too_large_when_records_come_from_elsewhere():
    batch, reasons = read_one(padded(2001), SMALL)
    assert len(batch) == 0
    assert list(reasons) == ["text_too_large"]


def test_csv_row_far_over_the_limit_is_never_in_memory(tmp_path):
    # Quotes, commas and line ends inside the cell: the next row must still be found.
    hostile = 'a "quoted", text\n' * 100_000
    table = write_csv(tmp_path / "t.csv", [["cif", "id"], [hostile, "big"], [cif(), "last"]])
    tracemalloc.start()
    records = list(iter_records(table, SMALL))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [r.refused is None for r in records] == [False, True]
    assert records[1].id == "last"
    assert most < 1_000_000


def test_announced_sizes_are_not_believed(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"a.cif": padded(5000)})
    data = bytearray(path.read_bytes())
    real = (5000).to_bytes(4, "little")
    assert data.count(real) == 2
    path.write_bytes(data.replace(real, (100).to_bytes(4, "little")))
    (record,) = iter_records(path, SMALL)
    assert len(record.text) <= 2000


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "cif.gz", "xyz.gz"])
def test_bomb(tmp_path, kind):
    path = tmp_path / f"bomb.{kind}"
    bomb = b"\0" * 3_000_000
    if kind == "tar.gz":
        # Also in what is no record: it has to be unpacked to get past it.
        tar_of(path, {"first.cif": cif(), "blob.bin": bomb, "last.cif": cif()}, "w:gz")
    elif kind == "zip":
        zip_of(path, {f"{k}.cif": padded(100_000) for k in range(30)})
    else:
        with gzip.open(path, "wb") as stream:
            stream.write(bomb)
    limits = Limits(max_ratio=10, ratio_floor=100_000)
    records = list(iter_records(path, limits))
    assert records[-1].refused.code == "archive_ratio"
    assert records[-1].id == "bomb"
    if kind == "tar.gz":
        assert [record.id for record in records] == ["first", "bomb"]
    assert codes(path) != {"bomb": "archive_ratio"}  # generous by default


def test_path_traversal(tmp_path):
    members = {"../up.cif": cif(), "a/../../b.cif": cif(), "/etc/c.cif": cif(), "ok.cif": cif()}
    members |= {"..\\up2.cif": cif(), "C:\\d.cif": cif(), "x..y/e.cif": cif()}
    for archive in (tar_of(tmp_path / "a.tar", members), zip_of(tmp_path / "a.zip", members)):
        records = list(iter_records(archive))
        assert len(records) == len(members)
        good = {record.id for record in records if record.refused is None}
        assert good == {"ok", "x..y/e"}
        refused = [record.refused for record in records if record.refused is not None]
        assert {reason.code for reason in refused} == {"unsafe_path"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "a.zip"]


def test_links_and_devices_in_a_tar(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("soft.cif", tarfile.SYMTYPE),
            ("hard.cif", tarfile.LNKTYPE),
            ("pipe.cif", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "" if kind == tarfile.FIFOTYPE else "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("good.cif")
        info.size = len(cif())
        archive.addfile(info, io.BytesIO(cif().encode()))
    assert codes(path) == dict.fromkeys(("soft", "hard", "pipe"), "unsafe_path")
    assert ids(path) == ["soft", "hard", "pipe", "good"]


def test_archives_inside_archives_are_counted(tmp_path):
    inner = zip_of(tmp_path / "inner.zip", {"a.cif": cif()}).read_bytes()
    members = {"in.zip": inner, "in.tar.gz": b"x", "in.cif.gz": gzip.compress(cif().encode())}
    for archive in (tar_of(tmp_path / "a.tar", members), zip_of(tmp_path / "a.zip", members)):
        found = [record.refused.code for record in iter_records(archive)]
        assert found == ["nested_archive"] * 3


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_truncated_tar_gz(tmp_path, keep):
    members = {f"{k}.cif": padded(3000 + k) for k in range(40)}
    data = tar_of(tmp_path / "a.tar.gz", members, "w:gz").read_bytes()
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(data[: int(keep * len(data))])
    records = list(iter_records(path))
    assert records[-1].refused.code == "unreadable"
    assert records[-1].id == "cut"
    assert all(record.refused is None for record in records[:-1])


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "a.cif.gz"])
def test_what_is_no_archive(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"this is no archive at all" * 100)
    (record,) = iter_records(path)
    assert record.refused.code == "unreadable"
    assert record.refused.outcome is Outcome.QUARANTINED
    assert record.source == str(path)


def test_huge_tar_header(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.cif")
        info.pax_headers = {"comment": "x" * (2 << 20)}
        archive.addfile(info)
    assert codes(path) == {"a": "unreadable"}


def test_encrypted_or_foreign_zip_members(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"a.cif": cif()})
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[central + 8] |= 1
    path.write_bytes(data)
    assert codes(path) == {"a": "unreadable"}


def test_broken_zip_checksum(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.cif", cif())
    data = bytearray(path.read_bytes())
    data[data.index(b"5.64")] = ord("6")
    path.write_bytes(data)
    assert "unreadable" in codes(path).values()


def test_too_many_blocks(tmp_path):
    path = tmp_path / "many.cif"
    path.write_text("".join(cif(name=str(k)) for k in range(6)))
    assert len(list(iter_records(path, Limits(max_blocks=6)))) == 6
    (record,) = iter_records(path, Limits(max_blocks=5))
    assert record.refused.code == "too_many_blocks"


def test_too_many_rows():
    sites = [f"Li{k} Li 0 0 {k / 20} 1" for k in range(11)]
    text = cif(sites, cell=(9, 9, 90, 90, 90, 90))
    assert read_one(text, Limits(max_loop_rows=11))[1] == {}
    assert list(read_one(text, Limits(max_loop_rows=10))[1]) == ["too_many_rows"]
    operators = [f"x,y,z+{k}/20" for k in range(11)]
    text = cif(["Li1 Li 0 0 0 1"], operators=operators, cell=(9, 9, 90, 90, 90, 90))
    assert list(read_one(text, Limits(max_loop_rows=10))[1]) == ["too_many_rows"]


def test_too_many_sites():
    operators = [f"x,y,z+{k}/20" for k in range(20)]
    text = cif(["Li1 Li 0 0 0 1"], operators=operators, cell=(9, 9, 90, 90, 90, 90))
    assert read_one(text, Limits(max_sites=20))[0].n_sites == 20
    batch, reasons = read_one(text, Limits(max_sites=19))
    assert len(batch) == 0
    assert list(reasons) == ["too_many_sites"]
    batch, reasons = read_one(POSCAR, Limits(max_sites=1), kind="poscar")
    assert reasons == {}
    batch, reasons = read_one(FRAME, Limits(max_sites=1), kind="extxyz")
    assert list(reasons) == ["too_many_sites"]


def test_expansion_is_refused_before_the_work():
    # Ten thousand operators on ten thousand rows would be a hundred million images.
    sites = [f"Li{k} Li 0 0 {k / 10000:.4f} 0.5" for k in range(10_000)]
    operators = [f"x,y,z+{k}/10007" for k in range(10_000)]
    _, reasons = read_one(cif(sites, operators=operators, cell=(9, 9, 9000, 90, 90, 90)))
    assert list(reasons) == ["too_many_sites"]


@pytest.mark.parametrize("cell", [(0.1, 5, 5, 90, 90, 90), (5, 2e4, 5, 90, 90, 90)])
def test_cell_edge(cell):
    batch, reasons = read_one(cif(cell=cell))
    assert len(batch) == 0
    assert list(reasons) == ["cell_edge"]
    assert reasons["cell_edge"].outcome is Outcome.QUARANTINED
    assert len(read_one(cif(cell=cell), Limits(min_cell_edge=0.05, max_cell_edge=1e5))[0]) == 1


def test_cell_that_is_thin_between_long_edges():
    # Edges of 5 angstrom, but planes 0.1 apart: every search for neighbours would explode.
    _, reasons = read_one(cif(cell=(5, 5, 5, 1.2, 90.0, 90.0)))
    assert list(reasons) == ["cell_edge"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (POSCAR.replace("3 0 0", "0.01 0 0"), "cell_edge"),
        (POSCAR.replace("\n0 0 0\n", "\nnan 0 0\n"), "bad_number"),
        (POSCAR.replace("3 0 0", "nan 0 0"), "syntax_error"),
        (POSCAR.replace("0 3 0", "3 1e-7 0"), "bad_cell"),
        (POSCAR.replace("0 3 0", "3 0 0"), "syntax_error"),
        (POSCAR.replace("\n1\n", "\n99999999999\n"), "syntax_error"),
        ("", "syntax_error"),
    ],
)
def test_hostile_poscar(text, code):
    batch, reasons = read_one(text, kind="poscar")
    assert len(batch) == 0
    assert list(reasons) == [code]


def test_close_sites_of_other_formats():
    _, reasons = read_one(FRAME.replace("1.5 0 0", "0.2 0 0"), kind="extxyz")
    assert list(reasons) == ["close_sites"]
    assert "0.200 A" in reasons["close_sites"].message


def test_without_ase_the_reason_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ase.io", None)
    batch, reasons = read_one(POSCAR, kind="poscar")
    assert len(batch) == 0
    assert "pyhpc-crystals[interop]" in reasons["missing_dependency"].message


def test_nothing_is_lost_between_source_and_batch(tmp_path):
    members = {
        "good.cif": cif(),
        "../bad.cif": cif(),
        "broken.cif": "data_",
        "big.cif": padded(2001),
    }
    records = list(iter_records(tar_of(tmp_path / "a.tar", members), SMALL))
    result = read_records(records, SMALL)
    quarantined = {
        k for k, rs in result.reasons.items() if any(r.outcome is Outcome.QUARANTINED for r in rs)
    }
    assert len(records) == len(members)
    assert set(result.positions.tolist()) | quarantined == set(range(4))
    assert not set(result.positions.tolist()) & quarantined
