"""Every record ends with a row or a reason, and every gap with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pyhpc.reasons import Reasons
from pyhpc.records import Outcome, Reason
from pyhpc.shards.batch import explain_gaps, gaps, run_batch
from pyhpc.shards.parquet import encode_table
from tests.fake_task import FakeTask, plain_records, record


def codes(result):
    found = (result.reasons.get(k, []) for k in range(len(result.outcomes)))
    return [[reason.code for reason in reasons] for reasons in found]


def test_refused_records_are_quarantined_for_it():
    reason = Reason("too_large", "source", Outcome.QUARANTINED, "17 MiB")
    records = [record("a", "x"), record("b", "", refused=reason), record("c", "bad")]
    result = run_batch(FakeTask(), records, threads=1)
    assert result.table["id"].to_pylist() == ["a"]
    assert codes(result) == [[], ["too_large"], ["bad_text"]]


def test_records_that_raise_are_found_and_the_others_unchanged():
    records = plain_records(40)
    guilty = (3, 17, 18)
    mixed = [record(f"g{k}", "raise") if k in guilty else one for k, one in enumerate(records)]
    result = run_batch(FakeTask(), mixed, threads=1)
    innocent = [one for k, one in enumerate(records) if k not in guilty]
    plain = run_batch(FakeTask(), innocent, threads=1)
    assert bytes(encode_table(result.table)) == bytes(encode_table(plain.table))
    assert [k for k, found in enumerate(codes(result)) if "internal_error" in found] == [*guilty]
    (reason,) = result.reasons[3]
    assert reason.message.startswith("ValueError: told to raise at <object object at 0x...>")


@dataclass(frozen=True)
class Failing(FakeTask):
    error: type[BaseException] = MemoryError

    def run(self, records, *, threads=1):
        raise self.error("not the record's fault")


@pytest.mark.parametrize("error", [MemoryError, OSError, KeyboardInterrupt, SystemExit])
def test_what_is_no_fault_of_a_record_is_raised(error):
    with pytest.raises(error):
        run_batch(Failing(error=error), plain_records(3), threads=1)


def test_a_panic_is_a_fault_of_the_record():
    panic = type("PanicException", (BaseException,), {})
    result = run_batch(Failing(error=panic), plain_records(3), threads=1)
    assert codes(result) == [["internal_error"]] * 3


@dataclass(frozen=True)
class Sloppy(FakeTask):
    """Does not say why a value is missing, or forgets a row."""

    forgets: bool = False

    def run(self, records, *, threads=1):
        result = super().run(records)
        if self.forgets:
            return replace(result, table=result.table[1:], positions=result.positions[1:])
        return replace(result, reasons={})


@dataclass(frozen=True)
class Saying(FakeTask):
    """Gives these reasons."""

    reasons: dict = field(default_factory=dict)

    def run(self, records, *, threads=1):
        return replace(super().run(records), reasons=self.reasons)


def test_gap_without_a_reason_gets_one():
    records = [record("a", "degraded"), record("b", "x")]
    result = explain_gaps(run_batch(Sloppy(), records, threads=1))
    assert result.count() == {"ok": 1, "degraded": 1}
    assert codes(result) == [["unexplained_missing"], []]
    assert "length" in result.reasons[0][0].message


def test_row_that_is_forgotten_is_a_bug():
    with pytest.raises(TypeError, match="are not quarantined"):
        run_batch(Sloppy(forgets=True), plain_records(3), threads=1)


@pytest.mark.parametrize("record", [-1, 3])
def test_reason_of_no_record_is_a_bug(record):
    reason = Reason("fact", "parse", Outcome.OK, "of nobody")
    with pytest.raises(TypeError, match="others than its 3 records"):
        run_batch(Saying(reasons={record: [reason]}), plain_records(3), threads=1)


def test_reason_may_be_of_nobody():
    """As that of a feature which no crystal lacks."""
    nobody = Reasons.gather([((), Reason("fact", "parse", Outcome.OK, "of nobody"))])
    result = run_batch(Saying(reasons=nobody), plain_records(3), threads=1)
    assert result.count() == {"ok": 3}
    assert result.reasons == {}


def gaps_one_by_one(table, rows):
    """What :func:`gaps` finds, column by column."""
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        for row in pc.indices_nonzero(pc.is_null(column, nan_is_null=True)).to_pylist():
            if row in rows:
                found.setdefault(row, []).append(name)
    return found


@pytest.mark.parametrize("floats", [0, 3])
def test_gaps_are_found_in_columns_of_all_kinds(floats):
    random = np.random.default_rng(20261121)
    masks = random.random((floats + 3, 50)) < 0.1
    values = [np.where(mask, np.nan, 1.0) for mask in masks[:floats]]
    columns = {f"float{k}": pa.array(column) for k, column in enumerate(values)}
    if floats:
        for sign in (1, -1):
            columns[f"infinite{sign}"] = pa.array(np.where(masks[2], sign * np.inf, 1e308))
        columns["float32"] = pa.array(values[0].astype(np.float32), mask=masks[1])
    columns["integer"] = pa.array(np.arange(50, dtype=np.int8), mask=masks[floats])
    columns["text"] = pa.array(["a"] * 50, mask=masks[floats + 1])
    columns["word"] = pa.array(["b"] * 50, mask=masks[floats + 2]).dictionary_encode()
    whole = pa.Table.from_pydict(columns)
    for table in (whole, pa.concat_tables([whole[:20], whole[20:]]), whole[7:45], whole[:0]):
        for rows in (range(table.num_rows), [k for k in (3, 8, 21, 22, 49) if k < len(table)]):
            assert gaps(table, rows) == gaps_one_by_one(table, rows)
    assert len(gaps(whole, range(50))) > 10
