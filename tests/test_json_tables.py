"""JSON tables, read element by element."""

from __future__ import annotations

import gzip
import io
import json

import pytest

from pyhpc.crystals import Limits, SourceError, iter_records, json_tables
from pyhpc.crystals.json_tables import JsonTableError, iter_json
from tests.cifs import cif

COLUMNS = ["cif", "log10(K_VRH)"]
DATA = [["data_a", 1.5], ['{"[,\\"\u00e9', None], [{"x": [1, 2]}, -2e-3]]
SPLIT = {"index": [3, "b", 12345], "columns": COLUMNS, "data": DATA}
ROWS = [dict(zip(COLUMNS, cells, strict=True)) for cells in DATA]


def rows_of(text, **limits):
    data = text if isinstance(text, bytes) else text.encode()
    return list(iter_json(io.BytesIO(data), Limits(**limits)))


@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"ensure_ascii": False}])
@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 18])
def test_both_layouts_whatever_is_in_memory_at_once(monkeypatch, chunk, style):
    monkeypatch.setattr(json_tables, "_CHUNK", chunk)
    assert rows_of(json.dumps(ROWS, **style)) == ROWS
    with_index = [row | {"index": one} for row, one in zip(ROWS, SPLIT["index"], strict=True)]
    assert rows_of(json.dumps(SPLIT, **style)) == with_index
    assert rows_of(json.dumps({"columns": COLUMNS, "data": DATA}, **style)) == ROWS
    assert rows_of(" [ ] ") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "too early"),
        ("3", "begins with neither"),
        ("[3]", "row 0 is no object"),
        ('[{"a": 1} {"a": 2}]', "',' expected"),
        ('[{"a": 1}, ', "too early"),
        ('[{"a": nul', "no JSON"),
        ("{}", "no data"),
        ('{"data": [], "columns": []}', "before its data"),
        ('{"columns": ["a"], "data": 3}', "no list"),
        ('{"columns": ["a"], "data": [[1, 2]]}', "one cell per column"),
        ('{"columns": ["a"], "index": [1, 2], "data": [[1]]}', "index of 2"),
        ('{"cif": {"0": "data_a"}}', "'cif'"),
        ('[{"a": ' + "[" * 100_000, "too deep"),
    ],
)
def test_what_is_no_table(text, words):
    with pytest.raises(JsonTableError, match=words):
        rows_of(text)


def test_a_row_is_bounded():
    row = json.dumps([{"cif": "x" * 100}])
    assert rows_of(row, max_text_bytes=100)
    with pytest.raises(JsonTableError, match="more than 40 characters"):
        rows_of(json.dumps([{"cif": "x" * 1_000_000}]), max_text_bytes=20)


def test_a_table_is_a_source(tmp_path):
    path = tmp_path / "matbench.json.gz"
    split = {"index": [0, 1, 2], "columns": COLUMNS, "data": [[cif(), 1], ["", 2], [3, 4]]}
    path.write_bytes(gzip.compress(json.dumps(split).encode()))
    records = list(iter_records(path))
    assert [record.id for record in records] == ["0", "1", "2"]
    assert records[0].text == cif().encode()
    assert [record.refused and record.refused.code for record in records] == [
        None,
        "empty_text",
        "empty_text",
    ]
    assert records[1].source == f"{path}!1"
    with pytest.raises(SourceError, match="no column 'structures'"):
        list(iter_records(path, text_column="structures"))


def test_a_table_that_breaks_off_gives_its_rows_and_the_fault(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"id": "a", "cif": cif()}] * 2)[:-20])
    first, fault = iter_records(path)
    assert first.id == "a"
    assert fault.refused.code == "unreadable"
    path.write_text("[")
    with pytest.raises(SourceError, match="can't be read as a table"):
        list(iter_records(path))
