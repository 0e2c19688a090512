"""Rows of tables, whatever the format of the file."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyhpc.crystals import Limits
from pyhpc.errors import PyhpcError
from pyhpc.studies.table_files import cell_text, iter_rows

ROWS = [
    {"id": "a", "y": 0.1 + 0.2, "n": 3, "ok": True, "note": 'a "word",\nor two'},
    {"id": "b", "y": None, "n": -1, "ok": False, "note": ""},
]
TEXTS = [{name: cell_text(cell, name) for name, cell in row.items()} for row in ROWS]


def csv_text():
    lines = ["\ufeffid,y,n,ok,note"]
    for row in TEXTS:
        quoted = '"' + row["note"].replace('"', '""') + '"'
        lines += ["", f"{row['id']},{row['y']},{row['n']},{row['ok']},{quoted}"]
    return "\r\n".join(lines) + "\r\n"


def write(path):
    split = {
        "columns": list(ROWS[0]),
        "index": [0, 1],
        "data": [list(row.values()) for row in ROWS],
    }
    texts = {
        "t.csv": csv_text(),
        "t.csv.gz": csv_text(),
        "records.json": json.dumps(ROWS),
        "split.json.gz": json.dumps(split),
    }
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        data = texts[path.name].encode()
        path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "records.json", "split.json.gz", "t.parquet"]
)
def test_every_format_gives_the_same_rows(tmp_path, name):
    rows = list(iter_rows(write(tmp_path / name)))
    found = [{key: cell_text(row[key], key) for key in TEXTS[0]} for row in rows]
    assert found == TEXTS
    assert float(found[0]["y"]) == ROWS[0]["y"]


def test_a_short_row_lacks_its_last_cells(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1\n2,3,4\n")
    assert list(iter_rows(tmp_path / "t.csv")) == [{"a": "1", "b": None}, {"a": "2", "b": "3"}]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.txt", b"a,b\n", "is no table"),
        ("t.csv", b'a,b\n1,2\n3,"4', "as CSV after row 0"),
        ("t.csv", b"a\n1\n2\n\xff\n", "as CSV after row 1"),
        ("t.csv.gz", b"a,b\n", "from its start"),
        ("t.json", b'[{"a": 1}, {"a": 2}, 3]', "as JSON after row 1: row 2 is no object"),
        ("t.json", b'{"a": [1, 2]}', "orient="),
        ("t.parquet", b"PAR1", "as PARQUET from its start"),
        ("t.csv", b"a\n" + b"x" * 500, "a row has 500 bytes"),
        ("none.csv", None, "from its start"),
    ],
)
def test_what_can_t_be_read_is_named(tmp_path, name, data, words):
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(PyhpcError) as caught:
        list(iter_rows(path, Limits(max_text_bytes=100)))
    assert str(path) in caught.value.message
    assert words in caught.value.message
    assert caught.value.remedy


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"1\n" * 100_000))
    with pytest.raises(PyhpcError, match="a ratio above 2"):
        list(iter_rows(path, Limits(max_ratio=2, ratio_floor=1000)))


def test_a_list_is_neither_text_nor_number():
    with pytest.raises(PyhpcError, match="y of row 3 holds a list"):
        cell_text([1], "y of row 3")
