"""The results folder of a study."""

from __future__ import annotations

import csv
import io
import math
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.report.page import Section, html, markdown
from pyhpc.report.sections import data, details, diagnosis, judgement, labels, scores, summary
from pyhpc.shards.files import make_folder, new_attempt, replace, to_json
from pyhpc.studies.fitting import SEPARATOR
from pyhpc.studies.judge import (
    compare_experiments,
    find_leaks,
    half_widths,
    measure_intervals,
)
from pyhpc.tasks.fit import code_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pyhpc.models import Score
    from pyhpc.studies.results import Results


def write_results(results: Results, folder: Path) -> None:
    """Write all files of a study, each there in full or not at all.

    Nothing in them depends on the time or on the place: equal studies give equal bytes.

    Parameters
    ----------
    results : Results
        What the fits gave.
    folder : Path
        Where to write; files of the same names are replaced.
    """
    job = results.prepared.job
    intervals = measure_intervals(results)
    compared = compare_experiments(results)
    leaks = find_leaks(results)
    provenance = describe(results)

    found: list[Section | None] = [
        summary.summary_section(results, compared),
        data.data_section(results),
        labels.label_section(results),
    ]
    for key, title in job.sections.items():
        chosen = [v for v in results.variants if v.experiment.section == key]
        if any(v.experiment.published for v in chosen):
            found.append(scores.published_section(results, key, title))
            found.append(scores.leak_section(results, leaks))
        elif chosen:
            found.append(scores.scores_section(results, key, title))
    found += [
        judgement.comparison_section(results, compared),
        judgement.interval_section(results, intervals),
        diagnosis.diagnosis_section(results),
        judgement.importance_section(results),
        details.strategies_section(results),
        details.experiments_section(results),
        details.provenance_section(provenance),
    ]
    sections = [section for section in found if section is not None]

    files: dict[str, bytes] = {
        figure.name: figure.data for section in sections for figure in section.figures
    }
    for name in results.scored:
        files[f"{name}_predictions.csv"] = _predictions(results, name)
    if results.importance:
        files["feature_importance.csv"] = _importance(results)
    files["metrics.csv"] = _metrics_csv(results)
    files["metrics.json"] = to_json(_metrics(results))
    files["comparisons.csv"] = _csv(
        ["comparison", "split", "metric", "gain", "lower", "upper", "p_value", "n_folds"],
        (
            [name, split, metric, gain.gain, gain.lower, gain.upper, gain.p_value, gain.n_folds]
            for name, split, metric, gain in compared
        ),
    )
    files["job.toml"] = job.text.encode()
    files["resolved.json"] = to_json(
        {
            "job": job.raw,
            "models": {variant.name: variant.model for variant in results.variants},
            "folds": provenance["folds"],
        }
    )
    files["provenance.json"] = to_json(provenance)
    files["report.md"] = markdown(job.title, job.about, sections).encode()
    files["report.html"] = html(job.title, job.about, sections).encode()
    make_folder(folder)
    for name, content in files.items():
        _replace(folder / name, content)
    for name, archive in results.models.items():
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                handle = tar.extractfile(member)
                # The archive is ours; its names are those that Fitted.save gives.
                target = folder / "models" / name / member.name
                make_folder(target.parent)
                _replace(target, handle.read() if handle else b"")


def describe(results: Results) -> dict[str, Any]:
    """All that the results depend on; JSON-able."""
    prepared = results.prepared
    job = prepared.job
    return {
        **prepared.study.sources,
        "table": prepared.table_sha256,
        "versions": code_versions(),
        "folds": {
            f"{split} {seed}": folds.digest for (split, seed), folds in prepared.folds.items()
        },
        "seed": job.seed,
        "threads": job.threads,
        "device": prepared.device,
        "test_fits": results.test_fits,
    }


def _replace(path: Path, data: bytes) -> None:
    if not path.exists() or path.read_bytes() != data:
        replace(path, data, new_attempt())


def _predictions(results: Results, name: str) -> bytes:
    """Every prediction of an experiment, with its interval."""
    study = results.prepared.study
    ids, rows = study.ids, []
    for split, scored in results.scored[name].items():
        for k, one in enumerate(scored.repetitions):
            widths = half_widths(results, name, split, k, normalized=one.spread is not None)
            gate = one.explained.get("gate", np.full(len(one.rows), np.nan))
            for j, row in enumerate(one.rows):
                rows.append(
                    [
                        ids[row],
                        split,
                        one.seed if split != "test" else "",
                        one.fold[j] if split != "test" else "",
                        study.target.values[row],
                        int(study.target.censored[row]),
                        one.prediction[j],
                        one.prediction[j] - widths[j],
                        one.prediction[j] + widths[j],
                        gate[j],
                    ]
                )
    headings = [
        "id",
        "split",
        "seed",
        "fold",
        "y_true",
        "is_bound",
        "y_pred",
        "lower",
        "upper",
        "gate",
    ]
    return _csv(headings, rows)


def _importance(results: Results) -> bytes:
    rows: list[list[Any]] = []
    for name, values in results.importance.items():
        shap = results.contributions.get(name, {})
        for features, value in values.items():
            kind = "cluster" if SEPARATOR in features else "feature"
            rows.append([name, kind, features, value, shap.get(features, math.nan)])
    return _csv(["experiment", "kind", "features", "permutation_mae_loss", "mean_abs_shap"], rows)


def _metrics(results: Results) -> dict[str, Any]:
    return {
        variant.name: {
            "section": variant.experiment.section,
            "published": dict(variant.experiment.published),
            "splits": {
                split: {
                    metric: _figures(score) | {"std": _finite(scored.spread[metric])}
                    for metric, score in scored.scores.items()
                }
                for split, scored in results.scored[variant.name].items()
            },
            "subsets": {
                split: {
                    subset: {metric: _figures(score) for metric, score in scores.items()}
                    for subset, scores in scored.subsets.items()
                }
                for split, scored in results.scored[variant.name].items()
                if scored.subsets
            },
        }
        for variant in results.variants
    }


def _metrics_csv(results: Results) -> bytes:
    rows = []
    for variant in results.variants:
        for split, scored in results.scored[variant.name].items():
            for metric, score in scored.scores.items():
                rows.append(
                    [
                        variant.name,
                        split,
                        metric,
                        score.value,
                        score.lower,
                        score.upper,
                        scored.spread[metric],
                        len(scored.repetitions),
                        variant.experiment.published.get(metric, math.nan),
                    ]
                )
    headings = [
        "experiment",
        "split",
        "metric",
        "value",
        "lower",
        "upper",
        "std_over_seeds",
        "seeds",
        "published",
    ]
    return _csv(headings, rows)


def _csv(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return sink.getvalue().encode()


def _cell(value: Any) -> Any:
    """Cell of a CSV file; numbers in ten digits, nothing where there is none."""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.10g}"
    return value


def _figures(score: Score) -> dict[str, float | None]:
    return {name: _finite(getattr(score, name)) for name in ("value", "lower", "upper")}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
