"""Sections of the report: scores of the experiments, published ones and leaks beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.report import study_figures as draw
from pyhpc.report.page import Figure, Section, Table, interval, number
from pyhpc.studies.fits import WITHOUT_LEAK, is_without_leak

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyhpc.models import Score
    from pyhpc.models.leaks import Leak
    from pyhpc.studies.fits import Variant
    from pyhpc.studies.results import Results


BASELINES = ("mean", "nearest", "random_forest")
"""Kinds of models that every other one has to beat."""

_SMALL = 0.2
"""Errors below it are written with a digit more."""


def published_section(results: Results, key: str, title: str) -> Section:
    """Put published figures beside reproduced ones."""
    rows = []
    for variant in results.variants:
        experiment = variant.experiment
        if experiment.section != key or not experiment.published or is_without_leak(variant.name):
            continue
        scored = results.scored[variant.name]
        split = experiment.splits[0]
        ours = scored[split].scores
        row = [variant.name]
        for metric in ("r2", "rmse", "mae"):
            row += [
                number(experiment.published.get(metric, np.nan), 4),
                interval(ours[metric], 4) if metric == "r2" else number(ours[metric].value, 4),
            ]
        clean = results.scored.get(variant.name + WITHOUT_LEAK)
        row.append(interval(clean[split].scores["r2"]) if clean else "")
        test = scored["test"].scores if "test" in scored else None
        row += [interval(test["r2"]), number(test["mae"].value)] if test else ["", ""]
        rows.append(row)
    chosen = (v for v in results.variants if v.experiment.section == key)
    return Section(
        key,
        title,
        text=[
            "Features, folds and target as published, the columns that only structures give "
            "filled with zeros where there is none. Honest is the same without the column that "
            "knows the target."
        ],
        points=_notes(chosen),
        tables=[
            Table(
                [
                    "experiment",
                    "R2 published",
                    "R2 here [95%]",
                    "RMSE published",
                    "RMSE here",
                    "MAE published",
                    "MAE here",
                    "R2 honest [95%]",
                    "test R2 [95%]",
                    "test MAE",
                ],
                rows,
                "Published beside reproduced, out-of-fold predictions pooled",
            )
        ],
    )


def leak_section(results: Results, leaks: Sequence[Leak]) -> Section | None:
    """Say what the leaking column does, and whether others look like it."""
    job = results.prepared.job
    rows = []
    for name, scored in results.scored.items():
        clean = results.scored.get(name + WITHOUT_LEAK)
        if clean is None:
            continue
        row = [name]
        for split in scored:
            for metric in ("r2", "mae"):
                if metric == "mae" and split != "test":
                    continue
                a, b = scored[split].scores[metric].value, clean[split].scores[metric].value
                row += [number(a), number(b), f"{a - b:+.3f}"]
        rows.append(row)
    if not rows:
        return None
    first = next(name for name in results.scored if name + WITHOUT_LEAK in results.scored)
    headings = ["experiment"]
    for split in results.scored[first]:
        words = ("R2", "MAE") if split == "test" else ("R2",)
        for word in words:
            where = "test" if split == "test" else "CV"
            headings += [f"{where} {word} with", "without", "difference"]
    found = [f"{leak.feature}: {leak.evidence}" for leak in leaks]
    return Section(
        "leak",
        "Leak audit",
        text=[
            f"{job.target.leak} is 1 where the target is known only as a bound: it is made from "
            "the target. Every experiment that has it is run a second time without it; nothing "
            "else differs.",
            "Among all columns of all experiments, these look as if they knew the target:"
            if found
            else "No column of any experiment looks as if it knew the target.",
        ],
        points=found,
        tables=[Table(headings, rows, "With and without the column")],
    )


def scores_section(results: Results, key: str, title: str) -> Section:
    """All splits beside each other."""
    job = results.prepared.job
    chosen = [v for v in results.variants if v.experiment.section == key]
    used = dict.fromkeys(split for v in chosen for split in results.scored[v.name])
    labels = {split: job.splits[split].label if split != "test" else "test set" for split in used}
    tables = []
    has_test = "test" in used
    for metric, words in _metrics(results).items():
        table = _by_split(results, chosen, labels, metric, words)
        if table is not None:
            tables.append(table)
    for subset in job.subsets:
        table = _by_split(
            results, chosen, labels, "mae", f"Mean absolute error of {subset.label}", subset.name
        )
        if table is not None:
            tables.append(table)
    scores = {
        v.name: {s: results.scored[v.name][s].scores["r2"] for s in results.scored[v.name]}
        for v in chosen
    }
    return Section(
        key,
        title,
        text=[
            "Random folds flatter wherever near-duplicates of a row stand on both sides. The "
            "figures of a split are means over its seeds"
            + (
                "; the test set was predicted once, by models fitted to all training rows."
                if has_test
                else "."
            )
        ],
        points=_notes(chosen),
        tables=tables,
        figures=[
            Figure(
                f"scores_{key}.png",
                draw.score_dots(scores, labels, "R2"),
                "R2 by split, with 95% intervals.",
            )
        ],
    )


def _metrics(results: Results) -> dict[str, str]:
    """Metrics to show, with the headings of their tables."""
    job = results.prepared.job
    shown = {
        "r2": "R2 with its 95% interval over groups of dependent rows",
        "mae": "Mean absolute error",
    }
    if results.prepared.study.target.censored.any():
        shown["censored_mae"] = "Mean absolute error that knows bounds: 0 on their open side"
    elif job.target.transform != "none":
        shown["raw_r2"] = f"R2 of {job.target.column}, before the transform"
        shown["raw_mae"] = f"Mean absolute error of {job.target.column}, before the transform"
    return shown


def _by_split(
    results: Results,
    variants: Sequence[Variant],
    labels: Mapping[str, str],
    metric: str,
    words: str,
    subset: str = "",
) -> Table | None:
    """One metric of each experiment on each split, of all rows or of a subset."""
    found: dict[tuple[str, str], Score] = {}
    for variant in variants:
        for split, scored in results.scored[variant.name].items():
            scores = scored.subsets.get(subset) if subset else scored.scores
            if scores is not None:
                found[variant.name, split] = scores[metric]
    if not found:
        return None
    sign = 1 if metric.endswith("r2") else -1
    best = {
        split: max(
            (sign * score.value, name) for (name, where), score in found.items() if where == split
        )[1]
        for split in {where for _, where in found}
    }
    rows = []
    for variant in variants:
        row = [variant.name + (" (baseline)" if variant.model["kind"] in BASELINES else "")]
        for split in labels:
            score = found.get((variant.name, split))
            if score is None:
                row.append("")
                continue
            if metric == "r2":
                cell = interval(score)
            elif subset:
                cell = interval(score, 4, 3)
            else:
                cell = number(score.value, 3 if score.value >= _SMALL else 4)
            row.append(cell + (" *" if best[split] == variant.name else ""))
        rows.append(row)
    return Table(["experiment", *labels.values()], rows, f"{words}; * marks the best of a column")


def _notes(variants: Iterable[Variant]) -> list[str]:
    return [
        f"{v.name}: {v.experiment.note}"
        for v in variants
        if v.experiment.note and not is_without_leak(v.name)
    ]
