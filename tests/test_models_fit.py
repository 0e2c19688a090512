"""What all models and strategies have in common."""

import json

import numpy as np
import pyarrow as pa
import pytest

from pyhpc.errors import PyhpcError
from pyhpc.models import (
    KINDS,
    Compute,
    Target,
    cross_validate,
    from_spec,
    load,
    metrics,
    parse_targets,
    predict_fold,
    to_spec,
)
from pyhpc.models.optional import need
from pyhpc.models.splits import random_folds
from tests.model_tables import FEATURES, NEAREST, PHYSICS, SMALL, SMALL_PHYSICS, covered_table

GATE = {"baseline": SMALL, "specialist": SMALL_PHYSICS, "indicators": ["has_p"]}
FOREST = {"features": list(PHYSICS), "n_trees": 30}
SPECS = {
    "mean": {"kind": "mean"},
    "nearest": {"kind": "nearest", "features": list(FEATURES)},
    "xgboost": SMALL_PHYSICS | {"early_stopping": 10},
    "xgboost_aft": SMALL | {"kind": "xgboost_aft"},
    "quantile_trees": SMALL | {"kind": "quantile_trees"},
    "random_forest": {"kind": "random_forest"} | FOREST,
    "extra_trees": {"kind": "extra_trees"} | FOREST,
    "gaussian_process": {"kind": "gaussian_process", "features": list(PHYSICS), "max_rows": 90},
    "blend": {"kind": "blend", "models": [SMALL, {"kind": "mean"}], "weights": [3, 1]},
    "bagged": {"kind": "bagged", "model": SMALL, "n": 2, "resample": True},
    "cross_fitted": {"kind": "cross_fitted", "model": SMALL, "errors": SMALL, "n_folds": 3},
    "gated": {"kind": "gated", **GATE, "trained_on": "covered"},
    "soft_gate": {"kind": "soft_gate", **GATE, "margin": "margin", "groups": "group"},
    "residual": {"kind": "residual", **GATE},
    "raw_target": {"kind": "raw_target", "model": {"kind": "nearest", "features": list(FEATURES)}},
    "tuned": {"kind": "tuned", "model": SMALL, "grid": {"max_depth": [1, 2]}, "n_folds": 3},
}


def test_every_kind_is_tested():
    assert SPECS.keys() == KINDS.keys()


@pytest.fixture(scope="module", params=list(SPECS))
def case(request):
    """Fit one model of each kind."""
    table, target = covered_table()
    model = from_spec(SPECS[request.param])
    return model, table, target, model.fit(table, target, Compute(seed=3))


def test_specs_survive_json(case):
    model = case[0]
    assert from_spec(json.loads(json.dumps(to_spec(model)))) == model


def test_saved_models_predict_the_same_bits(case, tmp_path):
    _, table, _, fitted = case
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(table), fitted.predict(table))
    told, again = fitted.explain(table), loaded.explain(table)
    assert told.keys() == again.keys()
    for name in told:
        np.testing.assert_array_equal(told[name], again[name])
    assert loaded.summary == fitted.summary
    json.dumps(fitted.summary)
    with pytest.raises(PyhpcError, match="not empty"):
        fitted.save(tmp_path / "model")


def test_fits_repeat_bit_for_bit(case):
    model, table, target, fitted = case
    again = model.fit(table, target, Compute(seed=3))
    np.testing.assert_array_equal(again.predict(table), fitted.predict(table))


def test_columns_are_all_that_is_read(case):
    model, table, target, fitted = case
    narrow = table.select(list(model.columns)) if model.columns else table
    again = model.fit(narrow, target, Compute(seed=3))
    np.testing.assert_array_equal(again.predict(narrow), fitted.predict(table))


def test_predictions_are_of_the_row_alone(case):
    _, table, _, fitted = case
    some = np.array([7, 3, 100])
    np.testing.assert_array_equal(fitted.predict(table.take(some)), fitted.predict(table)[some])


def test_nothing_to_fit_to_is_refused(case):
    model, table, target, _ = case
    with pytest.raises(PyhpcError):
        model.fit(table.slice(0, 0), target.take(np.arange(0)), Compute())
    with pytest.raises(ValueError, match="rows in the table"):
        model.fit(table, target.take(np.arange(5)), Compute())


def test_out_of_fold_scores_are_plausible(case):
    model, table, target, _ = case
    predicted = cross_validate(model, table, target, random_folds(len(target)), Compute())
    r2 = metrics(target, predicted.prediction)["r2"]
    ranges = {"mean": (-0.1, 0.0), "nearest": (-0.6, 0.6), "raw_target": (-0.6, 0.6)}
    low, high = ranges.get(model.kind, (0.05, 0.97))
    assert low <= r2 <= high


def test_out_of_fold_rows_are_never_their_own_neighbours():
    table, target = covered_table()
    memory = from_spec(NEAREST)
    assert metrics(target, memory.fit(table, target, Compute()).predict(table))["r2"] == 1.0
    noise = Target.measured(np.random.default_rng(5).normal(size=len(target)))
    predicted = cross_validate(memory, table, noise, random_folds(len(noise)), Compute())
    assert metrics(noise, predicted.prediction)["r2"] < -0.3
    np.testing.assert_array_equal(predicted.rows, np.arange(len(noise)))


def test_a_fold_alone_gives_what_all_together_give():
    table, target = covered_table()
    model, folds = from_spec(SMALL), random_folds(len(target), 3, 1)
    whole = cross_validate(model, table, target, folds, Compute(seed=1))
    part = predict_fold(model, table, target, folds, 2, Compute(seed=1))
    np.testing.assert_array_equal(whole.prediction[whole.fold == 2], part.prediction)


def test_bounds_told_to_the_loss_beat_bounds_taken_for_values():
    rng = np.random.default_rng(1)
    table, _ = covered_table(600, seed=1)
    truth = 2 * table["x0"].to_numpy() + 0.3 * rng.normal(size=600)
    # A detection limit: 40% of the rows are known to lie below it.
    limit = np.quantile(truth, 0.4)
    texts = [f"<{limit}" if value < limit else str(value) for value in truth]
    target, _ = parse_targets(texts)
    folds = random_folds(600, 3, 0)
    settings = SMALL | {"learning_rate": 0.2}
    errors = {}
    for kind in ("xgboost", "xgboost_aft"):
        model = from_spec(settings | {"kind": kind})
        predicted = cross_validate(model, table, target, folds, Compute()).prediction
        errors[kind] = np.abs(predicted - truth)[target.censored].mean()
    assert errors["xgboost_aft"] < 0.8 * errors["xgboost"]


def test_robust_losses_shrug_off_outliers():
    table, target = covered_table(300)
    wild = target.values.copy()
    wild[::15] -= 40.0
    errors = {}
    for loss in ("squared", "pseudo_huber", "absolute"):
        model = from_spec(SMALL | {"loss": loss, "learning_rate": 0.3, "min_child_weight": 1.0})
        fitted = model.fit(table, Target.measured(wild), Compute())
        errors[loss] = np.median(np.abs(fitted.predict(table) - target.values))
    assert max(errors["pseudo_huber"], errors["absolute"]) < 0.5 * errors["squared"]
    # Far from 0, where a Newton step from there would land anywhere.
    far = Target.measured(target.values + 500.0)
    near, shifted = (model.fit(table, one, Compute()).predict(table) for one in (target, far))
    np.testing.assert_allclose(shifted - 500.0, near, atol=0.01)


def test_forests_are_those_of_scikit_learn():
    from sklearn.ensemble import ExtraTreesRegressor

    table, target = covered_table()
    spec = {"kind": "extra_trees", "features": list(FEATURES), "n_trees": 20, "max_features": 0.5}
    ours = from_spec(spec).fit(table, target, Compute(seed=4))
    rows = np.column_stack([table[name].to_numpy() for name in FEATURES]).astype(np.float32)
    theirs = ExtraTreesRegressor(20, max_features=0.5, random_state=4).fit(rows, target.values)
    np.testing.assert_allclose(ours.predict(table), theirs.predict(rows), rtol=1e-12)


def test_gaussian_processes_are_those_of_scikit_learn():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    table, target = covered_table(120)
    fitted = from_spec({"kind": "gaussian_process", "features": list(FEATURES)}).fit(
        table, target, Compute()
    )
    found = fitted.summary
    kernel = ConstantKernel(found["amplitude"]) * Matern(found["length"], nu=2.5)
    theirs = GaussianProcessRegressor(kernel + WhiteKernel(found["noise"]), optimizer=None)
    values = target.values
    theirs.fit(fitted.points, (values - values.mean()) / values.std())
    expected = values.mean() + values.std() * theirs.predict(fitted.points)
    np.testing.assert_allclose(fitted.predict(table), expected, rtol=1e-6, atol=1e-8)


def test_gaussian_process_passes_all_rows_with_the_parameters_of_some():
    """The solution over all rows, by NumPy, with the parameters that the likelihood found."""
    table, target = covered_table(n_rows=300)
    spec = {"kind": "gaussian_process", "features": list(FEATURES), "max_rows": 100}
    some = from_spec(spec).fit(table, target, Compute(seed=1))
    every = from_spec(spec | {"solve_rows": 1000}).fit(table, target, Compute(seed=1))
    assert (some.found["n_rows"], every.found["n_rows"]) == (100, 300)
    raw = np.stack([np.asarray(table[name]) for name in FEATURES], axis=1).astype(np.float32)
    points = (raw - raw.mean(axis=0, dtype=float)) / raw.std(axis=0, dtype=float)
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    x = 5**0.5 * distances / every.length
    covariance = every.found["amplitude"] * (1 + x + x**2 / 3) * np.exp(-x)
    noisy = covariance + every.found["noise"] * np.eye(300)
    centred = target.values - target.values.mean()
    expected = target.values.mean() + covariance @ np.linalg.solve(noisy, centred)
    np.testing.assert_allclose(every.predict(table), expected, rtol=1e-6, atol=1e-6)


def test_blocks_weigh_columns_together():
    """Noise of many columns drowns one that matters, unless it is a block of small weight."""
    rng = np.random.default_rng(0)
    columns = {f"noise{k}": rng.normal(size=400) for k in range(40)}
    columns["x"] = rng.normal(size=400)
    table, target = pa.table(columns), Target.measured(np.sin(2 * columns["x"]))
    noise = [name for name in columns if name != "x"]
    folds = random_folds(400, 4, 0)

    def error(**parameters):
        model = from_spec({"kind": "gaussian_process"} | parameters)
        found = cross_validate(model, table, target, folds, Compute())
        return metrics(target, found.prediction)["mae"]

    together = error(features=["x", *noise])
    apart = error(blocks=[["x"], noise], weights=[1.0, 0.05])
    assert apart < 0.3 * together
    # One block of all columns is no block at all.
    assert error(blocks=[["x", *noise]], weights=[3.0]) == pytest.approx(together, rel=1e-6)


def test_logarithms_of_positive_columns():
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.uniform(-4, 4, 400)
    table = pa.table({"size": size, "sign": rng.normal(size=400)})
    target = Target.measured(np.sin(np.log10(size)))
    folds = random_folds(400, 4, 0)
    errors = {}
    for logarithms in (False, True):
        spec = {"kind": "gaussian_process", "features": ["size", "sign"], "logarithms": logarithms}
        model = from_spec(spec)
        found = cross_validate(model, table, target, folds, Compute())
        errors[logarithms] = metrics(target, found.prediction)["mae"]
    assert errors[True] < 0.1 * errors[False]
    fitted = model.fit(table, target, Compute())
    assert fitted.positive.tolist() == [True, False]
    # What has no logarithm in a new row counts as missing.
    strange = pa.table({"size": [-1.0, 0.0, np.nan], "sign": [0.0, 0.0, 0.0]})
    assert len(set(fitted.predict(strange))) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "either features or blocks"),
        ({"features": ["x0"], "blocks": [["x1"]]}, "either features or blocks"),
        ({"blocks": [["x0"], []]}, "no empty block"),
        ({"blocks": [["x0"]], "weights": [1.0, 2.0]}, "a positive one for each block"),
        ({"blocks": [["x0"]], "weights": [0.0]}, "a positive one for each block"),
        ({"features": ["x0"], "solve_rows": 10}, "solve_rows = 10"),
    ],
)
def test_wrong_blocks_are_refused(wrong, message):
    with pytest.raises(PyhpcError, match=message):
        from_spec({"kind": "gaussian_process"} | wrong)


def test_constant_targets_and_features_do_no_harm():
    table, target = covered_table(40)
    constant = Target.measured(np.full(40, 3.0))
    table = table.append_column("constant", [[1.0] * 40])
    for kind in ("xgboost", "xgboost_aft", "extra_trees", "gaussian_process"):
        model = from_spec({"kind": kind, "features": ["constant"]})
        np.testing.assert_allclose(
            model.fit(table, constant, Compute()).predict(table), 3.0, atol=1e-3
        )
        if kind != "xgboost_aft":
            found = model.fit(table, target, Compute()).predict(table)
            np.testing.assert_allclose(found, target.values.mean(), atol=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "xgbost"}, r"job.model.kind: unknown kind 'xgbost'. Allowed: mean, "),
        ({"n_tree": 3}, r"job.model: unknown key 'n_tree'. Allowed: features, loss, n_trees"),
        ({"n_trees": 0}, r"job.model: n_trees = 0; it must be positive"),
        ({"n_trees": 3.5}, r"job.model.n_trees = 3.5. Expected a value of type int"),
        ({"n_trees": True}, r"job.model.n_trees = True"),
        ({"loss": "huber"}, r"job.model.loss: unknown kind 'huber'. Allowed: squared, "),
        ({"kind": "xgboost_aft", "loss": "absolute"}, r"its likelihood"),
        ({"kind": "quantile_trees", "loss": "absolute"}, r"that of its levels"),
        ({"kind": "quantile_trees", "levels": [0.1, 0.9]}, r"they must be three: one between 0"),
        ({"kind": "quantile_trees", "levels": [0.5, 0.5, 0.9]}, r"they must be three"),
        ({"kind": "quantile_trees", "levels": [0.1, 0.5, 1.0]}, r"they must be three"),
        ({"subsample": 1.5}, r"subsample = 1.5; it must be at most 1"),
        ({"max_bin": 1}, r"max_bin = 1; it must be at least 2"),
        ({"page_rows": -1}, r"page_rows = -1; it must be 0 or more"),
        ({"features": "x0"}, r"job.model.features = 'x0'. Expected a list"),
        ({"features": ["x0", 3]}, r"job.model.features\[1\] = 3"),
    ],
)
def test_bad_specs_are_refused_by_key(change, message):
    with pytest.raises(PyhpcError, match=message):
        from_spec(SMALL | change, "job.model")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "no kind is given"),
        ({"kind": "xgboost"}, "the key 'features' is missing"),
        ({"kind": "gated", **GATE, "baseline": {"kind": "x"}}, r"model.baseline.kind: unknown"),
        ({"kind": "gated", **GATE, "baseline": 3}, r"model.baseline = 3. Expected a table"),
        ({"kind": "gated", **GATE, "trained_on": "some"}, "allowed: all, covered"),
        ({"kind": "residual", **GATE, "residuals": "none"}, "allowed: out_of_fold, in_sample"),
        ({"kind": "blend", "models": []}, "models is empty"),
        ({"kind": "blend", "models": [SMALL], "weights": [1, 2]}, "2 weights for 1 models"),
        ({"kind": "raw_target", "model": SMALL, "floor": 0}, r"floor = 0.0; it must be in"),
        ({"kind": "tuned", "model": SMALL, "grid": {"loss": ["huber"]}}, "grid.loss: unknown kind"),
        ({"kind": "tuned", "model": SMALL, "grid": {"depth": [3]}}, "no parameter 'depth'"),
        ({"kind": "tuned", "model": SMALL, "grid": {"max_depth": 3}}, "grid.max_depth = 3"),
        ({"kind": "tuned", "model": SMALL, "grid": {"max_depth": [0]}}, "must be positive"),
    ],
)
def test_bad_strategies_are_refused_by_key(spec, message):
    with pytest.raises(PyhpcError, match=message):
        from_spec(spec)


def test_folders_without_a_model_are_refused(tmp_path):
    with pytest.raises(PyhpcError, match="no readable model"):
        load(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 99}')
    with pytest.raises(PyhpcError, match="format 99"):
        load(tmp_path)


def test_a_missing_package_is_named_with_its_remedy():
    with pytest.raises(PyhpcError, match=r"nosuchpackage.*pip install 'pyhpc-crystals\[ml\]'"):
        need("nosuchpackage.part")


@pytest.mark.parametrize("page_rows", [0, 60])
@pytest.mark.parametrize("kind", ["xgboost", "xgboost_aft"])
def test_bins_learned_from_some_rows_serve_all(kind, page_rows):
    table, target = covered_table()
    spec = SMALL | {"kind": kind, "page_rows": page_rows}

    def predictions(seed=0, **changed):
        fitted = from_spec(spec | changed).fit(table, target, Compute(seed))
        return fitted.predict(table)

    whole = predictions()
    np.testing.assert_array_equal(predictions(bin_rows=table.num_rows), whole)
    some = predictions(bin_rows=table.num_rows // 2)
    assert not np.array_equal(some, whole), "the edges are others"
    assert np.corrcoef(some, whole)[0, 1] > 0.97
    np.testing.assert_array_equal(predictions(bin_rows=table.num_rows // 2), some)
