"""A diagnosis as one page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhpc.diagnosis import figures
from pyhpc.diagnosis.check import Verdict
from pyhpc.report.page import Figure, Section, Table, html
from pyhpc.shards.files import make_folder, new_attempt, replace, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pyhpc.diagnosis.check import Check
    from pyhpc.diagnosis.diagnose import Diagnosis


def write_diagnosis(
    diagnosis: Diagnosis, folder: Path, *, title: str, notes: Sequence[str] = ()
) -> Path:
    """Write ``diagnosis.html`` and ``diagnosis.json``.

    Parameters
    ----------
    diagnosis : Diagnosis
        What was found.
    folder : Path
        Where to write; files of the same names are replaced.
    title : str
        Heading of the page.
    notes : sequence of str
        What the reader should know of the data, such as rows that were left out.

    Returns
    -------
    Path
        The page. Equal diagnoses give equal bytes.
    """
    page = html(title, headline(diagnosis), sections(diagnosis, notes))
    make_folder(folder)
    for name, data in (
        ("diagnosis.html", page.encode()),
        ("diagnosis.json", to_json(diagnosis.to_dict() | {"title": title, "notes": list(notes)})),
    ):
        replace(folder / name, data, new_attempt())
    return folder / "diagnosis.html"


def headline(diagnosis: Diagnosis) -> str:
    """Say the most important of all, in one or two sentences."""
    findings = diagnosis.findings
    if not findings:
        return "No check found a fault."
    first = findings[0]
    if first.verdict is Verdict.WATCH:
        return f"Nothing serious. To keep in mind: {first.text[0]}"
    serious = sum(check.verdict is Verdict.SERIOUS for check in findings)
    others = " Mend this first: the others may follow from it." if serious > 1 else ""
    return first.text[0] + others


def sections(diagnosis: Diagnosis, notes: Sequence[str] = ()) -> list[Section]:
    """Sections of the page: a summary, then each check, the worst first."""
    return [
        _summary(diagnosis, notes),
        *(_section(diagnosis, check) for check in diagnosis.by_weight),
    ]


def _summary(diagnosis: Diagnosis, notes: Sequence[str]) -> Section:
    order = diagnosis.by_weight
    verdicts = Table(
        ["check", "verdict", "what was found"],
        [[check.title, str(check.verdict), check.text[0]] for check in order],
        strong=frozenset(k for k, c in enumerate(order) if c.verdict is Verdict.SERIOUS),
    )
    names = {
        "r2": "R2",
        "rmse": "RMSE",
        "bias": "mean error",
        "sd_ratio": "spread of predictions / of truth",
        "correlation": "correlation",
        "slope": "slope of prediction on truth",
        "calibration_slope": "slope of truth on prediction (1 is right)",
    }
    scores = Table(
        ["score", "value", "95 % interval"],
        [
            [words, _figure(score.value), f"{_figure(score.lower)} to {_figure(score.upper)}"]
            for key, words in names.items()
            for score in (diagnosis.scores[key],)
        ],
    )
    figure = Figure(
        "parity.png",
        figures.parity(diagnosis.sample),
        "Left: the closer to the line, the better. Right: the predictions should spread nearly as "
        "the truth does.",
    )
    text = list(notes)
    if diagnosis.sample.log:
        text.append("All figures are of decimal logarithms.")
    return Section("summary", "Summary", text, [], [verdicts, scores], [figure])


def _section(diagnosis: Diagnosis, check: Check) -> Section:
    tables: list[Table] = []
    drawn: list[Figure] = []
    if check.key in _DETAILS:
        tables, drawn = _DETAILS[check.key](diagnosis, check)
    text = [f"Verdict: {check.verdict}.", *check.text]
    if check.advice:
        text.append("What to try:")
    return Section(check.key, check.title, text, list(check.advice), tables, drawn)


def _range_details(diagnosis: Diagnosis, check: Check) -> tuple[list[Table], list[Figure]]:
    tables = [
        Table(
            [name, "rows", "mean error", "95 % interval", "MAE"],
            [
                [
                    f"{_figure(row['from'])} to {_figure(row['to'])}",
                    f"{row['rows']:,}",
                    _figure(row["bias"]),
                    f"+- {_figure(row['half_width'])}",
                    _figure(row["mae"]),
                ]
                for row in check.numbers[key]
            ],
        )
        for key, name in (("by_prediction", "prediction"), ("by_truth", "truth"))
    ]
    caption = (
        "Mean error (orange, with 95 % intervals) in ranges of equal numbers of rows. The left is "
        "judged: a right model is right on average whatever it predicts. The right falls for every "
        "model that is not perfect, since the largest truths are large by their noise, too."
    )
    return tables, [Figure("range.png", figures.by_range(diagnosis.sample), caption)]


def _outlier_details(diagnosis: Diagnosis, check: Check) -> tuple[list[Table], list[Figure]]:
    rows = [
        [row["id"], *(_figure(row[key]) for key in ("truth", "prediction", "robust_z"))]
        for row in check.numbers["listed"]
    ]
    heading = ["row", "truth", "prediction", "error in robust standard deviations"]
    return [Table(heading, rows)] if rows else [], []


def _feature_details(diagnosis: Diagnosis, check: Check) -> tuple[list[Table], list[Figure]]:
    found: list[dict[str, Any]] = check.numbers.get("listed", [])
    if not found:
        return [], []
    table = Table(
        ["feature", "share of the error's variance (%)", "rank correlation", "adjusted p", "rows"],
        [
            [
                row["feature"],
                f"{100 * row['share']:.1f}",
                f"{row['rank_correlation']:+.2f}",
                f"{row['adjusted_p_value']:.1g}",
                f"{row['present']:,}",
            ]
            for row in found
        ],
    )
    best = found[0]["feature"]
    caption = f"Errors against {best}; orange: means, with 95 % intervals. They should be 0."
    return [table], [Figure("feature.png", figures.by_feature(diagnosis.sample, best), caption)]


def _neighbour_details(diagnosis: Diagnosis, check: Check) -> tuple[list[Table], list[Figure]]:
    if diagnosis.neighbours is None:
        return [], []
    return [], [
        Figure(
            "distance.png",
            figures.by_distance(diagnosis.sample, diagnosis.neighbours),
            "Errors against the distance to the nearest training row in standardized features.",
        )
    ]


_DETAILS: dict[str, Callable[[Diagnosis, Check], tuple[list[Table], list[Figure]]]] = {
    "range": _range_details,
    "outliers": _outlier_details,
    "features": _feature_details,
    "neighbours": _neighbour_details,
}


def _figure(value: float) -> str:
    return "" if value != value else f"{value:.3g}"
