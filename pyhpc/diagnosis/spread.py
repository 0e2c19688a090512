"""Do the predictions have the scale, the spread and the order of the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.diagnosis.check import Check, Verdict
from pyhpc.diagnosis.statistics import r2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pyhpc.diagnosis.sample import Sample
    from pyhpc.models.metrics import Score

    Transform = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_FACTORS = {
    1e3: "a thousand",
    1e6: "a million",
    100.0: "a hundred, as between percent and shares",
    10.0: "ten, as between GPa and kbar, or angstrom and nm",
    160.21766: "160.2, as between eV/A^3 and GPa",
    96.48533: "96.49, as between eV and kJ/mol",
    23.06055: "23.06, as between eV and kcal/mol",
    27.21139: "27.21, as between hartree and eV",
    13.60569: "13.61, as between rydberg and eV",
    4.184: "4.184, as between calories and joules",
    1.889726: "1.890, as between angstrom and bohr",
    2.302585: "2.303, as between natural and decimal logarithms",
}
"""Factors that mistakes about units leave."""

_COLLAPSED = 0.25
"""Spread of the predictions, over that of the truth, below which they are one value."""

_LOGARITHMS: dict[str, Transform] = {
    "log10": np.log10,
    "natural logarithm": np.log,
    "log(1 + x)": np.log1p,
}


def rows_check(sample: Sample, scores: Mapping[str, Score]) -> Check:
    """Are there rows enough, and a prediction for each."""
    score = scores["r2"]
    missing = sample.without_prediction
    share = missing / (missing + len(sample))
    few = score.upper - score.lower > 0.5 and score.upper > 0.2
    text = [
        f"{len(sample):,} rows: R2 is {score.value:.3f}, between {score.lower:.2f} and "
        f"{score.upper:.2f} with 95 % confidence."
    ]
    advice = []
    if few:
        text.append("That is too wide to tell a good model from a poor one.")
        advice.append("Collect the predictions of all folds of a cross-validation, or test more.")
    if missing:
        words = f"{missing:,} rows ({100 * share:.1f} %) have no prediction and are in no score."
        text.insert(0 if share > 0.05 else len(text), words)
    if share > 0.05:
        advice.append(
            "Find out why they have none: rows that are hard to featurize are hard to predict, "
            "and scores without them flatter."
        )
    verdict = Verdict.SERIOUS if share > 0.5 else Verdict.WATCH if advice else Verdict.FINE
    numbers = {
        "rows": len(sample),
        "without_prediction": missing,
        "without_truth": sample.without_truth,
    }
    return Check("rows", "Rows", verdict, text, advice, numbers)


def scale_check(sample: Sample, scores: Mapping[str, Score]) -> Check:
    """Are truth and prediction in the same unit, and both logarithms or neither."""
    title = "Units and logarithms"
    mixed = _logarithm_mixed_up(sample, scores["r2"].value)
    if mixed is not None:
        words, agreement = mixed
        return Check(
            "scale",
            title,
            Verdict.SERIOUS,
            [f"{words} (R2 {agreement:.2f}; as they stand {scores['r2'].value:.2f})."],
            ["Transform the predictions back before they are compared, or the truth as well."],
            {"r2_after_transform": agreement},
        )
    factor, explains = _factor(sample, scores)
    numbers = {"factor": factor}
    if not explains:
        text = ["Predictions and truth are on the same scale."]
        if scores["r2"].value < 0:
            text = ["No factor and no logarithm would bring the predictions to the truth."]
        return Check("scale", title, Verdict.FINE, text, numbers=numbers)
    text = [f"The predictions are the truth times {factor:.4g}, but for a small error."]
    size = max(abs(factor), 1 / abs(factor))
    advice = []
    if factor < 0:
        advice.append("Look for a sign: energies of binding, or logarithms of small numbers.")
    for known, words in _FACTORS.items():
        if abs(size / known - 1) < 0.03:
            advice.append(f"Look for a factor of {words}.")
    if not advice or size > 1.5:
        advice.append(
            "Look for a scaling of the target (per atom, per cell, standardized) that was not "
            "undone."
        )
    return Check("scale", title, Verdict.SERIOUS, text, advice, numbers)


def _logarithm_mixed_up(sample: Sample, plain: float) -> tuple[str, float] | None:
    """Say which logarithm lies between truth and predictions, if one does."""
    truth, prediction = sample.truth, sample.prediction
    found = []
    for name, logarithm in _LOGARITHMS.items():
        if truth.min() > 0:
            words = f"The predictions look like the {name} of the truth"
            found.append((r2(logarithm(truth), prediction), words))
        if prediction.min() > 0:
            words = f"The truth looks like the {name} of the predictions"
            found.append((r2(truth, logarithm(prediction)), words))
    best = max(found, default=(0.0, ""))
    return (best[1], best[0]) if plain < 0 and best[0] > 0.3 else None


def _factor(sample: Sample, scores: Mapping[str, Score]) -> tuple[float, bool]:
    """Typical ratio of prediction to truth, and whether it explains the error."""
    truth, prediction = sample.truth, sample.prediction
    # Ratios to small numbers say little.
    large = np.abs(truth) >= np.median(np.abs(truth))
    large &= truth != 0
    factor = float(np.median(prediction[large] / truth[large]))
    if factor == 0 or 1 / 1.5 < factor < 1.5:
        return factor, False
    rest = float(np.sqrt(np.mean((prediction / factor - truth) ** 2)))
    offset = float(np.std(prediction - truth))
    # An offset, or a model that hardly varies, is another fault.
    return factor, rest < 0.5 * scores["rmse"].value and rest < 0.8 * min(offset, truth.std())


def collapse_check(sample: Sample, scores: Mapping[str, Score]) -> Check:
    """Do the predictions spread as they should, or stay near the mean."""
    ratio, slope, stretch = (scores[k] for k in ("sd_ratio", "slope", "calibration_slope"))
    truth, prediction = sample.truth, sample.prediction
    spans = (
        f"predictions from {_round(prediction.min())} to {_round(prediction.max())}, truth from "
        f"{_round(truth.min())} to {_round(truth.max())}"
    )
    numbers = {
        "sd_prediction": float(prediction.std()),
        "sd_truth": float(truth.std()),
        "range_prediction": [float(prediction.min()), float(prediction.max())],
        "range_truth": [float(truth.min()), float(truth.max())],
    }
    verdict, advice = Verdict.FINE, []
    constant = ratio.value == 0
    if constant or ratio.upper < _COLLAPSED:
        verdict = Verdict.SERIOUS
        amount = f"{100 * ratio.value:.1f} %" if ratio.value >= 0.0005 else "nothing"
        text = [
            "The predictions have collapsed to one value: their standard deviation is "
            f"{amount} of the truth's ({spans})."
        ]
        text.append(_against_the_mean(scores))
        advice = _collapse_advice(sample, scores)
    elif ratio.value < 0.6 and stretch.lower > 1.25:
        verdict = Verdict.SERIOUS if stretch.lower > 2 else Verdict.WATCH
        text = [
            f"The predictions are squeezed: where they differ by 1, the truth differs by "
            f"{stretch.value:.2f} [{stretch.lower:.2f}, {stretch.upper:.2f}] ({spans})."
        ]
        advice = [
            "Train for longer or with a larger learning rate; regularize less.",
            "Check that the target's scaling is undone with the mean and spread that it was made "
            "with.",
        ]
    else:
        text = [
            f"The predictions spread by {ratio.value:.2f} of the truth's standard deviation "
            f"({spans}); the best possible model with this R2 would by "
            f"{np.sqrt(max(scores['r2'].value, 0.0)):.2f}."
        ]
    if not constant:
        text.append(
            f"Slope of the prediction on the truth: {slope.value:.2f} [{slope.lower:.2f}, "
            f"{slope.upper:.2f}]."
        )
    return Check("collapse", "Collapse to the mean", verdict, text, advice, numbers)


def _against_the_mean(scores: Mapping[str, Score]) -> str:
    score = scores["r2"].value
    if score < -0.005:
        return (
            f"R2 is {score:.3f}: the mean of the truth, one number for all rows, would do better."
        )
    words = "hardly better than" if score > 0.005 else "no better than"
    return f"R2 is {score:.3f}: {words} the mean of the truth."


def _collapse_advice(sample: Sample, scores: Mapping[str, Score]) -> list[str]:
    advice = []
    if sample.truth.min() > 0 and sample.truth.max() > 5 * sample.truth.min():
        advice.append(
            "Train on the logarithm of the target: it spans a factor of "
            f"{sample.truth.max() / sample.truth.min():.0f}, and a squared loss on raw values "
            "follows the few largest."
        )
    advice.append(
        "Standardize the target (zero mean, unit variance) before a network sees it, and undo it "
        "after; an output layer that begins at 0 takes most of its steps to reach the mean."
    )
    if scores["correlation"].lower > 0.3:
        advice.append(
            "The order of the rows is partly right, so the inputs work: train for longer, with "
            "another learning rate and less weight decay or dropout."
        )
    else:
        advice.append(
            "The predictions do not follow the truth either: check that gradients reach the first "
            "layer, that inputs differ from row to row and are standardized, and that the model "
            "can learn ten rows by heart."
        )
    advice += [
        "Try learning rates over three decades, a Huber or absolute loss, and no pooling by mean "
        "where a sum or both is meant.",
        "Fit boosted trees to composition features of the same rows first: if they beat the mean, "
        "the data are fine and the network is at fault.",
    ]
    return advice


def order_check(sample: Sample, scores: Mapping[str, Score]) -> Check:
    """Do the predictions follow the truth at all."""
    found = scores["correlation"]
    title = "Order"
    if np.isnan(found.value):
        return Check("order", title, Verdict.FINE, ["The predictions do not vary."])
    words = f"{found.value:.2f} [{found.lower:.2f}, {found.upper:.2f}]"
    if found.upper < 0:
        return Check(
            "order",
            title,
            Verdict.SERIOUS,
            [f"The predictions run against the truth: their correlation is {words}."],
            ["Look for a sign that was lost.", "Look for the mean of the other folds as input."],
        )
    if scores["sd_ratio"].value < _COLLAPSED and found.upper < 0.5:
        return Check(
            "order",
            title,
            Verdict.SERIOUS,
            [f"The predictions hardly follow the truth: their correlation is {words}."],
            ["Mend the collapse first: there is next to nothing to order."],
        )
    if found.upper < 0.3 or (found.lower < 0 and found.upper < 0.5):
        return Check(
            "order",
            title,
            Verdict.SERIOUS,
            [f"The predictions do not follow the truth: their correlation is {words}."],
            [
                "Look for rows that were mixed up: a table that was sorted, joined or shuffled "
                "between features, truth and predictions. Compare a few rows by hand.",
                "Shuffle the truth on purpose and fit again: if the score stays, nothing is "
                "learned.",
            ],
        )
    verdict = Verdict.WATCH if found.lower < 0.3 else Verdict.FINE
    advice = ["Look for features that know more, or for noise in the truth."]
    return Check(
        "order",
        title,
        verdict,
        [f"The predictions follow the truth: their correlation is {words}."],
        advice if verdict is Verdict.WATCH else [],
    )


def _round(value: float) -> str:
    return f"{value:.4g}"
