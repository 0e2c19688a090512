"""Sources of every kind as streams of records."""

from __future__ import annotations

import csv
import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyhpc.crystals import Limits, SourceError, iter_records, read_records
from pyhpc.records import Outcome
from tests.cifs import cif

POSCAR = "Li\n1.0\n3 0 0\n0 3 0\n0 0 3\nLi\n1\nDirect\n0 0 0\n"
FRAME = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T F"\n'
FRAME += "Li 0 0 0\nO 1.5 0 0\n"
MULTI = (
    "data_global\n_publ_section_title\n;\ndata_inside_a_text_field\n_atom_site_fract_x\n;\n"
    + cif(name="one")
    + cif(name="two")
    + cif(name="one")
)


def ids(source, **options):
    return [record.id for record in iter_records(source, **options)]


def codes(source, *args, **options):
    """Reason codes by id of what was refused."""
    records = iter_records(source, *args, **options)
    return {r.id: r.refused.code for r in records if r.refused is not None}


def tar_of(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            data = data.encode() if isinstance(data, str) else data
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zip_of(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "root"
    (root / "b" / "deep").mkdir(parents=True)
    (root / "z.cif").write_text(cif())
    (root / "a.CIF").write_text(cif())
    (root / "b" / "POSCAR").write_text(POSCAR)
    (root / "b" / "deep" / "x.vasp").write_text(POSCAR)
    (root / "b" / "deep" / "one.xyz").write_text(FRAME)
    (root / "notes.txt").write_text("no crystal")
    (root / "table.csv").write_text("id,cif\na,b\n")
    (root / ".cif").write_text(cif())
    with gzip.open(root / "packed.cif.gz", "wt") as stream:
        stream.write(cif())
    tar_of(root / "b" / "more.tar.gz", {"in/m.cif": cif()}, "w:gz")
    return root


FOLDER_IDS = ["a", "b/POSCAR", "b/deep/one", "b/deep/x", "b/more/in/m", "packed", "z"]


def test_file(folder):
    (record,) = iter_records(folder / "z.cif")
    assert record.id == "z"
    assert record.text == cif().encode()
    assert record.format == "cif"
    assert record.source == str(folder / "z.cif")
    assert (record.start, record.stop) == (0, len(record.text))
    assert record.refused is None


def test_folder_is_read_in_sorted_order(folder):
    assert ids(folder) == FOLDER_IDS
    assert ids(str(folder)) == FOLDER_IDS
    result = read_records(list(iter_records(folder)))
    assert len(result.batch) == len(FOLDER_IDS)
    assert not result.reasons


def test_glob_names_files_below_its_fixed_part(folder):
    assert ids(f"{folder}/*.cif") == ["z"]
    assert ids(f"{folder}/b/*/*.vasp") == ["deep/x"]
    # A pattern also takes tables; in this one, "a" is a row.
    assert ids(f"{folder}/**/*") == [*FOLDER_IDS[:-1], "a", "z"]
    assert ids(f"{folder}/b/P*") == ["POSCAR"]


def test_several_sources(folder):
    assert ids([folder / "z.cif", folder / "b" / "deep"]) == ["z", "one", "x"]
    assert ids([]) == []


def test_links(folder):
    (folder / "link.cif").symlink_to(folder / "z.cif")
    (folder / "broken.cif").symlink_to(folder / "missing.cif")
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / "pipe.cif")
    assert "link" in ids(folder)
    assert codes(folder) == {"broken": "unreadable", "pipe": "unreadable"}
    assert not any(name.startswith("round") for name in ids(folder))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar(tmp_path, mode):
    members = {"./b.cif": cif(), "top/a.cif": cif(), "top/POSCAR": POSCAR, "readme.md": "no"}
    path = tar_of(tmp_path / ("c.tar" if mode == "w" else "c.tar.gz"), members, mode)
    records = list(iter_records(path))
    assert [record.id for record in records] == ["b", "top/a", "top/POSCAR"]
    assert records[1].source == f"{path}!top/a.cif"
    assert records[1].text == cif().encode()
    assert records[2].format == "poscar"


def test_zip(tmp_path):
    path = zip_of(tmp_path / "c.zip", {"top/": "", "top/a.cif": cif(), "b.xyz": FRAME, "x.md": "-"})
    records = list(iter_records(path))
    assert [record.id for record in records] == ["top/a", "b"]
    assert records[0].text == cif().encode()


def test_every_structure_of_a_cif_is_a_record(tmp_path):
    path = tmp_path / "many.cif"
    path.write_text(MULTI)
    records = list(iter_records(path))
    assert [record.id for record in records] == ["many#one", "many#two", "many#one~2"]
    data = MULTI.encode()
    for record in records:
        assert record.text == data[record.start : record.stop]
        assert record.text.startswith(b"data_")
    assert records[1].text == cif(name="two").encode()
    assert len(read_records(records).batch) == 3


def test_one_structure_among_other_blocks_keeps_the_name_of_its_file(tmp_path):
    path = tmp_path / "one.cif"
    path.write_text("data_global\n_x 1\n" + cif())
    (record,) = iter_records(path)
    assert record.id == "one"
    assert record.text == cif().encode()
    assert record.start == len("data_global\n_x 1\n")


def test_cif_without_a_structure_is_one_record(tmp_path):
    path = tmp_path / "none.cif"
    path.write_text("data_a\n_x 1\ndata_b\n_y 1\n")
    records = list(iter_records(path))
    assert [record.id for record in records] == ["none"]
    assert read_records(records).reasons[0][-1].code == "no_structure"


def test_frames(tmp_path):
    path = tmp_path / "run.extxyz"
    path.write_text(FRAME + "\n" + FRAME + FRAME)
    records = list(iter_records(path))
    assert [record.id for record in records] == ["run#0", "run#1", "run#2"]
    data = path.read_bytes()
    for record in records:
        assert record.text == data[record.start : record.stop] == FRAME.encode()
    batch = read_records(records).batch
    assert batch.pbc.tolist() == [[True, True, False]] * 3
    assert batch.atomic_numbers.tolist() == [3, 8] * 3


def test_broken_frame_ends_its_file(tmp_path):
    path = tmp_path / "run.xyz"
    path.write_text(FRAME + "no number\n" + FRAME)
    records = list(iter_records(path))
    assert [record.id for record in records] == ["run#0", "run#1"]
    assert records[1].refused.code == "syntax_error"
    path.write_text(FRAME + FRAME[:80])
    result = read_records(list(iter_records(path)))
    assert len(result.batch) == 1
    assert result.reasons[1][-1].code == "syntax_error"


def write_csv(path, rows):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def test_csv(tmp_path):
    rows = [["n", "Material_ID", "CIF"], [1, "mp-1", cif()], [2, "mp-2", ""], [3, "", MULTI]]
    path = write_csv(tmp_path / "t.csv", rows)
    records = list(iter_records(path))
    assert [r.id for r in records] == ["mp-1", "mp-2", "2#one", "2#two", "2#one~2"]
    assert records[0].text == cif().encode()
    assert records[0].source == f"{path}!0"
    assert codes(path) == {"mp-2": "empty_text"}
    assert ids(path, id_column="n")[:2] == ["1", "2"]


def test_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"crystal": [cif(), None], "name": ["a", "b"], "other": [1, 2]})
    pq.write_table(table, path)
    with pytest.raises(SourceError, match=r"text_column.*|.*crystal, name, other"):
        iter_records(path)
    with pytest.raises(SourceError, match="no column 'nope'"):
        iter_records(path, text_column="nope")
    assert ids(path, text_column="crystal") == ["a", "b"]
    assert ids(path, text_column="crystal", id_column="other") == ["1", "2"]
    assert codes(path, text_column="crystal") == {"b": "empty_text"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.cif", "does not exist"),
        ("*.cif", "nothing matches"),
        ("notes.txt", r"known endings are \.cif"),
        ("empty.csv", "no column with a usual name"),
        ("broken.parquet", "can't be read as a table"),
    ],
)
def test_sources_that_are_none_are_told_at_once(tmp_path, name, message):
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "broken.parquet").write_text("PAR1")
    with pytest.raises(SourceError, match=message):
        iter_records(tmp_path / name)


def test_names_that_can_not_be_written(tmp_path):
    path = tar_of(tmp_path / "c.tar", {"bell\x07.cif": cif(), "caf\udce9.cif": cif()})
    found = ids(path)
    assert found == ["bell\\x07", "caf\\xe9"]
    "".join(found).encode()


def test_unreadable_folder_is_counted(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b.cif").write_text(cif())
    original = type(tmp_path).iterdir

    def iterdir(path):
        if path.name == "a":
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    assert codes(tmp_path) == {"a": "unreadable"}
    assert ids(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("kind", ["tar.gz", "xyz", "csv", "parquet", "cif"])
def test_memory_does_not_grow_with_the_number_of_records(tmp_path, kind):
    def source(n):
        path = tmp_path / f"s{n}.{kind}"
        text = cif()
        if kind == "tar.gz":
            tar_of(path, {f"{k}.cif": text for k in range(n)}, "w:gz")
        elif kind == "xyz":
            path.write_text(FRAME * n)
        elif kind == "csv":
            write_csv(path, [["id", "cif"], *([k, text] for k in range(n))])
        elif kind == "parquet":
            table = pa.table({"id": [str(k) for k in range(n)], "cif": [text] * n})
            pq.write_table(table, path)
        else:
            path = tmp_path / f"folder{n}"
            path.mkdir()
            for k in range(n):
                (path / f"{k}.cif").write_text(text)
        return path

    def peak(path, n):
        tracemalloc.start()
        assert sum(1 for _ in iter_records(path)) == n
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = source(50), source(1000)
    peak(few, 50)  # imports and caches
    # Names of a folder are sorted, and so held: about 200 bytes each while they are.
    allowed = 250 * 950 if kind == "cif" else 60_000
    assert peak(many, 1000) - peak(few, 50) < allowed


def test_records_of_a_real_archive(shared_data):
    records = list(iter_records(shared_data("obelix/cifs.tar.gz")))
    assert len({record.id for record in records}) == 321
    assert all(len(record.id) == 3 and record.refused is None for record in records)


def test_frames_of_real_trajectories(shared_data):
    path = shared_data("defect_forces/Ni.xyz.gz")
    records = [record for _, record in zip(range(40), iter_records(path), strict=False)]
    result = read_records(records, Limits())
    assert len(result.batch) == 40
    assert all(r.outcome is not Outcome.QUARANTINED for rs in result.reasons.values() for r in rs)
    assert np.all(result.batch.atomic_numbers == 28)
