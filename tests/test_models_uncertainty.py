"""Ensembles over folds, and how well a stated uncertainty goes with the errors."""

import numpy as np
import pyarrow as pa
import pytest

from pyhpc.models import Compute, Target, calibrate, from_spec
from pyhpc.models.uncertainty import coverage_curve, normal_half_widths, sparsification

TREES = {
    "kind": "xgboost",
    "features": ["x", "noisy"],
    "n_trees": 60,
    "max_depth": 3,
    "learning_rate": 0.1,
    "colsample_bytree": 1.0,
}
CROSS_FITTED = {
    "kind": "cross_fitted",
    "model": TREES,
    "errors": TREES | {"features": ["x", "noisy", "baseline_prediction"], "max_depth": 2},
    "n_folds": 4,
}


def uneven(n_rows, seed):
    """Rows of which a third is ten times as noisy as the others, and says so."""
    rng = np.random.default_rng(seed)
    x, noisy = rng.uniform(-2, 2, n_rows), (rng.random(n_rows) < 1 / 3).astype(float)
    values = np.sin(2 * x) + np.where(noisy, 1.0, 0.1) * rng.normal(size=n_rows)
    return pa.table({"x": x, "noisy": noisy}), Target.measured(values)


def test_errors_are_learned_from_rows_that_members_have_not_seen():
    table, target = uneven(1500, 0)
    fitted = from_spec(CROSS_FITTED).fit(table, target, Compute(seed=1))
    new, truth = uneven(1500, 1)
    spread = fitted.explain(new)["spread"]
    noisy = np.asarray(new["noisy"]) == 1
    # The noise is known; what the members get wrong comes on top of it.
    assert 0.7 < np.median(spread[noisy]) < 1.4
    assert 0.08 < np.median(spread[~noisy]) < 0.25
    errors = truth.distances(fitted.predict(new))
    assert abs((errors <= normal_half_widths(spread, 0.9)).mean() - 0.9) < 0.05


def test_intervals_by_expected_error_are_narrower_at_equal_coverage():
    table, target = uneven(1500, 0)
    fitted = from_spec(CROSS_FITTED).fit(table, target, Compute(seed=1))
    (known, known_target), (new, new_target) = uneven(1500, 1), uneven(1500, 2)
    spread, widths = fitted.explain(known)["spread"], {}
    for name, uncertainty in (("plain", None), ("normalized", spread)):
        learned = calibrate(known_target, fitted.predict(known), uncertainty)
        widths[name] = learned.half_widths(new.num_rows, fitted.explain(new)["spread"])
        held = new_target.distances(fitted.predict(new)) <= widths[name]
        assert abs(held.mean() - 0.9) < 0.03
    assert widths["normalized"].mean() < 0.75 * widths["plain"].mean()


def test_prediction_is_the_mean_of_members_that_differ():
    table, target = uneven(200, 0)
    fitted = from_spec(CROSS_FITTED).fit(table, target, Compute(seed=1))
    members = fitted.member_predictions(table)
    assert members.shape == (4, 200)
    assert (members.std(axis=0) > 0).mean() > 0.9
    np.testing.assert_array_equal(fitted.predict(table), members.mean(axis=0))


def test_groups_stay_together_inside():
    """A feature that names the group tells all of a group's residuals, were its rows split."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 10)
    table = pa.table(
        {"x": rng.permutation(60)[group].astype(float), "noisy": np.zeros(600), "group": group}
    )
    target = Target.measured(rng.normal(size=60)[group])
    whole = from_spec(CROSS_FITTED | {"groups": "group"}).fit(table, target, Compute())
    split = from_spec(CROSS_FITTED).fit(table, target, Compute())
    assert whole.mean_error > 2 * split.mean_error


def test_perfect_members_leave_finite_errors():
    table, _ = uneven(100, 0)
    fitted = from_spec(CROSS_FITTED).fit(table, Target.measured(np.ones(100)), Compute())
    assert np.isfinite(fitted.explain(table)["spread"]).all()


def test_one_fold_is_refused():
    with pytest.raises(Exception, match="n_folds = 1"):
        from_spec(CROSS_FITTED | {"n_folds": 1})


def test_normal_errors_are_held_at_every_level():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 2, 20000)
    levels = (0.2, 0.5, 0.9)
    curve = coverage_curve(np.abs(spread * rng.normal(size=20000)), spread, levels)
    np.testing.assert_allclose(curve, levels, atol=0.01)


def test_sparsification():
    errors = np.array([4.0, 1.0, 3.0, 2.0])
    kept = (1.0, 0.5, 0.25)
    np.testing.assert_array_equal(sparsification(errors, errors, kept), [2.5, 1.5, 1.0])
    np.testing.assert_array_equal(sparsification(errors, -errors, kept), [2.5, 3.5, 4.0])
