"""Losses, and boosted trees that are fitted to them."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
import xgboost

from pyhpc.errors import PyhpcError
from pyhpc.models import Compute, Target, from_spec, load, to_spec
from pyhpc.models.losses import (
    LOSSES,
    Absolute,
    Cubic,
    PseudoHuber,
    Quantile,
    Quartic,
    RootMeanCubic,
    RootMeanQuartic,
    RootMeanSquared,
    Squared,
    StratHuber,
    TailHuber,
)
from tests.model_tables import FEATURES, SMALL, covered_table

ALL = [
    Squared(),
    RootMeanSquared(),
    PseudoHuber(0.3),
    Absolute(),
    Quantile(0.8),
    TailHuber(0.7, 0.9),
    StratHuber(3),
    Cubic(),
    Quartic(),
    RootMeanCubic(),
    RootMeanQuartic(),
]
STEPPED = [loss for loss in ALL if not isinstance(loss, Absolute | Quantile)]
BOUNDED = [PseudoHuber(0.01), PseudoHuber(), TailHuber(0.0, 0.1), RootMeanSquared()]


def named(loss):
    return loss.kind


def some_errors(n_rows=51):
    """Errors that grow with the target, none of them small."""
    rng = np.random.default_rng(4)
    targets = rng.normal(size=n_rows)
    errors = rng.normal(size=n_rows) * np.exp(targets / 2)
    return errors + 0.01 * np.sign(errors), targets


def test_every_loss_is_tested():
    assert {loss.kind for loss in ALL} == LOSSES.keys()


@pytest.mark.parametrize("loss", ALL, ids=named)
def test_gradients_and_hessians_are_derivatives(loss):
    errors, targets = some_errors()
    n_rows, width = len(errors), 1e-5
    gradient, hessian = loss.gradient(errors, targets), loss.hessian(errors, targets)
    smooth = np.ones(n_rows, dtype=bool)
    if isinstance(loss, StratHuber):
        # The rows that a stratum's scale hangs on, which derivatives take as given.
        deltas = loss.deltas(errors, targets)
        sizes = np.abs(errors)
        for delta in np.unique(deltas):
            inside = np.flatnonzero(deltas == delta)
            middle = np.argsort(sizes[inside])[(len(inside) - 1) // 2 : len(inside) // 2 + 1]
            smooth[inside[middle]] = False
    for row in np.flatnonzero(smooth):
        shift = np.zeros(n_rows)
        shift[row] = width
        rise = loss.value(errors + shift, targets) - loss.value(errors - shift, targets)
        assert n_rows * rise / (2 * width) == pytest.approx(gradient[row], rel=1e-5, abs=1e-7)
        bend = (
            loss.gradient(errors + shift, targets)[row]
            - loss.gradient(errors - shift, targets)[row]
        )
        assert bend / (2 * width) == pytest.approx(hessian[row], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("loss", ALL, ids=named)
def test_no_error_costs_nothing_and_pulls_nowhere(loss):
    targets = np.arange(6.0)
    errors = np.zeros(6)
    assert loss.value(errors, targets) == 0
    for part in (loss.gradient, loss.hessian, loss.curvature):
        assert np.isfinite(part(errors, targets)).all()
    gradient, curvature = loss.step(errors, targets)
    assert not gradient.any()
    assert np.isfinite(curvature).all()


@pytest.mark.parametrize("loss", [*BOUNDED, PseudoHuber(0.3), StratHuber(1)], ids=named)
def test_a_step_by_the_curvature_never_raises_the_loss(loss):
    rng = np.random.default_rng(0)
    targets = np.zeros(50)
    for scale in (0.01, 1.0, 100.0):
        errors = scale * rng.standard_cauchy(50) + scale
        for _ in range(20):
            gradient, curvature = loss.step(errors, targets)
            moved = errors - gradient.sum() / curvature.sum()
            if isinstance(loss, StratHuber):
                # Its scale changes with the errors; the loss of the old one is what falls.
                old = loss.deltas(errors, targets)
                before, after = (_huber_loss(part, old) for part in (errors, moved))
            else:
                before, after = loss.value(errors, targets), loss.value(moved, targets)
            assert after <= before * (1 + 1e-12)
            errors = moved


def _huber_loss(errors, deltas):
    sizes = np.abs(errors)
    return np.where(sizes <= deltas, errors**2 / 2, deltas * (sizes - deltas / 2)).mean()


@pytest.mark.parametrize("loss", [Cubic(), Quartic()], ids=named)
def test_growing_losses_go_part_of_the_way(loss):
    gradient, curvature = loss.step(np.full(5, -30.0), np.zeros(5))
    assert -gradient.sum() / curvature.sum() == pytest.approx(30 / (loss.power - 1))


@pytest.mark.parametrize("loss", STEPPED, ids=named)
def test_steps_count_rows_whatever_the_unit(loss):
    errors, targets = some_errors()
    _, curvature = loss.step(errors, targets)
    if loss.kind.startswith("root_mean"):
        np.testing.assert_array_equal(curvature, loss.curvature(errors, targets))
        _, in_thousandths = loss.step(1000 * errors, targets)
        np.testing.assert_allclose(1000 * in_thousandths, curvature)
    else:
        assert curvature.mean() == pytest.approx(1)


def test_rows_below_the_tail_have_no_gradient():
    errors = np.array([0.1, -0.2, 0.3, -0.4, 5.0])
    loss = TailHuber(0.6, 1.0)
    np.testing.assert_array_equal(loss.gradient(errors, errors), [0, 0, 0, -0.4, 1.0])
    assert loss.value(errors, errors) == pytest.approx((0.4**2 / 2 + 4.5) / 5)
    # They are moved along with the others, so they hold a step back.
    np.testing.assert_allclose(loss.curvature(errors, errors), [1, 1, 1, 1, 0.2])


def test_each_stratum_has_its_own_delta():
    rng = np.random.default_rng(1)
    targets = rng.permutation(3000).astype(float)
    scales = np.array([1.0, 10.0, 100.0])[(targets // 1000).astype(int)]
    errors = scales * rng.normal(size=3000)
    deltas = StratHuber(3, 1.345).deltas(errors, targets)
    assert len(np.unique(deltas)) == 3
    np.testing.assert_allclose(deltas, 1.345 * scales, rtol=0.1)
    # As many errors are cut in every stratum; with one delta nearly all cuts are in the last.
    cut = np.abs(StratHuber(3).gradient(errors, targets)) < np.abs(errors)
    of_one = np.abs(StratHuber(1).gradient(errors, targets)) < np.abs(errors)
    for scale in (1.0, 10.0, 100.0):
        assert cut[scales == scale].mean() == pytest.approx(0.18, abs=0.04)
    assert of_one[scales == 1].mean() == 0
    assert of_one[scales == 100].mean() > 0.6


def test_strata_without_errors_or_without_rows_do_no_harm():
    targets = np.array([0.0, 0, 0, 0, 0, 0, 1, 2])
    errors = np.array([0.0, 0, 0, 0, 0, 3, 1, -1])
    loss = StratHuber(4)
    gradient, curvature = loss.step(errors, targets)
    assert np.isfinite(gradient).all()
    assert (curvature > 0).all()
    assert loss.deltas(errors, targets)[0] == 3


def far_table(n_rows=1500):
    """Targets with a mean far from 0 and a heavy tail."""
    rng = np.random.default_rng(8)
    columns = {name: rng.normal(size=n_rows) for name in FEATURES}
    noise = 0.3 * rng.standard_t(2, size=n_rows)
    values = 100.0 + 2.0 * columns["x0"] + np.exp(1.3 * columns["x1"]) + noise
    return pa.table(columns), Target.measured(values)


@pytest.mark.parametrize("slope", [0.01, 0.1, 1.0])
def test_pseudo_huber_converges_where_that_of_xgboost_does_not(slope):
    table, target = far_table()
    apart = np.abs(target.values - np.median(target.values)).mean()
    spec = {"kind": "xgboost", "features": list(FEATURES), "n_trees": 100, "learning_rate": 0.1}
    loss = {"kind": "pseudo_huber", "slope": slope}
    fitted = from_spec(spec | {"loss": loss}).fit(table, target, Compute())
    ours = np.abs(fitted.predict(table) - target.values).mean()
    assert ours < 0.4 * apart
    rows = np.column_stack([table[name] for name in FEATURES])
    booster = xgboost.train(
        {
            "objective": "reg:pseudohubererror",
            "huber_slope": slope,
            "max_depth": 5,
            "learning_rate": 0.1,
            "min_child_weight": 5.0,
        },
        xgboost.QuantileDMatrix(rows, target.values),
        100,
    )
    theirs = np.abs(booster.predict(xgboost.DMatrix(rows)) - target.values).mean()
    assert theirs > 2 * apart


@pytest.mark.parametrize("loss", ALL, ids=named)
def test_boosting_lowers_every_loss(loss):
    table, target = far_table()
    spec = SMALL | {"loss": to_spec(from_spec(SMALL | {"loss": loss}))["loss"], "n_trees": 60}
    fitted = from_spec(spec).fit(table, target, Compute())
    start = np.median(target.values) - target.values
    errors = fitted.predict(table) - target.values
    assert np.isfinite(errors).all()
    assert loss.value(errors, target.values) < 0.75 * loss.value(start, target.values)


@pytest.mark.parametrize("loss", ALL, ids=named)
def test_fits_are_saved_paged_and_stopped_early(loss, tmp_path):
    table, target = covered_table()
    model = dataclasses.replace(from_spec(SMALL), loss=loss)
    assert from_spec(json.loads(json.dumps(to_spec(model)))) == model
    fitted = model.fit(table, target, Compute())
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.model == model
    np.testing.assert_array_equal(loaded.predict(table), fitted.predict(table))
    paged = dataclasses.replace(model, page_rows=table.num_rows).fit(table, target, Compute())
    np.testing.assert_array_equal(paged.predict(table), fitted.predict(table))
    for page_rows in (0, 90):
        stopped = dataclasses.replace(
            model, n_trees=600, learning_rate=0.5, early_stopping=5, page_rows=page_rows
        )
        assert 1 <= stopped.fit(table, target, Compute()).n_trees < 600


@pytest.mark.parametrize("loss", STEPPED[1:], ids=named)
def test_early_stopping_watches_the_loss_itself(loss, monkeypatch):
    table, target = covered_table()
    history = {}

    def train(*args, train=xgboost.train, **options):
        told = {} if history else {"evals_result": history}
        return train(*args, **options, **told)

    monkeypatch.setattr(xgboost, "train", train)
    spec = SMALL | {"n_trees": 300, "learning_rate": 0.5, "early_stopping": 20}
    model = dataclasses.replace(from_spec(spec), loss=loss)
    n_trees = model.fit(table, target, Compute()).n_trees
    ((name, values),) = history["held_out"].items()
    assert name == loss.kind
    assert n_trees == np.argmin(values) + 1 == len(values) - 20


def test_trees_of_a_root_are_those_beneath_it_without_regularisation():
    table, target = covered_table()
    spec = SMALL | {"reg_lambda": 0.0, "min_child_weight": 0.0, "n_trees": 10}
    for loss in ("cubic", "quartic"):
        plain, rooted = (
            from_spec(spec | {"loss": kind}).fit(table, target, Compute()).predict(table)
            for kind in (loss, f"root_mean_{loss}")
        )
        np.testing.assert_allclose(rooted, plain, atol=0.02)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("huber", r"job.loss: unknown kind 'huber'. Allowed: squared, root_mean_squared, "),
        ({"slope": 1.0}, r"job.loss: unknown kind None. Allowed: squared"),
        (3, r"job.loss = 3. Expected a table with a kind"),
        ({"kind": "pseudo_huber", "delta": 1}, r"job.loss: unknown key 'delta'. Allowed: slope"),
        ({"kind": "pseudo_huber", "slope": "x"}, r"job.loss.slope = 'x'. Expected .* float"),
        ({"kind": "pseudo_huber", "slope": 0}, r"job.loss: slope = 0.0; it must be positive"),
        ({"kind": "quantile", "level": 1}, r"level = 1.0; it must lie between 0 and 1"),
        ({"kind": "tail_huber", "quantile": 1}, r"quantile = 1.0; it must be 0 or more"),
        ({"kind": "tail_huber", "slope": -1}, r"slope = -1.0; it must be positive"),
        ({"kind": "strat_huber", "n_strata": 0}, r"n_strata = 0; it must be at least 1"),
        ({"kind": "strat_huber", "width": 0}, r"width = 0.0; it must be positive"),
    ],
)
def test_bad_losses_are_refused_by_key(loss, message):
    with pytest.raises(PyhpcError, match=message):
        from_spec(SMALL | {"loss": loss}, "job")
