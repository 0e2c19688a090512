"""Where the errors lie: all on one side, in one range, in few rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.diagnosis.check import Check, Verdict
from pyhpc.diagnosis.statistics import (
    bins_differ,
    explained_share,
    quantile_bins,
    rank_correlation,
    ranks,
    robust_scale,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pyhpc.diagnosis.sample import Sample
    from pyhpc.models.metrics import Score

_SURE = 1e-3
"""p-value below which a difference is taken for real."""

_FAR, _VERY_FAR = 6.0, 15.0
"""Errors beyond so many robust standard deviations are outliers."""

_LISTED = 20


def bias_check(sample: Sample, scores: Mapping[str, Score]) -> Check:
    """Are the predictions too high or too low on the whole."""
    bias, share = scores["bias"], scores["bias_share"]
    words = (
        f"the mean error is {bias.value:+.3g} [{bias.lower:.3g}, {bias.upper:.3g}], "
        f"{100 * share.value:.0f} % of the mean squared error"
    )
    text = [f"Next to no bias: {words}."]
    error = (bias.upper - bias.lower) / 3.92
    sure = abs(bias.value) > 3.3 * error
    verdict = Verdict.FINE
    if sure and share.value > 0.05:
        verdict = Verdict.SERIOUS if share.lower > 0.25 else Verdict.WATCH
    advice = []
    if verdict is not Verdict.FINE:
        text = [f"The predictions are too {'high' if bias.value > 0 else 'low'}: {words}."]
        advice = [
            "Compare how the truth was made in training and here: another functional, temperature, "
            "reference energy or laboratory shifts all rows.",
            "If the model was trained on logarithms and transformed back, it predicts the median: "
            "correct the mean by the average of exp(residual) (Duan 1983, "
            "doi 10.1080/01621459.1983.10478017).",
            "If rows were weighted or balanced in training, undo it in the intercept.",
        ]
        if sample.log:
            text.append(f"That is a factor of {10**bias.value:.3g}.")
    return Check("bias", "Bias", verdict, text, advice, {})


def range_check(sample: Sample, scores: Mapping[str, Score]) -> Check:
    """Are predictions of some size wrong on one side.

    Judged by bins of the prediction. By bins of the truth, every model errs towards the mean: the
    largest of noisy values are large because of their noise, too.
    """
    residual = sample.residual
    bins = quantile_bins(sample.prediction)
    share, p_value = explained_share(residual, bins), bins_differ(ranks(residual), bins)
    slope = scores["calibration_slope"]
    means, errors = bins.mean(residual), bins.standard_error(residual)
    worst = int(np.argmax(np.abs(means - residual.mean())))
    typical = bins.mean(sample.prediction)
    numbers: dict[str, Any] = {
        "share_of_error_variance": share,
        "p_value": p_value,
        "by_prediction": _bin_rows(sample.prediction, residual),
        "by_truth": _bin_rows(sample.truth, residual),
    }
    verdict = Verdict.FINE
    if p_value < _SURE and share > 0.05:
        verdict = Verdict.SERIOUS if share > 0.3 else Verdict.WATCH
    # Not by the slope alone where it is a matter of a few rows.
    if slope.upper < 0.8 and p_value < _SURE:
        verdict = min(verdict, Verdict.WATCH, key=lambda v: v.rank)
    text = []
    advice = []
    if verdict is Verdict.FINE:
        text.append("Predictions of every size are right on average.")
    else:
        side = "high" if means[worst] > 0 else "low"
        text.append(
            f"Predictions near {typical[worst]:.4g} are {abs(means[worst]):.3g} too {side} on "
            f"average (+- {1.96 * errors[worst]:.2g}); what size they have explains "
            f"{100 * share:.0f} % of the error's variance."
        )
        if slope.upper < 1:
            advice.append(
                "The predictions are too bold, as of a model that learned noise: regularize, stop "
                "earlier, average several fits."
            )
        elif slope.lower > 1:
            advice.append("The predictions are too timid: train for longer or regularize less.")
        advice += [
            "Correct them with an isotonic or linear fit to out-of-fold predictions.",
            "Add rows, or weight, where the error is one-sided.",
        ]
    if not np.isnan(slope.value):
        text.append(
            f"Slope of the truth on the prediction: {slope.value:.2f} [{slope.lower:.2f}, "
            f"{slope.upper:.2f}]; 1 is right."
        )
    return Check("range", "Bias by range", verdict, text, advice, numbers)


def outlier_check(sample: Sample) -> Check:
    """Do a few rows make most of the error."""
    residual = sample.residual
    deviation = _deviations(sample.prediction, residual)
    order = np.argsort(-np.abs(deviation), kind="stable")
    order = order[np.abs(deviation[order]) > _FAR]
    squares = residual**2
    total = float(squares.sum())
    # Errors of a heavy tail are many; that is not for single rows to explain.
    few = len(order) <= max(1, round(0.05 * len(sample)))
    share = float(squares[order].sum()) / total if total > 0 else 0.0
    extreme = np.abs(deviation) > _VERY_FAR
    extreme_share = float(squares[extreme].sum()) / total if total > 0 else 0.0
    rest = np.setdiff1d(np.arange(len(sample)), order)
    numbers: dict[str, Any] = {
        "outliers": len(order),
        "share_of_squared_error": share,
        "rmse_without": float(np.sqrt(squares[rest].mean())) if len(rest) else np.nan,
        "listed": [
            {
                "id": sample.ids[k],
                "truth": float(sample.truth[k]),
                "prediction": float(sample.prediction[k]),
                "robust_z": float(deviation[k]),
            }
            for k in order[:_LISTED]
        ],
    }
    if not few or not len(order):
        text = ["No few rows stand out."]
        if len(order):
            text = [
                f"{len(order):,} rows ({100 * len(order) / len(sample):.0f} %) err by more than "
                f"{_FAR:g} robust standard deviations: too many for single mistakes."
            ]
        return Check("outliers", "Outliers", Verdict.FINE, text, numbers=numbers)
    text = [
        f"{len(order)} {'row makes' if len(order) == 1 else 'rows make'} {100 * share:.0f} % of "
        f"the squared error; without, the RMSE is {numbers['rmse_without']:.4g} instead of "
        f"{np.sqrt(total / len(sample)):.4g}."
    ]
    verdict = Verdict.FINE
    if share > 0.25:
        verdict = Verdict.SERIOUS if extreme_share > 0.5 else Verdict.WATCH
    advice = [
        f"Look at the source of each, {sample.ids[order[0]]} first: units, typing errors, failed "
        "calculations, structures that moved far while they relaxed.",
        "If they are right, use a loss that large errors do not rule (Huber, absolute).",
    ]
    return Check(
        "outliers",
        "Outliers",
        verdict,
        text,
        advice if verdict is not Verdict.FINE else [],
        numbers,
    )


def spread_check(sample: Sample) -> Check:
    """Is the size of the errors the same in all ranges, and in all rows."""
    residual = np.abs(sample.residual)
    rho, p_value = rank_correlation(sample.prediction, residual)
    bins = quantile_bins(sample.prediction)
    sizes = bins.mean(residual)
    ratio = float(sizes.max() / sizes.min()) if sizes.min() > 0 else np.inf
    largest = np.sort(sample.residual**2)[::-1]
    total = float(largest.sum())
    top = float(largest[: max(1, len(sample) // 100)].sum()) / total if total > 0 else 0.0
    numbers = {
        "rank_correlation": rho,
        "p_value": p_value,
        "largest_to_smallest_bin": ratio,
        "share_of_largest_percent": top,
    }
    grows = abs(rho) > 0.2 and p_value < _SURE and ratio > 2
    heavy = top > 0.3 and len(sample) >= 200
    text, advice = [], []
    if grows:
        text.append(
            f"Errors {'grow' if rho > 0 else 'shrink'} with the prediction: the mean absolute "
            f"error differs by a factor of {ratio:.1f} from range to range."
        )
        advice.append(
            "Give intervals that know it (conformal intervals on normalized residuals), and "
            "compare scores within ranges."
        )
        if rho > 0 and not sample.log and sample.truth.min() > 0:
            advice.append("Train and judge on logarithms (--log), where errors are relative.")
    if heavy:
        text.append(f"One row in a hundred makes {100 * top:.0f} % of the squared error.")
        advice.append("Report the mean or median absolute error beside the RMSE.")
    if not text:
        text = ["Errors are of about the same size in all ranges, without heavy tails."]
    verdict = Verdict.WATCH if advice else Verdict.FINE
    return Check("spread", "Size of the errors", verdict, text, advice, numbers)


def _deviations(
    prediction: NDArray[np.float64], residual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Residuals in robust standard deviations of those of similar predictions."""
    overall = robust_scale(residual) or float(residual.std()) or 1.0
    bins = quantile_bins(prediction)
    scales = np.array([robust_scale(residual[bins.member == k]) for k in range(bins.count)])
    # A bin of nearly exact predictions would make outliers of all that are not.
    scales = np.maximum(scales, 0.5 * overall)
    return np.asarray((residual - np.median(residual)) / scales[bins.member], dtype=np.float64)


def _bin_rows(values: NDArray[np.float64], residual: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Mean error in bins of some values, with its interval."""
    bins = quantile_bins(values)
    means, errors = bins.mean(residual), bins.standard_error(residual)
    absolute = bins.mean(np.abs(residual))
    return [
        {
            "from": float(values[bins.member == k].min()),
            "to": float(values[bins.member == k].max()),
            "rows": int(bins.sizes[k]),
            "bias": float(means[k]),
            "half_width": float(1.96 * errors[k]),
            "mae": float(absolute[k]),
        }
        for k in range(bins.count)
    ]
