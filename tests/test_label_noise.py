"""Disagreement between sources of labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pyhpc.studies.label_noise import compare_labels

NAN = np.nan


def test_pairs_share_the_rows_that_both_know():
    labels = {
        "a": np.array([1.0, 2.0, 3.0, NAN]),
        "b": np.array([1.5, NAN, 1.0, 7.0]),
        "c": np.array([NAN, NAN, NAN, 7.25]),
    }
    found = compare_labels(labels, "none", 1.0)
    assert found["without_logarithm"] == {}
    first, second, third = found["pairs"]
    assert first == {
        "first": "a",
        "second": "b",
        "rows": 2,
        "median": 1.25,
        "mean": 1.25,
        "bias": -0.75,
        "share_beyond": 0.5,
    }
    assert (second["second"], second["rows"], second["mean"]) == ("c", 0, None)
    assert (third["rows"], third["bias"]) == (1, 0.25)
    assert json.loads(json.dumps(found)) == found


def test_logarithms_leave_out_what_has_none():
    labels = {"a": np.array([1.0, 10.0, 10.0, 5.0]), "b": np.array([10.0, 10.0, -3.0, 0.0])}
    found = compare_labels(labels, "log10", 0.5)
    assert found["without_logarithm"] == {"a": 0, "b": 2}
    (pair,) = found["pairs"]
    assert pair["rows"] == 2
    assert pair["mean"] == pytest.approx(0.5)
    assert pair["share_beyond"] == 0.5
