"""What strategies do beside fitting."""

import numpy as np
import pyarrow as pa
import pytest

from pyhpc.errors import PyhpcError
from pyhpc.models import Compute, Target, cross_validate, from_spec, metrics
from pyhpc.models.splits import random_folds
from tests.model_tables import FEATURES, NEAREST, SMALL, SMALL_PHYSICS, covered_table

GATE = {"baseline": SMALL, "specialist": SMALL_PHYSICS, "indicators": ["has_p"]}


def r2(spec, table, target):
    predicted = cross_validate(
        from_spec(spec), table, target, random_folds(len(target), 3, 0), Compute()
    )
    return metrics(target, predicted.prediction)["r2"]


def test_the_gate_chooses_by_the_indicators():
    table, target = covered_table()
    fitted = from_spec({"kind": "gated", **GATE}).fit(table, target, Compute())
    told = fitted.explain(table)
    has = table["has_p"].to_numpy() == 1
    np.testing.assert_array_equal(told["gate"], has)
    expected = np.where(has, told["specialist"], told["baseline"])
    np.testing.assert_array_equal(fitted.predict(table), expected)


def test_the_subset_specialist_sees_covered_rows_alone():
    table, target = covered_table()
    has = np.flatnonzero(table["has_p"].to_numpy())
    spec = {"kind": "gated", **GATE, "trained_on": "covered"}
    fitted = from_spec(spec).fit(table, target, Compute())
    assert fitted.summary["n_fitted"] == len(has)
    alone = from_spec(SMALL_PHYSICS).fit(table.take(has), target.take(has), Compute())
    np.testing.assert_array_equal(fitted.specialist.predict(table), alone.predict(table))


def test_every_physics_strategy_gains_where_physics_matters():
    table, target = covered_table()
    baseline = r2(SMALL, table, target)
    for spec in (
        {"kind": "gated", **GATE},
        {"kind": "gated", **GATE, "trained_on": "covered"},
        {"kind": "residual", **GATE},
        {"kind": "soft_gate", **GATE},
    ):
        assert r2(spec, table, target) > baseline + 0.2


def test_the_soft_gate_shuts_out_a_harmful_specialist():
    table, target = covered_table()
    noise = np.random.default_rng(9).permutation(len(target))
    # A specialist that knows nothing but the row number, and so memorises.
    spec = {"kind": "soft_gate", **GATE, "specialist": NEAREST | {"features": ["shuffled"]}}
    table = table.append_column("shuffled", pa.array(noise))
    fitted = from_spec(spec).fit(table, target, Compute())
    assert fitted.weights(table).max() < 0.15
    assert r2(spec, table, target) > r2(SMALL, table, target) - 0.02


def test_the_soft_gate_is_never_worse_than_its_baseline_on_what_it_was_fitted_to():
    from pyhpc.models.gates import _fit_weights, _weights

    rng = np.random.default_rng(0)
    for scale in (0.01, 0.1, 1.0, 10.0):
        for _ in range(30):
            terms = rng.random((2, 40))
            residuals, differences = rng.normal(size=40), scale * rng.normal(size=40)
            found = _fit_weights(terms, residuals, differences, np.full(2, 0.25))
            weights = _weights(terms, found)
            assert ((weights >= 0) & (weights <= 1)).all()
            left = residuals - weights * differences
            assert (left**2).sum() <= (residuals**2).sum()


def test_the_soft_gate_follows_coverage_and_margin():
    table, target = covered_table()
    spec = {"kind": "soft_gate", **GATE, "margin": "margin", "margin_scale": 2.0}
    fitted = from_spec(spec).fit(table, target, Compute())
    probe = pa.table({"has_p": [0, 1, 1, 1], "margin": [5.0, 0.0, 2.0, None]})
    np.testing.assert_allclose(
        fitted.model.reliabilities(probe), [[0, 1, 1, 1], [0, 0, 0.5, 1]], atol=1e-12
    )
    weights = fitted.weights(probe)
    assert weights[0] == 0
    assert (weights[1] > 0) & (np.diff(weights) >= 0).all() & (weights[3] <= 1)


@pytest.mark.parametrize("trust", [0.0, 0.5, 0.75])
def test_a_soft_gate_without_folds_trusts_as_it_is_told(trust):
    table, target = covered_table()
    spec = {"kind": "soft_gate", **GATE, "n_folds": 0, "trust": trust}
    fitted = from_spec(spec).fit(table, target, Compute())
    told = fitted.explain(table)
    np.testing.assert_array_equal(told["gate"], trust * table["has_p"].to_numpy())
    mean = (1 - trust) * told["baseline"] + trust * told["specialist"]
    expected = np.where(told["gate"] > 0, mean, told["baseline"])
    np.testing.assert_allclose(fitted.predict(table), expected, rtol=1e-12)


def test_the_spread_of_a_soft_gate_is_that_of_all_members_behind_it():
    table, target = covered_table()
    blends = [
        {"kind": "blend", "models": [model, {"kind": "mean"}, NEAREST], "weights": [2, 1, 1]}
        for model in (SMALL, SMALL_PHYSICS)
    ]
    parts = {"baseline": blends[0], "specialist": blends[1], "indicators": ["has_p"]}
    spec = {"kind": "soft_gate", **parts, "n_folds": 0, "trust": 0.75}
    fitted = from_spec(spec).fit(table, target, Compute())
    told = fitted.explain(table)
    members = np.concatenate(
        [part.member_predictions(table) for part in (fitted.baseline, fitted.specialist)]
    )
    of_blend = np.array([0.5, 0.25, 0.25])[:, None]
    weights = np.concatenate([(1 - told["gate"]) * of_blend, told["gate"] * of_blend])
    deviations = members - fitted.predict(table)
    expected = np.sqrt((weights * deviations**2).sum(axis=0))
    np.testing.assert_allclose(told["spread"], expected, rtol=1e-9)
    has = table["has_p"].to_numpy() == 1
    own = fitted.baseline.explain(table)["spread"]
    np.testing.assert_allclose(told["spread"][~has], own[~has], rtol=1e-12)


def test_a_soft_gate_between_single_models_claims_no_spread():
    table, target = covered_table()
    for baseline in (SMALL, {"kind": "bagged", "model": SMALL, "n": 2}):
        spec = {"kind": "soft_gate", **GATE, "baseline": baseline, "n_folds": 0}
        assert "spread" not in from_spec(spec).fit(table, target, Compute()).explain(table)


def test_out_of_fold_residuals_are_honest_and_in_sample_ones_are_not():
    table, target = covered_table(strength=0.0)
    memory = NEAREST | {"features": list(FEATURES)}
    scatter = {}
    for residuals in ("in_sample", "out_of_fold"):
        spec = {"kind": "residual", **GATE, "baseline": memory, "residuals": residuals}
        scatter[residuals] = from_spec(spec).fit(table, target, Compute()).summary["residual_std"]
    # The memory knows its own rows by heart, so nothing is left of them to learn from.
    assert scatter["in_sample"] == 0.0
    assert scatter["out_of_fold"] > 0.5 * target.values.std()


def test_inner_folds_keep_groups_whole():
    rng = np.random.default_rng(2)
    # The target is the group's alone: who sees another row of the group knows it.
    groups = np.repeat(np.arange(40), 6)
    table, _ = covered_table()
    table = table.set_column(table.column_names.index("group"), "group", pa.array(groups))
    target = Target.measured(rng.normal(size=40)[groups])
    spec = {"kind": "residual", **GATE, "baseline": NEAREST | {"features": ["group"]}}
    scatter = [
        from_spec(spec | extra).fit(table, target, Compute()).summary["residual_std"]
        for extra in ({}, {"groups": "group"})
    ]
    assert scatter[0] < 0.1
    assert scatter[1] > 0.8


def test_a_stacked_specialist_sees_the_baseline():
    table, target = covered_table()
    stacked = SMALL_PHYSICS | {"features": ["p", "baseline_prediction"]}
    spec = {"kind": "residual", **GATE, "specialist": stacked}
    model = from_spec(spec)
    assert "baseline_prediction" not in model.columns
    assert r2(spec, table, target) > r2(SMALL, table, target) + 0.2


def test_corrections_are_added_where_covered():
    table, target = covered_table()
    fitted = from_spec({"kind": "residual", **GATE}).fit(table, target, Compute())
    told = fitted.explain(table)
    expected = told["baseline"] + np.where(told["gate"] == 1, told["correction"], 0)
    np.testing.assert_array_equal(fitted.predict(table), expected)


def test_ensembles_are_means_with_a_spread():
    table, target = covered_table()
    spec = {"kind": "blend", "models": [SMALL, SMALL_PHYSICS], "weights": [1.0, 3.0]}
    told = from_spec(spec).fit(table, target, Compute()).explain(table)
    first, second = told["member_0"], told["member_1"]
    fitted = from_spec(spec).fit(table, target, Compute())
    np.testing.assert_allclose(fitted.predict(table), 0.25 * first + 0.75 * second)
    np.testing.assert_allclose(told["spread"], np.abs(first - second) * np.sqrt(3) / 4)


def test_bagging_tells_the_gate_of_what_is_inside():
    table, target = covered_table()
    spec = {"kind": "bagged", "model": {"kind": "gated", **GATE}, "n": 2}
    told = from_spec(spec).fit(table, target, Compute()).explain(table)
    np.testing.assert_array_equal(told["gate"], table["has_p"].to_numpy())
    assert (told["spread"] > 0).all()


def test_bagging_seeds_helps():
    table, target = covered_table()
    single = SMALL | {"subsample": 0.3, "learning_rate": 0.3}
    assert r2({"kind": "bagged", "model": single, "n": 10}, table, target) > r2(
        single, table, target
    )


def test_tuning_finds_the_better_parameters_inside_the_training_set():
    table, target = covered_table()
    spec = {
        "kind": "tuned",
        "model": SMALL_PHYSICS | {"n_trees": 1},
        "grid": {"n_trees": [1, 80], "learning_rate": [0.1, 0.001]},
        "n_folds": 3,
    }
    fitted = from_spec(spec).fit(table, target, Compute())
    assert fitted.summary["chosen"] == {"n_trees": 80, "learning_rate": 0.1}
    assert len(fitted.summary["scores"]) == 5
    drawn = from_spec(spec | {"n_samples": 2})
    assert len(drawn.candidates(0)) == 3
    assert drawn.candidates(0) == drawn.candidates(0)


def test_tuning_reaches_models_inside():
    spec = {
        "kind": "tuned",
        "model": {"kind": "gated", **GATE},
        "grid": {"specialist.max_depth": [2], "trained_on": ["covered"]},
    }
    tried = from_spec(spec).candidates(0)
    assert tried[1].specialist.max_depth == 2
    assert tried[1].trained_on == "covered"
    with pytest.raises(PyhpcError, match="'indicators' is no model"):
        from_spec(spec | {"grid": {"indicators.a": [1]}})


def test_no_covered_row_is_an_error():
    table, target = covered_table()
    none = pa.array(np.zeros(len(target)))
    table = table.set_column(table.column_names.index("has_p"), "has_p", none)
    for kind in ("gated", "residual"):
        with pytest.raises(PyhpcError, match="no training row has all of has_p"):
            from_spec({"kind": kind, **GATE}).fit(table, target, Compute())
