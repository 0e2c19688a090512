"""Sections of the report: what each strategy did, and from what all of it was made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.report import study_figures as draw
from pyhpc.report.page import Figure, Section, Table
from pyhpc.studies.fits import is_without_leak
from pyhpc.studies.judge import LEVEL, half_widths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyhpc.studies.results import Results


def strategies_section(results: Results) -> Section | None:
    """Tell what the strategies did: gates and choices."""
    rows = []
    for variant in results.variants:
        if is_without_leak(variant.name):
            continue
        facts = _facts(results, variant.name)
        if facts:
            rows.append([variant.name, variant.model["kind"], "; ".join(facts)])
    if not rows:
        return None
    return Section(
        "strategies",
        "What the strategies did",
        tables=[Table(["experiment", "kind", "over its fits"], rows)],
    )


def experiments_section(results: Results) -> Section:
    """Parity of every experiment."""
    study, job = results.prepared.study, results.prepared.job
    figures = []
    for variant in results.variants:
        for split, scored in results.scored[variant.name].items():
            first = next(iter(results.scored[variant.name]))
            if split not in (first, "test"):
                continue
            one = scored.repetitions[0]
            kind = "test" if split == "test" else "cv"
            where = "test set" if kind == "test" else job.splits[split].label
            normalized = False
            figures.append(
                Figure(
                    f"{variant.name}_{kind}_parity.png",
                    draw.parity(
                        study.target.take(one.rows),
                        one.prediction,
                        gate=one.explained.get("gate"),
                        half_widths=half_widths(
                            results, variant.name, split, 0, normalized=normalized
                        ),
                        scores=scored.scores,
                        label=job.target.label,
                        title=variant.name,
                    ),
                    f"{variant.name}, {where}" + ("" if kind == "test" else f", seed {one.seed}"),
                    small=True,
                )
            )
    return Section(
        "experiments",
        "Every experiment",
        text=[
            "Out-of-fold predictions of the first repetition of the first split, and of the "
            f"test set. The band holds {LEVEL:.0%} of what is off by conformal calibration; "
            "the figures are means over all repetitions."
        ],
        figures=figures,
        folded=True,
    )


def provenance_section(provenance: Mapping[str, Any]) -> Section:
    """From what, by what."""
    rows = [[f"file {name}", value] for name, value in provenance["files"].items()]
    rows += [["table of features", provenance["table"]]]
    rows += [[name, value] for name, value in provenance["versions"].items()]
    rows += [
        [
            "seed, threads, device",
            f"{provenance['seed']}, {provenance['threads']}, {provenance['device']}",
        ]
    ]
    if provenance.get("structures"):
        rows.append(["structures", json.dumps(provenance["structures"])])
    return Section(
        "provenance",
        "How to repeat it",
        text=[
            "With job.toml, the same data and versions, pyhpc run job.toml --data FOLDER gives "
            "the same files, byte for byte, for the same number of threads and device. "
            "resolved.json holds every model with all of its columns and parameters, "
            "models/ the models that were fitted to all training rows."
        ],
        tables=[Table(["what", "hash or version"], rows)],
        folded=True,
    )


def _facts(results: Results, name: str) -> list[str]:
    summaries = results.summaries[name]
    facts = []
    gates = [
        one.explained["gate"]
        for scored in results.scored[name].values()
        for one in scored.repetitions
        if "gate" in one.explained
    ]
    if gates:
        weights = np.concatenate(gates)
        facts.append(
            f"weight of the specialist {weights.mean():.2f} on average, above zero in "
            f"{(weights > 0).mean():.0%} of the rows"
        )
    if "coefficients" in summaries[0]:
        values = np.array([one["coefficients"] for one in summaries])
        facts.append(
            "coefficients "
            + ", ".join(
                f"{mean:.2f} ± {std:.2f}"
                for mean, std in zip(values.mean(axis=0), values.std(axis=0), strict=True)
            )
        )
    if "n_covered" in summaries[0]:
        covered = np.mean([one["n_covered"] for one in summaries])
        facts.append(f"{covered:.0f} training rows covered")
    if "residual_std" in summaries[0]:
        facts.append(
            f"residuals of {np.mean([one['residual_std'] for one in summaries]):.2f} to correct"
        )
    if "chosen" in summaries[0]:
        counts: dict[str, int] = {}
        for one in summaries:
            chosen = ", ".join(f"{key} = {value}" for key, value in sorted(one["chosen"].items()))
            counts[chosen] = counts.get(chosen, 0) + 1
        facts += [f"{chosen}: {count} times" for chosen, count in sorted(counts.items())]
    return facts
