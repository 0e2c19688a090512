"""What is said of good predictions, and of predictions that are broken in one known way."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pyhpc.diagnosis import Verdict, diagnose
from pyhpc.diagnosis.page import headline, write_diagnosis
from pyhpc.diagnosis.statistics import (
    agreement,
    benjamini_hochberg,
    bins_differ,
    explained_share,
    quantile_bins,
    rank_correlation,
    ranks,
)
from pyhpc.errors import PyhpcError

SIZES = (60, 400, 3000)
NAMES = [f"x{k}" for k in range(5)]


class Case:
    """Moduli from 50 to 317, features, and the best possible predictions."""

    def __init__(self, n: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.x = self.rng.normal(size=(n, len(NAMES)))
        self.best = 120 * np.exp(0.3 * self.x[:, 0] + 0.25 * self.x[:, 1])
        noise = np.exp(0.1 * self.rng.normal(size=n))
        self.truth = np.clip(self.best * noise, 50, 317)
        self.features = dict(zip(NAMES, self.x.T, strict=True))

    def diagnose(self, prediction, **more):
        return diagnose(self.truth, prediction, features=self.features, **more)


def collapsed(case):
    return case.rng.uniform(128, 133, len(case.truth))


def constant(case):
    return np.full(len(case.truth), 131.7)


def timid(case):
    return 130 + 0.03 * (case.best - 130)


def biased(case):
    return case.best + 45


def shuffled(case):
    return case.rng.permutation(case.best)


def without_a_feature(case):
    return 120 * np.exp(0.3 * case.x[:, 0])


def in_kbar(case):
    return 10 * case.best


def in_ev_per_volume(case):
    return case.best / 160.21766


def as_logarithm(case):
    return np.log10(case.best)


def with_lost_sign(case):
    return -case.best


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    ("broken", "key"),
    [
        (collapsed, "collapse"),
        (constant, "collapse"),
        (timid, "collapse"),
        (biased, "bias"),
        (shuffled, "order"),
        (without_a_feature, "features"),
        (in_kbar, "scale"),
        (in_ev_per_volume, "scale"),
        (as_logarithm, "scale"),
        (with_lost_sign, "scale"),
    ],
)
def test_the_right_check_speaks_first(broken, key, n):
    case = Case(n)
    found = case.diagnose(broken(case))
    assert found.verdict is Verdict.SERIOUS
    assert found.findings[0].key == key, [check.text for check in found.findings]
    assert found.findings[0].advice


@pytest.mark.parametrize("n", [50, 500, 10_000])
@pytest.mark.parametrize("noise", ["normal", "grows", "heavy", "strong"])
def test_good_models_are_not_accused(n, noise):
    for seed in range(8 if n < 5000 else 1):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 5))
        best = x[:, 0] + np.sin(x[:, 1]) + 0.5 * x[:, 2]
        errors = {
            "normal": 0.3 * rng.normal(size=n),
            "grows": 0.3 * np.exp(0.5 * x[:, 0]) * rng.normal(size=n),
            "heavy": 0.2 * rng.standard_t(4, size=n),
            "strong": 1.2 * rng.normal(size=n),
        }[noise]
        found = diagnose(
            best + errors,
            best,
            features=dict(zip(NAMES, x.T, strict=True)),
            folds=rng.integers(5, size=n),
        )
        assert found.verdict is not Verdict.SERIOUS, found.findings[0].text
        assert found["features"].verdict is Verdict.FINE
        assert found["bias"].verdict is Verdict.FINE


def test_growing_errors_are_seen():
    rng = np.random.default_rng(1)
    best = rng.uniform(1, 10, 1000)
    found = diagnose(best * (1 + 0.2 * rng.normal(size=1000)), best)
    assert found["spread"].verdict is Verdict.WATCH
    assert found["spread"].numbers["rank_correlation"] > 0.3


def test_a_calibrated_model_of_noisy_data_is_right_in_every_range():
    # By bins of the truth it errs by more than the noise; that is no fault of the model.
    rng = np.random.default_rng(2)
    best = rng.normal(size=2000)
    found = diagnose(best + rng.normal(size=2000), best)
    assert found["range"].verdict is Verdict.FINE
    by_truth = [row["bias"] for row in found["range"].numbers["by_truth"]]
    assert by_truth[0] > 0.8
    assert by_truth[-1] < -0.8


def test_bold_predictions_are_seen():
    rng = np.random.default_rng(3)
    best = rng.normal(size=2000)
    found = diagnose(best, best + 1.5 * rng.normal(size=2000))
    assert found["range"].verdict is not Verdict.FINE
    assert "too bold" in found["range"].advice[0]


def test_squeezed_predictions_are_seen():
    rng = np.random.default_rng(4)
    best = 100 + rng.normal(size=500)
    found = diagnose(best + 0.2 * rng.normal(size=500), 100 + 0.4 * (best - 100))
    assert found.findings[0].key == "collapse"
    assert "squeezed" in found.findings[0].text[0]


def test_factor_and_logarithm_are_named():
    case = Case(400)
    assert any("160.2" in line for line in case.diagnose(in_ev_per_volume(case))["scale"].advice)
    assert "log10" in case.diagnose(as_logarithm(case))["scale"].text[0]
    reverse = diagnose(np.log10(case.truth), case.best)
    assert reverse.findings[0].key == "scale"
    assert "truth looks like the log10" in reverse.findings[0].text[0]


def test_an_offset_is_no_factor():
    case = Case(400)
    shifted = diagnose(case.truth - 130, case.best - 130 + 60)
    assert shifted["scale"].verdict is Verdict.FINE
    assert shifted.findings[0].key == "bias"


def test_log_judges_factors():
    case = Case(400)
    found = case.diagnose(10 * case.best, log=True)
    assert found.findings[0].key == "bias"
    assert "factor of 9.99" in " ".join(found["bias"].text)
    assert case.diagnose(case.best, log=True).verdict is Verdict.FINE


def test_one_wrong_row_is_named():
    case = Case(400)
    case.truth[17] *= 100
    found = case.diagnose(case.best, ids=[f"mp-{k}" for k in range(400)])
    assert found.findings[0].key == "outliers"
    assert found.findings[0].numbers["listed"][0]["id"] == "mp-17"
    assert found.findings[0].numbers["rmse_without"] < 20


def test_good_data_behind_a_collapse_are_said_to_be_good():
    case = Case(400)
    text = " ".join(case.diagnose(collapsed(case))["features"].text)
    assert "the data are good" in text


def memorized(n, seed=5):
    """Noisy rows, three in five of which stand in the other fold again and are known by heart."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    best = x[:, 0] + x[:, 1]
    truth = best + rng.normal(size=n)
    twins = np.arange(3 * n // 5)
    prediction = best + 0.2 * rng.normal(size=n)
    prediction[twins] = truth[twins] + 0.01 * rng.normal(size=len(twins))
    x = np.vstack([x, x[twins] + 1e-4 * rng.normal(size=(len(twins), 4))])
    truth, prediction = (np.append(v, v[twins]) for v in (truth, prediction))
    folds = np.append(np.zeros(n), np.ones(len(twins)))
    return truth, prediction, dict(zip(NAMES, x.T, strict=False)), folds


@pytest.mark.parametrize("n", [100, 1000])
def test_a_leak_by_twins_is_found(n):
    truth, prediction, features, folds = memorized(n)
    found = diagnose(truth, prediction, features=features, folds=folds)
    assert found.findings[0].key == "neighbours"
    assert found.verdict is Verdict.SERIOUS
    numbers = found["neighbours"].numbers
    assert numbers["twins"] == 2 * (3 * n // 5)
    assert numbers["twins_r2_others"] < numbers["twins_r2"] - 0.15


def test_a_score_that_rests_on_known_compositions_is_found():
    truth, prediction, _, folds = memorized(500)
    n = 3 * 500 // 5
    formulas = [f"Li{k + 1}O" for k in range(500)] + [f"Li{2 * k + 2}O2" for k in range(n)]
    found = diagnose(truth, prediction, formulas=formulas, folds=folds)
    assert found.findings[0].key == "formulas"
    assert found.verdict is Verdict.SERIOUS
    assert found["formulas"].numbers["known"] == 2 * n
    new = [f"Na{k + 1}O" for k in range(len(truth))]
    assert diagnose(truth, prediction, formulas=new, folds=folds)["formulas"].verdict == "fine"
    held = diagnose(
        truth[:500], prediction[:500], formulas=formulas[:500], train_formulas=formulas[500:]
    )
    assert held["formulas"].verdict is Verdict.SERIOUS
    assert held["formulas"].numbers["known"] == n


def test_known_compositions_of_no_consequence_are_fine(rng):
    best = rng.normal(size=400)
    formulas = ["LiCl" if k % 2 else f"Na{k + 1}Cl" for k in range(399)] + [""]
    found = diagnose(
        best + 0.3 * rng.normal(size=400), best, formulas=formulas, folds=np.arange(400) // 40
    )
    assert found["formulas"].verdict is Verdict.FINE
    assert found["formulas"].numbers["known"] == 199


def test_twins_of_no_consequence_are_no_leak():
    truth, _, features, folds = memorized(1000)
    best = features["x0"] + features["x1"]
    found = diagnose(truth, best, features=features, folds=folds)
    assert found["neighbours"].numbers["twins"] > 1000
    assert found["neighbours"].verdict is Verdict.FINE


def test_test_rows_among_the_training_rows_are_found():
    case = Case(100)
    ids = [f"mp-{k}" for k in range(100)]
    found = case.diagnose(
        case.best,
        ids=ids,
        train_ids=[*ids[:30], "mp-x"],
        train_features={name: np.append(v[:30], 0.0) for name, v in case.features.items()},
    )
    assert found.findings[0].key == "neighbours"
    assert "30 of 100 rows (30 %) are themselves" in found.findings[0].text[0]
    alone = case.diagnose(case.best, ids=ids, train_ids=ids)
    assert alone.findings[0].key == "neighbours"


def test_the_nearest_row_is_that_of_a_naive_search(rng):
    features = {name: rng.normal(size=80) for name in NAMES}
    features["x1"][::7] = np.nan
    folds = rng.integers(4, size=80)
    truth = rng.normal(size=80)
    found = diagnose(truth, truth + rng.normal(size=80), features=features, folds=folds)
    scaled = np.column_stack([(v - np.nanmean(v)) / np.nanstd(v) for v in features.values()])
    scaled = np.nan_to_num(scaled)
    for row in range(80):
        others = np.flatnonzero(folds != folds[row])
        distances = np.linalg.norm(scaled[others] - scaled[row], axis=1)
        assert found.neighbours.truth[row] == truth[others[distances.argmin()]]


def test_many_features_are_projected_and_twins_found_all_the_same(rng):
    x = rng.normal(size=(300, 120))
    x[150:] = x[:150]
    truth = x[:, 0] + rng.normal(size=300)
    found = diagnose(
        truth,
        x[:, 0],
        features={f"f{k}": column for k, column in enumerate(x.T)},
        folds=np.repeat([0, 1], 150),
    )
    assert found["neighbours"].numbers["twins"] == 300


def test_too_few_rows_are_said_to_be_too_few():
    rng = np.random.default_rng(7)
    truth = rng.normal(size=12)
    found = diagnose(truth, truth + 0.8 * rng.normal(size=12))
    assert found["rows"].verdict is Verdict.WATCH
    assert "too wide" in " ".join(found["rows"].text)


def test_missing_predictions_are_counted():
    case = Case(200)
    case.best[:30] = np.nan
    case.truth[50] = np.nan
    found = case.diagnose(case.best)
    assert found["rows"].numbers == {
        "rows": 169,
        "without_prediction": 30,
        "without_truth": 1,
    }
    assert found["rows"].verdict is Verdict.WATCH


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2, 3, 4, 5], [1, 2, 3]), "predictions: shape"),
        (([1, 2, 3, np.nan], [1, 2, 3, 4]), "only 3 of 4 rows"),
        (([2.0] * 9, range(9)), "the truth is 2 in all 9 rows"),
    ],
)
def test_unusable_arrays_are_refused(arguments, message):
    with pytest.raises(PyhpcError, match=message):
        diagnose(*arguments)


def test_no_logarithm_of_what_has_none():
    with pytest.raises(PyhpcError, match="the prediction of c is -3"):
        diagnose(range(1, 7), [1, 2, -3, 4, 5, 6], ids=list("abcdef"), log=True)


def test_features_must_fit():
    with pytest.raises(PyhpcError, match="wide: shape"):
        diagnose(range(9), range(9), features={"wide": np.zeros(8)})


def test_equal_arguments_give_equal_bytes(tmp_path):
    case = Case(300)
    folds = np.arange(300) % 3
    for name in ("a", "b"):
        found = case.diagnose(collapsed(Case(300)), folds=folds)
        write_diagnosis(found, tmp_path / name, title="A title", notes=["A <note>."])
    page = (tmp_path / "a" / "diagnosis.html").read_text()
    assert page == (tmp_path / "b" / "diagnosis.html").read_text()
    assert "A &lt;note&gt;." in page
    assert page.count("data:image/png") == 4
    stored = json.loads((tmp_path / "a" / "diagnosis.json").read_text())
    assert (tmp_path / "b" / "diagnosis.json").read_bytes() == (
        tmp_path / "a" / "diagnosis.json"
    ).read_bytes()
    assert stored["verdict"] == "serious"
    assert stored["scores"]["r2"]["value"] < 0


def test_a_constant_has_a_page_too(tmp_path):
    case = Case(60)
    found = case.diagnose(constant(case))
    write_diagnosis(found, tmp_path, title="Constant")
    assert json.loads((tmp_path / "diagnosis.json").read_text())["scores"]["correlation"] == {
        "value": None,
        "lower": None,
        "upper": None,
    }


def odd_column(rng, n):
    """Give numbers as users' tables have them: tied, constant, missing, infinite, huge, tiny."""
    plain = rng.normal(size=n)
    return [
        plain,
        plain.round(),
        np.full(n, rng.choice([0.0, 1.0, 1e300])),
        np.where(rng.random(n) < 0.4, np.nan, plain),
        np.where(rng.random(n) < 0.3, np.inf, plain),
        np.exp(8 * plain),
        1e-300 * plain,
        1e9 + plain,
    ][rng.integers(8)]


@pytest.mark.parametrize("seed", range(60))
def test_any_numbers_get_a_diagnosis_or_a_clear_error(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([4, 5, 9, 30, 130]))
    features = {f"f{k}": odd_column(rng, n) for k in range(rng.integers(1, 40))}
    truth = odd_column(rng, n)
    more = {"folds": rng.integers(3, size=n)} if seed % 2 else {"train_features": features}
    try:
        found = diagnose(truth, odd_column(rng, n), features=features, **more)
    except PyhpcError:
        return
    assert json.dumps(found.to_dict(), allow_nan=False)
    assert all(check.text for check in found.checks)


def test_perfect_predictions_are_fine():
    truth = np.linspace(0, 1, 100)
    found = diagnose(truth, truth)
    assert found.verdict is Verdict.FINE
    assert headline(found) == "No check found a fault."


def test_agreement_is_that_of_the_textbook(rng):
    truth = 1e6 + rng.normal(size=200)
    prediction = truth + 0.5 * rng.normal(size=200) + 0.2
    found = agreement(truth, prediction, 0)
    error = prediction - truth
    assert found["r2"].value == pytest.approx(1 - (error**2).sum() / truth.var() / 200)
    assert found["bias"].value == pytest.approx(error.mean())
    assert found["rmse"].value == pytest.approx(np.sqrt((error**2).mean()))
    assert found["correlation"].value == pytest.approx(np.corrcoef(truth, prediction)[0, 1])
    assert found["slope"].value == pytest.approx(np.polyfit(truth - 1e6, prediction, 1)[0])
    assert found["calibration_slope"].value == pytest.approx(
        np.polyfit(prediction - 1e6, truth, 1)[0]
    )
    for score in found.values():
        assert score.lower < score.value < score.upper


def test_statistics_are_those_of_scipy(rng):
    stats = pytest.importorskip("scipy.stats")
    x, y = rng.normal(size=(2, 300))
    x = x.round(1)
    rho, p_value = rank_correlation(x, y)
    expected = stats.spearmanr(x, y)
    assert (rho, p_value) == pytest.approx((expected.statistic, expected.pvalue))
    bins = quantile_bins(x)
    groups = [y[bins.member == k] for k in range(bins.count)]
    assert bins_differ(ranks(y), bins) == pytest.approx(stats.kruskal(*groups).pvalue)
    p_values = rng.uniform(size=40) ** 3
    expected = stats.false_discovery_control(p_values)
    assert benjamini_hochberg(p_values) == pytest.approx(expected)


def test_bins_keep_equal_values_together_and_missing_ones_apart():
    values = np.array([0.0] * 300 + list(range(1, 101)) + [np.nan] * 20)
    bins = quantile_bins(values)
    assert bins.sizes.sum() == 420
    assert len(set(bins.member[:300])) == 1
    assert set(bins.member[400:]) == {bins.count - 1}
    assert bins.sizes.min() > 0
    assert explained_share(np.arange(420.0), bins) > 0.5
