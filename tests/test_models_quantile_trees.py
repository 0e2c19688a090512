"""Boosted trees of quantiles."""

import numpy as np
import pyarrow as pa
import pytest

from pyhpc.models import (
    Compute,
    Target,
    coverage,
    cross_conformal,
    cross_validate,
    from_spec,
    shap_values,
)
from pyhpc.models.splits import random_folds

SPEC = {"kind": "quantile_trees", "features": ["x", "y"], "n_trees": 100, "learning_rate": 0.1}


def uneven_table(n_rows=4000):
    """Normal noise whose standard deviation grows with ``y``, around 50."""
    rng = np.random.default_rng(6)
    columns = {"x": rng.normal(size=n_rows), "y": rng.random(n_rows)}
    scales = 0.2 + 2 * columns["y"]
    values = 50 + 2 * columns["x"] + scales * rng.normal(size=n_rows)
    return pa.table(columns), Target.measured(values), scales


def halves(table, target):
    rows = np.arange(table.num_rows)
    first, second = rows[::2], rows[1::2]
    return (table.take(first), target.take(first)), (table.take(second), target.take(second))


@pytest.mark.parametrize("page_rows", [0, 700])
def test_quantiles_hold_the_asked_share_of_other_rows(page_rows):
    table, target, scales = uneven_table()
    known, other = halves(table, target)
    spec = SPEC | {"max_depth": 3, "min_child_weight": 20.0, "page_rows": page_rows}
    fitted = from_spec(spec).fit(*known, Compute())
    median, told = fitted.predict(other[0]), fitted.explain(other[0])
    values = other[1].values
    assert (values < told["lower"]).mean() == pytest.approx(0.05, abs=0.02)
    assert (values < median).mean() == pytest.approx(0.5, abs=0.03)
    assert (values > told["upper"]).mean() == pytest.approx(0.05, abs=0.02)
    # The spread is the standard deviation of the noise.
    ratios = told["spread"] / scales[1::2]
    assert np.median(ratios) == pytest.approx(1.0, abs=0.1)
    assert np.corrcoef(told["spread"], scales[1::2])[0, 1] > 0.9


def test_quantiles_of_few_rows_never_cross():
    table, target, _ = uneven_table(60)
    spec = SPEC | {"levels": [0.45, 0.5, 0.55], "min_child_weight": 1.0, "learning_rate": 0.5}
    fitted = from_spec(spec).fit(table, target, Compute())
    crossed = fitted._outputs(table).reshape(-1, 3)
    assert (np.diff(crossed, axis=1) < 0).any(), "as they would without the order"
    median, told = fitted.predict(table), fitted.explain(table)
    assert (told["lower"] <= median).all()
    assert (median <= told["upper"]).all()
    assert (told["spread"] >= 0).all()


def test_conformal_intervals_follow_the_spread():
    table, target, scales = uneven_table(1500)
    model = from_spec(SPEC | {"max_depth": 3})
    predicted = cross_validate(model, table, target, random_folds(1500, 4, 0), Compute())
    spread = predicted.explained["spread"]
    covered = {}
    for name, by in (("even", None), ("uneven", spread)):
        half_widths = cross_conformal(target, predicted, by, level=0.9)
        covered[name] = coverage(target, predicted.prediction, half_widths, scales)
        assert covered[name].overall == pytest.approx(0.9, abs=0.02)
    assert covered["even"].most_uncertain < 0.8
    assert covered["uneven"].most_uncertain > covered["even"].most_uncertain + 0.03
    assert covered["uneven"].mean_width < 0.95 * covered["even"].mean_width


def test_contributions_add_up_to_the_median():
    table, target, _ = uneven_table(300)
    fitted = from_spec(SPEC).fit(table, target, Compute())
    values, base = shap_values(fitted, table)
    assert values.keys() == {"x", "y"}
    np.testing.assert_allclose(sum(values.values()) + base, fitted.predict(table), rtol=1e-5)


def test_no_rows_have_no_quantiles():
    table, target, _ = uneven_table(100)
    fitted = from_spec(SPEC).fit(table, target, Compute())
    assert fitted.predict(table.slice(0, 0)).shape == (0,)
    assert fitted.explain(table.slice(0, 0))["spread"].shape == (0,)
