"""Sections of the report: comparisons, intervals and importance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.features.elements import PROPERTIES
from pyhpc.models.conformal import cross_conformal
from pyhpc.models.uncertainty import coverage_curve, sparsification
from pyhpc.report import study_figures as draw
from pyhpc.report.page import Figure, Section, Table, number
from pyhpc.studies.fits import is_without_leak
from pyhpc.studies.fitting import SEPARATOR
from pyhpc.studies.judge import LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyhpc.models.comparison import Comparison
    from pyhpc.studies.judge import Intervals
    from pyhpc.studies.results import Results


LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""At which the calibration of intervals is drawn."""

KEPT = tuple(share / 20 for share in range(20, 1, -1))
"""Shares of the rows that remain in the figure of sparsification."""


def comparison_section(
    results: Results, compared: Sequence[tuple[str, str, str, Comparison]]
) -> Section | None:
    """Paired gains."""
    if not compared:
        return None
    job = results.prepared.job
    pairs = {
        c.name: f"{c.better} over {f'the {c.part} of {c.worse}' if c.part else c.worse}"
        for c in job.comparisons
    }
    words = {"r2": "R2", "mae": "MAE", "censored_mae": "MAE with bounds"}
    rows = [
        [
            name,
            pairs[name],
            job.splits[split].label,
            words[metric],
            f"{gain.gain:+.4f}",
            f"[{gain.lower:+.4f}, {gain.upper:+.4f}]",
            f"{gain.p_value:.3g}",
            str(gain.n_folds),
        ]
        for name, split, metric, gain in compared
    ]
    strong = frozenset(k for k, (_, _, _, gain) in enumerate(compared) if gain.lower > 0)
    return Section(
        "comparisons",
        "Paired comparisons",
        text=[
            "Both models of a pair were fitted to the same folds. A positive gain is in favour "
            "of the first; the interval and the p-value allow for folds that share training "
            "rows (Nadeau and Bengio 2003). Gains whose 95% interval lies above zero are set "
            "off."
        ],
        tables=[
            Table(
                [
                    "comparison",
                    "models",
                    "folds",
                    "metric",
                    "gain",
                    "95% interval",
                    "p",
                    "folds compared",
                ],
                rows,
                strong=strong,
            )
        ],
    )


def interval_section(results: Results, intervals: Sequence[Intervals]) -> Section:
    """Coverage of the intervals."""
    job = results.prepared.job
    kept = [one for one in intervals if not is_without_leak(one.experiment)]
    transformed = job.target.transform != "none"
    rows = []
    for one in kept:
        cells = [
            one.experiment,
            "test set" if one.split == "test" else job.splits[one.split].label,
            _percent(one.plain.overall),
            number(one.plain.mean_width),
        ]
        if one.normalized is None or one.raw is None:
            rows.append([*cells, *[""] * 6])
            continue
        rows.append(
            [
                *cells,
                _percent(one.plain.most_uncertain),
                _percent(one.normalized.overall),
                _percent(one.normalized.most_uncertain),
                f"{number(one.normalized.mean_width)}, {number(one.normalized.median_width)}",
                ", ".join(_narrower(one)),
                _percent(one.raw.overall),
            ]
        )
    by_name: dict[str, dict[str, float]] = {}
    for one in kept:
        if not _published(results, one.experiment):
            best = one.normalized or one.plain
            by_name.setdefault(one.experiment, {})[one.split] = best.overall
    labels = {
        split: ("test set" if split == "test" else job.splits[split].label)
        for split in dict.fromkeys(one.split for one in kept)
    }
    figures = []
    if by_name:
        figures.append(
            Figure(
                "interval_coverage.png",
                draw.interval_coverage(list(by_name.items()), labels, LEVEL),
                "Coverage of the intervals by split (those that follow the spread, where the "
                "model is an ensemble).",
            )
        )
    figures += _spread_figures(results)
    return Section(
        "uncertainty",
        "Uncertainty",
        text=[
            f"Conformal intervals for a level of {LEVEL:.0%}, from residuals of rows that the "
            "model has not seen; each fold is calibrated on the others, the test set on the "
            "folds of the experiment's first split. Where a model states a spread (that of the "
            "members of an ensemble, or the error that it expects), the width may follow it; the "
            "last fifth is that of the rows with the largest spread. Narrower is what the widths "
            "gain over one width for all: their mean, which a few wide intervals raise, and their "
            "median, what a usual row gets"
            + (f"; and the mean in units of {job.target.column}. " if transformed else ". ")
            + "The raw spread is no interval: its column says how "
            f"many truths lie within the {LEVEL:.0%} that it would give if errors were normal."
        ],
        tables=[
            Table(
                [
                    "experiment",
                    "folds",
                    "plain: held",
                    "width",
                    "held, last fifth",
                    "by spread: held",
                    "held, last fifth",
                    "width: mean, median",
                    f"narrower: mean, median{', untransformed' if transformed else ''}",
                    "raw spread: held",
                ],
                rows,
            )
        ],
        figures=figures,
    )


def _narrower(one: Intervals) -> list[str]:
    """Say what the widths gain by following the spread."""
    if one.normalized is None:
        return []
    pairs = [
        (one.plain.mean_width, one.normalized.mean_width),
        (one.plain.median_width, one.normalized.median_width),
    ]
    if one.untransformed is not None:
        pairs.append(one.untransformed)
    return [f"{100 * (1 - normalized / plain):+.0f}%" for plain, normalized in pairs]


def _spread_figures(results: Results) -> list[Figure]:
    """Calibration and sparsification of the models that state a spread, on their first split."""
    calibration, kept_errors, best = {}, {}, {}
    for variant in results.variants:
        scored = results.scored[variant.name]
        split = next(iter(scored))
        one = scored[split].repetitions[0]
        if is_without_leak(variant.name) or one.spread is None or split == "test":
            continue
        target = results.prepared.study.target.take(one.rows)
        errors = target.distances(one.prediction)
        fitted = [
            float(
                (errors <= cross_conformal(target, one.out_of_fold, one.spread, level=level)).mean()
            )
            for level in LEVELS
        ]
        calibration[variant.name] = (coverage_curve(errors, one.spread, LEVELS), np.array(fitted))
        kept_errors[variant.name] = sparsification(errors, one.spread, KEPT)
        best[variant.name] = sparsification(errors, errors, KEPT)
    if not calibration:
        return []
    return [
        Figure(
            "calibration.png",
            draw.calibration(LEVELS, calibration),
            "Share of the truths inside of intervals, by the level asked for: of the raw spread "
            "(dashed) and after conformal calibration (solid). First repetition of the first "
            "split.",
        ),
        Figure(
            "sparsification.png",
            draw.sparsification(KEPT, kept_errors, best),
            "Mean absolute error of the rows that remain when those of the largest spread are set "
            "aside, and (dotted) if the errors themselves were known.",
        ),
    ]


def importance_section(results: Results) -> Section | None:
    """Show the importance of features."""
    if not results.importance:
        return None
    job = results.prepared.job
    figures = []
    for k, (name, values) in enumerate(results.importance.items()):
        alone = {_shown(key): value for key, value in values.items() if SEPARATOR not in key}
        shap = {_shown(key): value for key, value in results.contributions.get(name, {}).items()}
        figures.append(
            Figure(
                "feature_importance.png" if k == 0 else f"feature_importance_{name}.png",
                draw.importance(alone, _clusters(values), shap),
                f"{name}: loss on held-out folds when features are shuffled, and SHAP values, in "
                f"units of the {job.target.label}.",
            )
        )
    return Section(
        "importance",
        "Importance of features",
        text=[
            "A feature whose information stands in others loses little when it is shuffled "
            "alone, so clusters of features that are correlated in rank are shuffled together, "
            "too. All values, with the members of the clusters, are in feature_importance.csv."
        ],
        figures=figures,
    )


def _clusters(values: Mapping[str, float]) -> dict[str, float]:
    """Clusters by their first member and number of others."""
    short = {}
    for key, value in values.items():
        if SEPARATOR in key:
            members = key.split(SEPARATOR)
            short[f"{_shown(members[0])} (+{len(members) - 1})"] = value
    return short


def _shown(name: str) -> str:
    """Name of a feature as a figure has it: the means of elements' properties have numbers only."""
    number = name.removeprefix("magpie_emb_")
    return f"mean {list(PROPERTIES)[int(number)]}" if number != name else name


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _published(results: Results, name: str) -> bool:
    return any(v.name == name and v.experiment.published for v in results.variants)
