"""Models of the quantity, scored by its logarithm."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from pyhpc.errors import PyhpcError
from pyhpc.models import Compute, Target, from_spec, load, parse_targets
from tests.model_tables import SMALL, SMALL_PHYSICS, covered_table

GATE = {"baseline": SMALL, "specialist": SMALL_PHYSICS, "indicators": ["has_p"]}


def fit(model, table, target, **options):
    spec = {"kind": "raw_target", "model": model} | options
    return from_spec(spec).fit(table, target, Compute(seed=2))


def test_the_model_is_that_of_the_quantity():
    table, target = covered_table()
    fitted = fit(SMALL, table, target)
    alone = from_spec(SMALL).fit(table, Target.measured(10**target.values), Compute(seed=2))
    least = 0.1 * (10**target.values).min()
    expected = np.log10(np.maximum(alone.predict(table), least))
    np.testing.assert_array_equal(fitted.predict(table), expected)


def test_the_best_constant_is_the_mean_of_the_quantity():
    table, _ = covered_table(4)
    target = Target.measured([0.0, 0.0, 0.0, np.log10(5.0)])
    np.testing.assert_allclose(fit({"kind": "mean"}, table, target).predict(table), np.log10(2.0))


def test_nothing_is_said_below_the_floor():
    table, _ = covered_table(4)
    fitted = fit({"kind": "mean"}, table, Target.measured([-3.0, 0, 1, 2]), floor=0.1)
    raw = SimpleNamespace(
        predict=lambda table: np.array([-5.0, 0.0, 1e-3, 20.0]),
        explain=lambda table: {"spread": np.array([1.0, 0.0, 1e-9, 0.02])},
    )
    below = dataclasses.replace(fitted, raw=raw)
    np.testing.assert_allclose(below.predict(table), [-4, -4, -3, np.log10(20)])
    # Small spreads to first order; large ones stay a number of decades.
    np.testing.assert_allclose(
        below.explain(table)["spread"], np.array([9.21, 0, 1e-6, 1e-3]) / np.log(10), rtol=1e-3
    )


def test_bounds_become_bounds_of_the_quantity():
    table, _ = covered_table(3)
    target, _ = parse_targets(["<-2", "1", ">2"])
    seen = []

    class Watched(type(from_spec({"kind": "mean"}))):
        def fit(self, table, target, compute):
            seen.append(target)
            return super().fit(table, target, compute)

    fit(Watched(), table, target)
    np.testing.assert_allclose(seen[0].values, [0.01, 10, 100])
    np.testing.assert_allclose(seen[0].lower, [0, 10, 100])
    np.testing.assert_allclose(seen[0].upper, [0.01, 10, np.inf])


def test_what_the_model_says_of_itself_is_told_of_the_logarithm(tmp_path):
    table, target = covered_table()
    quantiles = fit(SMALL | {"kind": "quantile_trees"}, table, target)
    told, raw = quantiles.explain(table), quantiles.raw.explain(table)
    assert told.keys() == {"lower", "upper", "spread"}
    prediction = quantiles.predict(table)
    assert (told["lower"] <= prediction).all()
    assert (prediction <= told["upper"]).all()
    expected = np.log10(10**prediction + raw["spread"]) - prediction
    np.testing.assert_allclose(told["spread"], expected, rtol=1e-9)
    quantiles.save(tmp_path / "model")
    again = load(tmp_path / "model").explain(table)
    for name, values in told.items():
        np.testing.assert_array_equal(again[name], values)
    gated = fit({"kind": "residual", **GATE}, table, target)
    told, raw = gated.explain(table), gated.raw.explain(table)
    assert told.keys() == {"gate", "baseline", "specialist"}
    np.testing.assert_array_equal(told["gate"], raw["gate"])
    np.testing.assert_allclose(
        told["baseline"], np.log10(np.maximum(raw["baseline"], gated.least)), rtol=1e-12
    )


def test_targets_that_are_no_logarithms_are_refused():
    table, _ = covered_table(3)
    for value in (1000.0, -1000.0):
        with pytest.raises(PyhpcError, match=r"row 1 is -?1000, too large for"):
            fit({"kind": "mean"}, table, Target.measured([1.0, value, 2.0]))
