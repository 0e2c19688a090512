"""Section of the report: the noise of the label, and what it does to scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyhpc.report.page import Section, Table
from pyhpc.studies.label_noise import errors_beside, read_labels, transformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyhpc.studies.results import Results


def label_section(results: Results) -> Section | None:
    """Show how far the labels of several sources disagree, and the errors of models beside it."""
    labels = results.prepared.study.sources.get("labels")
    if labels is None:
        return None
    beyond = f"{labels['bound']:.3g}"
    pairs = [
        [
            pair["first"],
            pair["second"],
            f"{pair['rows']:,}",
            *(_cell(pair, key) for key in ("median", "mean")),
            *(_cell(pair, key, form) for key, form in (("bias", "+.4f"), ("share_beyond", ".1%"))),
        ]
        for pair in labels["pairs"]
    ]
    headings = ["label", "other", "rows with both", "median |difference|", "mean", "bias"]
    tables = [
        Table(
            [*headings, f"beyond {beyond}"],
            pairs,
            "How far the labels of several sources disagree on the same row, in the unit that is "
            "modelled",
        )
    ]
    errors = _errors(results, labels["bound"])
    if errors:
        tables.append(
            Table(
                [
                    "experiment",
                    "other label",
                    "rows with both",
                    "MAE against the label",
                    "against the other",
                    "where they agree",
                    "where not",
                    "rows where not",
                ],
                errors,
                f"Errors on the rows that two sources know; they disagree beyond {beyond}",
            )
        )
    return Section(
        "labels",
        "The noise of the label",
        text=[
            "What is wrong with a label looks like an error of the model. Where two sources "
            "disagree, an error is of either; a model that was fitted to one source alone and is "
            "nearer to the other has averaged noise away."
        ],
        tables=tables,
    )


def _errors(results: Results, bound: float) -> list[list[str]]:
    """Errors of the diagnosed experiments, on the first repetition of their first split."""
    prepared, rows = results.prepared, []
    study, job = prepared.study, prepared.job
    for variant in (v for v in results.variants if v.experiment.diagnose):
        scored = results.scored[variant.name]
        one = scored[next(iter(scored))].repetitions[0]
        for column in job.data.other_labels:
            other = transformed(read_labels(study.texts(column, test=True)), job.target.transform)
            found = errors_beside(
                study.target.values[one.rows], other[one.rows], one.prediction, bound
            )
            keys = ("against_label", "against_other", "where_they_agree", "where_they_disagree")
            rows.append(
                [
                    variant.name,
                    column,
                    f"{found['rows']:,}",
                    *(_cell(found, key) for key in keys),
                    str(found["disagree"]),
                ]
            )
    return rows


def _cell(figures: Mapping[str, float | int | None], key: str, form: str = ".4f") -> str:
    value = figures[key]
    return "" if value is None else f"{value:{form}}"
