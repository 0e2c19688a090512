"""What is said of results beyond their scores: intervals, comparisons, leaks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.models.comparison import Comparison, compare
from pyhpc.models.conformal import Coverage, calibrate, coverage, cross_conformal
from pyhpc.models.leaks import Leak, audit
from pyhpc.models.uncertainty import normal_half_widths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.models import OutOfFold
    from pyhpc.studies.job import Comparison as Wanted
    from pyhpc.studies.results import Predictions, Results

LEVEL = 0.9
"""Probability with which an interval is to hold the truth."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Coverage of the intervals of an experiment on a split.

    Attributes
    ----------
    experiment, split : str
        Which.
    plain : Coverage
        Of intervals of one width.
    normalized : Coverage, optional
        Of intervals that follow the spread, where the model states one.
    raw : Coverage, optional
        Of the intervals that the spread gives by itself, without calibration.
    untransformed : tuple of float, optional
        Mean widths of the plain and of the normalised intervals in units of the target before its
        transform, where there was one and the model states a spread.
    """

    experiment: str
    split: str
    plain: Coverage
    normalized: Coverage | None
    raw: Coverage | None
    untransformed: tuple[float, float] | None


def half_widths(
    results: Results, experiment: str, split: str, repetition: int, *, normalized: bool
) -> NDArray[np.float64]:
    """Half-widths of the conformal intervals of predicted rows.

    Out-of-fold rows are calibrated on the other folds; test rows on all out-of-fold rows of the
    experiment's first split.
    """
    target = results.prepared.study.target
    one = results.scored[experiment][split].repetitions[repetition]
    spread = one.spread if normalized else None
    if split != "test":
        return cross_conformal(target, one.out_of_fold, spread, level=LEVEL)
    known = _calibration_set(results, experiment)
    learned = calibrate(
        target.take(known.rows),
        known.prediction,
        known.spread if normalized else None,
        level=LEVEL,
    )
    return learned.half_widths(len(one.rows), spread)


def measure_intervals(results: Results) -> list[Intervals]:
    """Coverage of the intervals of every experiment on every split, means over repetitions."""
    found = []
    for experiment, scored in results.scored.items():
        for split in scored:
            has_spread = all(one.spread is not None for one in scored[split].repetitions)
            ways = ("plain", *(("normalized", "raw") if has_spread else ()))
            held = {way: _coverage(results, experiment, split, way) for way in ways}
            both = has_spread and results.prepared.job.target.transform == "log10"
            found.append(
                Intervals(
                    experiment,
                    split,
                    held["plain"],
                    held.get("normalized"),
                    held.get("raw"),
                    _widths_before_logarithm(results, experiment, split) if both else None,
                )
            )
    return found


def _widths_before_logarithm(results: Results, experiment: str, split: str) -> tuple[float, float]:
    """Mean widths of the plain and of the normalised intervals, as powers of ten."""
    plain, normalized = (
        np.mean(
            [
                (10.0 ** (one.prediction + widths) - 10.0 ** (one.prediction - widths)).mean()
                for k, one in enumerate(results.scored[experiment][split].repetitions)
                for widths in [half_widths(results, experiment, split, k, normalized=by_spread)]
            ]
        )
        for by_spread in (False, True)
    )
    return float(plain), float(normalized)


def _coverage(results: Results, experiment: str, split: str, way: str) -> Coverage:
    target = results.prepared.study.target
    parts = []
    for k, one in enumerate(results.scored[experiment][split].repetitions):
        spread = one.spread if one.spread is not None else np.zeros(len(one.rows))
        if way == "raw":
            widths = normal_half_widths(spread, LEVEL)
        else:
            widths = half_widths(results, experiment, split, k, normalized=way == "normalized")
        parts.append(coverage(target.take(one.rows), one.prediction, widths, spread))
    return Coverage(
        **{
            field.name: float(np.mean([getattr(part, field.name) for part in parts]))
            for field in fields(Coverage)
        }
    )


def _calibration_set(results: Results, experiment: str) -> Predictions:
    scored = results.scored[experiment]
    return next(scored[split] for split in scored if split != "test").repetitions[0]


def compare_experiments(results: Results) -> list[tuple[str, str, str, Comparison]]:
    """Gains that the job file asks for: name, split, metric, and the gain on paired folds."""
    target = results.prepared.study.target
    metrics = ("r2", "mae", "censored_mae") if target.censored.any() else ("r2", "mae")
    found = []
    for wanted in results.prepared.job.comparisons:
        better, worse = results.scored[wanted.better], results.scored[wanted.worse]
        for split in better:
            if split == "test" or split not in worse:
                continue
            first = [_part(one.out_of_fold, wanted) for one in worse[split].repetitions]
            second = [one.out_of_fold for one in better[split].repetitions]
            found += [
                (wanted.name, split, metric, compare(target, first, second, metric=metric))
                for metric in metrics
            ]
    return found


def _part(predicted: OutOfFold, wanted: Wanted) -> OutOfFold:
    """Take what of an experiment's predictions a comparison is with."""
    if not wanted.part:
        return predicted
    return replace(predicted, prediction=predicted.explained[wanted.part])


def find_leaks(results: Results) -> list[Leak]:
    """Features of any experiment that look as if they were made from the target."""
    from pyhpc.models import from_spec

    study = results.prepared.study
    used = {name for variant in results.variants for name in from_spec(variant.model).columns}
    train = study.table.slice(0, study.n_train)
    features = [name for name in study.features if name in used]
    return audit(train, study.target.take(np.arange(study.n_train)), features)
