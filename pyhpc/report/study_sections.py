"""What the report of a study says, section by section."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.features.elements import PROPERTIES
from pyhpc.report import study_figures as draw
from pyhpc.report.page import Figure, Section, Table, interval, number
from pyhpc.studies.fits import WITHOUT_LEAK
from pyhpc.studies.fitting import SEPARATOR
from pyhpc.studies.judge import LEVEL, half_widths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyhpc.models.comparison import Comparison
    from pyhpc.models.leaks import Leak
    from pyhpc.studies.fits import Variant
    from pyhpc.studies.judge import Intervals
    from pyhpc.studies.results import Results

BASELINES = ("mean", "nearest", "random_forest")
"""Kinds of models that every other one has to beat."""

KINDS_OF_FEATURES = {
    "composition": ("magpie_emb_0",),
    "cell and space group as stated": ("lattice_a", "space_group_number"),
    "structure": ("density",),
    "lithium environment": ("li_li_min_dist",),
    "bond valence": ("bv_mismatch_avg",),
    "Ewald energy": ("ewald_energy_avg",),
    "Voronoi coordination": ("li_voronoi_cn_avg",),
    "margin of the valences": ("valence_margin",),
}
"""One column that stands for each kind of feature in the figure of coverage."""


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
            *_test_reads(results),
        ],
        tables=[
            Table(["", "training", "test"], rows),
            Table(["folds", "kind", "kept together", "number", "seeds"], made),
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


def published_section(results: Results, key: str, title: str) -> Section:
    """Put published figures beside reproduced ones."""
    rows = []
    for variant in results.variants:
        experiment = variant.experiment
        if experiment.section != key or not experiment.published or _is_clean(variant.name):
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
    has_bounds = bool(results.prepared.study.target.censored.any())
    has_test = "test" in used
    best = {
        (split, metric): max(
            (v.name for v in chosen if split in results.scored[v.name]),
            key=lambda name: (
                (1 if metric == "r2" else -1) * results.scored[name][split].scores[metric].value
            ),
        )
        for split in used
        for metric in ("r2", "mae", "censored_mae")
    }
    for metric, words in (
        ("r2", "R2 with its 95% interval over groups of dependent rows"),
        ("mae", "Mean absolute error"),
        ("censored_mae", "Mean absolute error that knows bounds: 0 on their open side"),
    ):
        if metric == "censored_mae" and not has_bounds:
            continue
        rows = []
        for variant in chosen:
            row = [variant.name + (" (baseline)" if variant.model["kind"] in BASELINES else "")]
            for split in used:
                scored = results.scored[variant.name].get(split)
                if scored is None:
                    row.append("")
                    continue
                score = scored.scores[metric]
                cell = interval(score) if metric == "r2" else number(score.value)
                row.append(cell + (" *" if best[split, metric] == variant.name else ""))
            rows.append(row)
        tables.append(
            Table(["experiment", *labels.values()], rows, f"{words}; * marks the best of a column")
        )
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
    kept = [one for one in intervals if not _is_clean(one.experiment)]
    rows = []
    for one in kept:
        label = "test set" if one.split == "test" else job.splits[one.split].label
        cells = [one.experiment, label, _percent(one.plain.overall), number(one.plain.mean_width)]
        if one.normalized is None:
            rows.append([*cells, "", "", "", ""])
        else:
            rows.append(
                [
                    *cells,
                    _percent(one.plain.most_uncertain),
                    _percent(one.normalized.overall),
                    _percent(one.normalized.most_uncertain),
                    number(one.normalized.mean_width),
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
    return Section(
        "uncertainty",
        "Uncertainty",
        text=[
            f"Conformal intervals for a level of {LEVEL:.0%}, from residuals of rows that the "
            "model has not seen; each fold is calibrated on the others, the test set on the "
            "folds of the experiment's first split. For ensembles the width may follow the "
            "spread of the members; the last fifth is that of the rows with the largest "
            "spread."
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
                    "width",
                ],
                rows,
            )
        ],
        figures=figures,
    )


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


def strategies_section(results: Results) -> Section | None:
    """Tell what the strategies did: gates and choices."""
    rows = []
    for variant in results.variants:
        if _is_clean(variant.name):
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
    for name, split, metric, gain in compared:
        if metric == "r2":
            points.append(
                f"{name[0].upper()}{name[1:]}, {job.splits[split].label}: R2 {gain.gain:+.4f} "
                f"[{gain.lower:+.4f}, {gain.upper:+.4f}], p = {gain.p_value:.2g}."
            )
    return Section("summary", "In short", points=points)


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


def _notes(variants: Iterable[Variant]) -> list[str]:
    return [
        f"{v.name}: {v.experiment.note}"
        for v in variants
        if v.experiment.note and not _is_clean(v.name)
    ]


def _is_clean(name: str) -> bool:
    return name.endswith(WITHOUT_LEAK)


def _published(results: Results, name: str) -> bool:
    return any(v.name == name and v.experiment.published for v in results.variants)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _told(results: Results, variant: Variant, split: str) -> str:
    scores = results.scored[variant.name][split].scores
    return f"{interval(scores['r2'])} with MAE {number(scores['mae'].value)} ({variant.name})"
