"""Scores, intervals, comparisons, importance, leaks."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from pyhpc.errors import PyhpcError
from pyhpc.models import (
    Compute,
    OutOfFold,
    Target,
    audit,
    bootstrap,
    calibrate,
    compare,
    correlated_clusters,
    coverage,
    cross_conformal,
    cross_validate,
    from_spec,
    metrics,
    parse_targets,
    permutation_importance,
    pool,
    predict_fold,
    shap_values,
)
from pyhpc.models.splits import random_folds
from tests.model_tables import FEATURES, SMALL, SMALL_PHYSICS, covered_table


def out_of_fold(prediction, folds):
    rows = np.flatnonzero(folds.assignment >= 0)
    return OutOfFold(folds, rows, np.asarray(prediction)[rows], {}, [])


def test_metrics_of_known_numbers():
    target, _ = parse_targets(["1", "2", "3", "<6"])
    found = metrics(target, np.array([1.0, 3.0, 3.0, 4.0]))
    assert found["mae"] == pytest.approx(0.75)
    assert found["rmse"] == pytest.approx(np.sqrt(5 / 4))
    assert found["r2"] == pytest.approx(1 - 5 / 14)
    assert found["censored_mae"] == pytest.approx(0.25)
    assert np.isnan(metrics(Target.measured([2.0, 2.0]), np.array([1.0, 2.0]))["r2"])


def test_metrics_do_not_drown_in_a_large_mean():
    values = 1e8 + np.array([0.0, 1.0, 2.0])
    assert metrics(Target.measured(values), values + 0.5)["r2"] == pytest.approx(1 - 0.75 / 2)


def test_bootstrap_intervals_have_the_width_of_theory():
    rng = np.random.default_rng(0)
    target = Target.measured(rng.normal(size=400))
    prediction = target.values + rng.normal(size=400)
    score = bootstrap(target, prediction)["mae"]
    expected = 1.96 * np.abs(prediction - target.values).std() / 20
    assert score.upper - score.value == pytest.approx(expected, rel=0.1)
    assert score.value - score.lower == pytest.approx(expected, rel=0.1)


def test_bootstrap_over_groups_knows_that_rows_of_a_group_say_the_same():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 20)
    target = Target.measured(rng.normal(size=400))
    prediction = target.values + rng.normal(size=20)[groups]
    by_row, by_group = (bootstrap(target, prediction, g)["mae"] for g in (None, groups))
    ratio = (by_group.upper - by_group.lower) / (by_row.upper - by_row.lower)
    assert 3.5 < ratio < 5.5
    again = bootstrap(target, prediction, [f"group {g}" for g in groups])["mae"]
    assert again.value == by_group.value


def test_conformal_intervals_hold_what_they_promise():
    rng = np.random.default_rng(2)
    held = []
    for _ in range(200):
        truth = rng.standard_t(3, size=80)
        known, new = Target.measured(truth[:60]), Target.measured(truth[60:])
        widths = calibrate(known, np.zeros(60), level=0.8).half_widths(20)
        held.append(coverage(new, np.zeros(20), widths, np.zeros(20)).overall)
    # Exchangeable rows: between 0.8 and 0.8 + 1/61, up to the noise of 4000 draws.
    assert 0.78 < np.mean(held) < 0.84


def test_the_quantile_is_the_finite_sample_one():
    truth = Target.measured(np.arange(1.0, 10.0))
    assert calibrate(truth, np.zeros(9), level=0.8).quantile == 8.0
    assert calibrate(truth, np.zeros(9), level=0.9).quantile == 9.0
    assert calibrate(truth, np.zeros(9), level=0.95).quantile == np.inf


def test_normalised_intervals_are_right_where_plain_ones_are_too_narrow():
    rng = np.random.default_rng(3)
    scale = np.exp(rng.normal(size=2000))
    target = Target.measured(scale * rng.normal(size=2000))
    folds = random_folds(2000, 5, 0)
    predicted = out_of_fold(np.zeros(2000), folds)
    plain = coverage(target, np.zeros(2000), cross_conformal(target, predicted), scale)
    widths = cross_conformal(target, predicted, scale)
    normal = coverage(target, np.zeros(2000), widths, scale)
    assert plain.overall == pytest.approx(0.9, abs=0.02)
    assert normal.overall == pytest.approx(0.9, abs=0.02)
    assert plain.most_uncertain < 0.7
    assert normal.most_uncertain > plain.most_uncertain + 0.1


def test_a_fold_is_not_calibrated_on_itself():
    folds = random_folds(100, 2, 0)
    target = Target.measured(np.where(folds.assignment == 0, 1.0, 5.0))
    widths = cross_conformal(target, out_of_fold(np.zeros(100), folds))
    np.testing.assert_array_equal(widths, np.where(folds.assignment == 0, 5.0, 1.0))


def test_a_bound_is_held_by_an_interval_that_reaches_its_open_side():
    target, _ = parse_targets(["<0", "<0", "<0"])
    found = coverage(target, np.array([-3.0, 0.5, 2.0]), np.ones(3), np.array([0.0, 1.0, 2.0]))
    assert found.overall == pytest.approx(2 / 3)
    assert found.most_uncertain == 0.0


def test_the_corrected_test_by_hand():
    rng = np.random.default_rng(4)
    target = Target.measured(rng.normal(size=100))
    repeats = [random_folds(100, 5, seed) for seed in (0, 1)]
    first = [out_of_fold(target.values + rng.normal(size=100), folds) for folds in repeats]
    second = [out_of_fold(target.values + 0.9 * rng.normal(size=100), folds) for folds in repeats]
    gains = [
        np.abs(a.prediction[test] - target.values[test]).mean()
        - np.abs(b.prediction[test] - target.values[test]).mean()
        for a, b in zip(first, second, strict=True)
        for _, test in a.folds
    ]
    found = compare(target, first, second, metric="mae")
    error = np.sqrt((1 / 10 + 20 / 80) * np.var(gains, ddof=1))
    assert found.n_folds == 10
    assert found.gain == pytest.approx(np.mean(gains))
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(np.mean(gains)) / error, 9))
    assert found.upper - found.gain == pytest.approx(stats.t.ppf(0.975, 9) * error)


def test_gains_in_r2_are_differences_of_the_pooled_r2():
    rng = np.random.default_rng(5)
    target = Target.measured(rng.normal(size=100))
    folds = random_folds(100, 5, 0)
    first, second = target.values + rng.normal(size=100), target.values * 0.5
    found = compare(target, [out_of_fold(first, folds)], [out_of_fold(second, folds)])
    difference = metrics(target, second)["r2"] - metrics(target, first)["r2"]
    assert found.gain == pytest.approx(difference)


def test_comparisons_are_of_the_same_folds():
    target = Target.measured(np.arange(20.0))
    one, other = (out_of_fold(np.zeros(20), random_folds(20, 5, seed)) for seed in (0, 1))
    with pytest.raises(ValueError, match="same folds"):
        compare(target, [one], [other])
    same = compare(target, [one], [one])
    assert (same.gain, same.p_value) == (0.0, 1.0)
    with pytest.raises(PyhpcError, match="Allowed: r2"):
        compare(target, [one], [one], metric="rmse")


def test_the_corrected_test_rarely_cries_wolf():
    rng = np.random.default_rng(6)
    found = 0
    for trial in range(60):
        x, truth = rng.normal(size=(2, 60)), rng.normal(size=60)
        target, folds = (
            Target.measured(truth),
            [random_folds(60, 5, 10 * trial + k) for k in (0, 1)],
        )
        pairs = []
        for feature in x:
            predictions = []
            for repeat in folds:
                prediction = np.empty(60)
                for train, test in repeat:
                    slope = feature[train] @ truth[train] / (feature[train] @ feature[train])
                    prediction[test] = slope * feature[test]
                predictions.append(out_of_fold(prediction, repeat))
            pairs.append(predictions)
        found += compare(target, *pairs).p_value < 0.05
    assert found <= 8


def test_pooling_needs_every_fold_once():
    table, target = covered_table(60)
    folds = random_folds(60, 3, 0)
    parts = [predict_fold(from_spec(SMALL), table, target, folds, k, Compute()) for k in range(3)]
    whole = pool(folds, [parts[2], parts[0], parts[1]])
    np.testing.assert_array_equal(whole.rows, np.arange(60))
    for part in parts:
        np.testing.assert_array_equal(whole.prediction[part.rows], part.prediction)
    with pytest.raises(ValueError, match="3 folds"):
        pool(folds, parts[:2])


def test_permuting_finds_what_matters_and_clusters_share_it():
    table, target = covered_table()
    copy = table["x0"].to_numpy() + 1e-3 * np.random.default_rng(0).normal(size=240)
    table = table.append_column("copy", pa.array(copy))
    model = from_spec(SMALL | {"features": [*FEATURES, "copy"], "colsample_bytree": 0.5})
    folds = random_folds(240, 3, 0)
    alone = permutation_importance(model, table, target, folds, Compute())
    by_name = {
        names[0]: importance
        for names, importance in zip(
            alone["features"].to_pylist(), alone["importance"].to_pylist(), strict=True
        )
    }
    assert max(by_name["x2"], by_name["x3"]) < 0.05 < by_name["x1"]
    clusters = correlated_clusters(table, model.columns)
    assert clusters == [("x0", "copy"), ("x1",), ("x2",), ("x3",)]
    together = permutation_importance(
        model, table, target, folds, Compute(), clusters=clusters, n_repeats=3
    )
    assert together["features"][0].as_py() == ["x0", "copy"]
    assert together["importance"][0].as_py() > by_name["x0"] + by_name["copy"]


def test_constant_columns_are_clusters_of_their_own():
    table = pa.table({"a": [1.0, 1.0, 1.0], "b": [2.0, 2.0, 2.0], "c": [1.0, 2.0, 3.0]})
    assert correlated_clusters(table, ["a", "b", "c"]) == [("a",), ("b",), ("c",)]


def test_shap_values_sum_to_the_prediction():
    table, target = covered_table()
    for spec in (
        SMALL_PHYSICS,
        SMALL | {"kind": "xgboost_aft"},
        {"kind": "blend", "models": [SMALL, SMALL_PHYSICS], "weights": [1, 2]},
        {"kind": "tuned", "model": SMALL, "grid": {"max_depth": [2]}, "n_folds": 2},
    ):
        fitted = from_spec(spec).fit(table, target, Compute())
        values, base = shap_values(fitted, table)
        np.testing.assert_allclose(base + sum(values.values()), fitted.predict(table), atol=1e-4)
        assert np.abs(values["x0"]).mean() > 2 * np.abs(values["x3"]).mean()
    with pytest.raises(PyhpcError, match="'mean' has no SHAP values"):
        shap_values(from_spec({"kind": "mean"}).fit(table, target, Compute()), table)


def test_the_audit_finds_what_is_made_from_the_target():
    rng = np.random.default_rng(7)
    texts = [f"<{v}" if k % 10 == 0 else str(v) for k, v in enumerate(rng.random(200))]
    target, _ = parse_targets(texts)
    table = pa.table(
        {
            "honest": rng.normal(size=200) + 3 * target.values,
            "coerced": target.censored.astype(np.int8),
            "missing_there": np.where(target.censored, np.nan, 1.0),
            "square": -(target.values**2),
            "constant": np.ones(200),
        }
    )
    found = {leak.feature: leak.evidence for leak in audit(table, target, table.column_names)}
    assert found.keys() == {"coerced", "missing_there", "square"}
    assert found["coerced"] == "tells bounds from measurements (area under the curve 1.000)"
    assert found["square"] == "rank correlation -1.000 with the target"


def test_a_cheat_flatters_folds_but_not_the_audit():
    table, target = covered_table()
    cheat = table.append_column("leak", pa.array(target.values + 1e-3))
    model = from_spec(SMALL | {"features": [*FEATURES, "leak"]})
    r2 = {
        spec.columns: metrics(
            target, cross_validate(spec, cheat, target, random_folds(240), Compute()).prediction
        )["r2"]
        for spec in (from_spec(SMALL), model)
    }
    assert r2[model.columns] > r2[FEATURES] + 0.3
    assert [leak.feature for leak in audit(cheat, target, model.columns)] == ["leak"]


def test_a_wide_interval_raises_the_mean_width_and_not_the_median():
    target = Target.measured([0.0, 0.5, 2.0, -4.0])
    told = coverage(target, np.zeros(4), np.array([1.0, 1.0, 1.0, 5.0]), np.arange(4.0))
    assert (told.overall, told.most_uncertain) == (0.75, 1.0)
    assert (told.mean_width, told.median_width) == (4.0, 2.0)
