"""Sections of the report: rows, targets, folds, and what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.models.splits import random_folds, share_deviations
from pyhpc.report import study_figures as draw
from pyhpc.report.page import Figure, Section, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyhpc.studies.results import Results


KINDS_OF_FEATURES = {
    "composition": ("magpie_emb_0",),
    "cell and space group": ("lattice_a", "space_group_number"),
    "structure": ("density",),
    "lithium's environment": ("li_li_min_dist",),
    "bond valence": ("gii",),
    "Ewald energy": ("madelung_energy_per_atom",),
    "lithium's Voronoi coordination": ("li_voronoi_cn_avg",),
    "margin of the valences": ("valence_margin",),
    "bonds": ("bond_length_mean",),
    "bond angles": ("bond_angle_mean",),
    "moduli of the elements": ("elemental_bulk_modulus_mean",),
}
"""One column that stands for each kind of feature in the figure of coverage."""


def data_section(results: Results) -> Section:
    """Rows, targets, and which features they have."""
    prepared = results.prepared
    study, job = prepared.study, prepared.job
    n, bounds = study.n_train, study.target.censored
    rows = [
        ["rows", str(n), str(len(study.target) - n)],
        ["targets known as a bound", str(bounds[:n].sum()), str(bounds[n:].sum())],
    ]
    shares = {}
    for kind, columns in KINDS_OF_FEATURES.items():
        if all(column in study.features for column in columns):
            present = np.all(
                [np.isfinite(np.asarray(study.table[column])) for column in columns], axis=0
            )
            shares[kind] = tuple(
                float(part.mean()) for part in (present[:n], present[n:]) if len(part)
            )
            rows.append([f"with {kind}", str(int(present[:n].sum())), str(int(present[n:].sum()))])
    names = [
        (name, split)
        for name, split in job.splits.items()
        if any(key[0] == name for key in prepared.folds)
    ]
    made = [
        [
            split.label,
            split.kind.replace("_", " "),
            ", ".join(split.columns) or "-",
            str(len(prepared.folds[name, split.seeds[0]])),
            ", ".join(map(str, split.seeds)),
        ]
        for name, split in names
    ]
    section = Section(
        "data",
        "Data",
        text=[
            f"Predicted is the {job.target.label}. Folds are made once, and are the same for "
            "every experiment.",
            *_left_out(study.sources["left_out"]),
            *_training_labels(results),
            *_test_reads(results),
        ],
        tables=[
            Table(["", "training", "test"], rows),
            Table(["folds", "kind", "columns", "number", "seeds"], made),
            *_balance(results),
        ],
    )
    section.figures.append(
        Figure(
            "target_distributions.png",
            draw.target_distributions(
                study.raw,
                study.target,
                n,
                column=job.target.column,
                label=job.target.label,
                logarithmic=job.target.transform == "log10",
            ),
            "The target before and after the transform. A bound is drawn at its value.",
        )
    )
    if shares:
        section.figures.append(
            Figure(
                "feature_coverage.png",
                draw.feature_coverage(shares),
                "Share of the rows that have a value, by kind of feature.",
            )
        )
    return section


def _balance(results: Results) -> list[Table]:
    """Say how alike stratified folds are, and how much random ones of the same size differ."""
    prepared = results.prepared
    study, rows = prepared.study, []
    for name, split in prepared.job.splits.items():
        if split.kind != "stratified" or (name, split.seeds[0]) not in prepared.folds:
            continue
        drawn = random_folds(study.n_train, split.folds, split.seeds[0])
        for column in split.columns:
            levels = study.levels(column)
            made = [share_deviations(prepared.folds[name, s], levels).max() for s in split.seeds]
            rows.append(
                [
                    split.label,
                    column.replace("_", " "),
                    str(len(set(levels))),
                    f"{100 * max(made):.2f}",
                    f"{100 * share_deviations(drawn, levels).max():.2f}",
                ]
            )
    headings = ["folds", "factor", "levels", "stratified", "random"]
    caption = (
        "How far the share of a level in any fold is from that in all rows, at most, in percent "
        "of the fold's rows"
    )
    return [Table(headings, rows, caption)] if rows else []


def _left_out(counts: Mapping[str, int]) -> list[str]:
    """Say which rows of the tables are not in the study."""
    reasons = [f"{count} with {reason}" for reason, count in counts.items() if count]
    return [f"Rows of the tables that were left out: {', '.join(reasons)}."] if reasons else []


def _training_labels(results: Results) -> list[str]:
    """Say what other labels change."""
    target, counts = results.prepared.job.target, results.prepared.study.sources
    if not target.training_labels:
        return []
    found = counts["training_labels"]
    return [
        f"Models are fitted to the mean of {target.column} and {', '.join(target.training_labels)} "
        f"where a row has several: this changes {found['changed']:,} rows, and adds "
        f"{found['added']:,} that have no {target.column}. Those are trained on, but where folds "
        "keep them together with what is predicted, and never scored; every score is against "
        f"{target.column} alone."
    ]


def _test_reads(results: Results) -> list[str]:
    """Say how often the test rows were looked at."""
    if not any("test" in scored for scored in results.scored.values()):
        return []
    first = (
        "The test rows were predicted after all folds, by models that were fitted to all training "
        "rows."
    )
    again = [name for name, count in results.test_fits.items() if count > 1]
    if not again:
        return [f"{first} They were read once: by one model of each experiment."]
    most = max(results.test_fits.values())
    return [
        f"{first} Of {len(again)} experiments, more than one version has predicted them in this "
        f"folder (up to {most}): a choice among these by their test scores would be optimistic."
    ]
