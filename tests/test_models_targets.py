"""Targets with bounds."""

import numpy as np
import pyarrow as pa
import pytest

from pyhpc.errors import PyhpcError
from pyhpc.models import Target, matrix, ordinal, parse_targets


def test_numbers_bounds_and_gaps_are_told_apart():
    target, present = parse_targets(["1.5e-6", "<1E-10", "> 2", None, "", "nan", 3.0, "<=1E-8"])
    assert present.tolist() == [True, True, True, False, False, False, True, True]
    assert target.values.tolist() == [1.5e-6, 1e-10, 2.0, 3.0, 1e-8]
    assert target.lower.tolist() == [1.5e-6, -np.inf, 2.0, 3.0, -np.inf]
    assert target.upper.tolist() == [1.5e-6, 1e-10, np.inf, 3.0, 1e-8]
    assert target.censored.tolist() == [False, True, True, False, True]
    assert not target.coerced().censored.any()


@pytest.mark.parametrize("text", ["abc", "1e", "<", "1.0.0", "1 2", "--1"])
def test_what_is_no_number_is_refused_with_its_row(text):
    with pytest.raises(PyhpcError, match="row 1"):
        parse_targets(["1", text])


def test_logarithms_of_bounds():
    target = parse_targets(["1e-3", "<1e-10", ">10"])[0].log10()
    np.testing.assert_allclose(target.values, [-3, -10, 1])
    assert target.lower.tolist()[1:] == [-np.inf, 1.0]
    assert target.upper.tolist()[1:] == [-10.0, np.inf]
    with pytest.raises(PyhpcError, match="row 1 is -2"):
        Target.measured([1.0, -2.0]).log10()


def test_a_bound_is_missed_by_its_closed_side_only():
    target = parse_targets(["0", "<1", ">1"])[0]
    np.testing.assert_allclose(target.distances(np.array([2.0, 2.0, 2.0])), [2, 1, 0])
    np.testing.assert_allclose(target.distances(np.array([-2.0, -2.0, -2.0])), [2, 0, 3])
    residual = target.minus(np.array([1.0, 3.0, 3.0]))
    assert residual.upper.tolist() == [-1.0, -2.0, np.inf]
    np.testing.assert_allclose(residual.distances(np.zeros(3)), target.distances([1.0, 3.0, 3.0]))


def test_matrices_hold_numbers_only():
    table = pa.table({"a": [1, None, 3], "b": [True, False, None], "c": ["x", "y", None]})
    found = matrix(table, ["b", "a"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1, 1], [0, np.nan], [np.nan, 3]])
    with pytest.raises(PyhpcError, match="'c' holds string"):
        matrix(table, ["c"])
    with pytest.raises(PyhpcError, match="no column 'd'"):
        matrix(table, ["d"])
    encoded = ordinal(table, "c", ["y", "x"])
    assert encoded["c"].to_pylist() == [1, 0, None]
    with pytest.raises(PyhpcError, match="holds 'y'"):
        ordinal(table, "c", ["x"])
