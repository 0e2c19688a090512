"""Sections of the report: what a reader in a hurry has to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyhpc.report.page import Section, interval, number
from pyhpc.report.sections.scores import BASELINES
from pyhpc.studies.fits import WITHOUT_LEAK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyhpc.models.comparison import Comparison
    from pyhpc.studies.fits import Variant
    from pyhpc.studies.results import Results


def summary_section(
    results: Results, compared: Sequence[tuple[str, str, str, Comparison]]
) -> Section:
    """Say what a reader in a hurry has to know."""
    job = results.prepared.job
    points = []
    honest = [v for v in results.variants if not v.experiment.published]
    splits = dict.fromkeys(s for v in honest for s in results.scored[v.name])
    chosen: dict[str, None] = {}
    for split in splits:
        if split == "test":
            continue
        ranked = sorted(
            (v for v in honest if split in results.scored[v.name]),
            key=lambda v: -results.scored[v.name][split].scores["r2"].value,
        )
        chosen[ranked[0].name] = None
        line = f"Folds: {job.splits[split].label}: highest R2 {_told(results, ranked[0], split)}"
        simple = [v for v in ranked if v.model["kind"] in BASELINES]
        if simple:
            other = results.scored[simple[0].name][split].scores
            line += f"; best of the plain baselines {number(other['r2'].value)} ({simple[0].name})"
        points.append(line + ".")
    # Not the best on the test rows: that would be a choice by them.
    tested = [v for v in honest if v.name in chosen and "test" in results.scored[v.name]]
    if tested:
        told = "; ".join(_told(results, v, "test") for v in tested)
        points.append(f"Test set, what does best on folds: R2 {told}.")
    for name, scored in results.scored.items():
        clean = results.scored.get(name + WITHOUT_LEAK)
        if clean is None:
            continue
        first = next(iter(scored))
        line = (
            f"The column {job.target.leak} is worth "
            f"{scored[first].scores['r2'].value - clean[first].scores['r2'].value:+.3f} R2 in "
            f"cross-validation ({name})"
        )
        if "test" in scored:
            change = scored["test"].scores["r2"].value - clean["test"].scores["r2"].value
            line += f" and {change:+.3f} on the test set"
        points.append(line + ": it knows the target.")
        break
    points += _gains(results, compared)
    return Section("summary", "In short", points=points)


def _gains(results: Results, compared: Sequence[tuple[str, str, str, Comparison]]) -> list[str]:
    """Name the gains and losses that are told from zero, and count the others."""
    points, others = [], 0
    for name, split, metric, gain in compared:
        if metric != "r2":
            continue
        if gain.lower <= 0 <= gain.upper:
            others += 1
            continue
        points.append(
            f"{name[0].upper()}{name[1:]}, {results.prepared.job.splits[split].label}: R2 "
            f"{gain.gain:+.4f} [{gain.lower:+.4f}, {gain.upper:+.4f}], p = {gain.p_value:.2g}."
        )
    if others:
        points.append(f"Of {others} further comparisons, the 95% interval of the R2 holds zero.")
    return points


def _told(results: Results, variant: Variant, split: str) -> str:
    scores = results.scored[variant.name][split].scores
    return f"{interval(scores['r2'])} with MAE {number(scores['mae'].value)} ({variant.name})"
