"""Section of the report: what a diagnosis says of some experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.diagnosis import Verdict, diagnose
from pyhpc.diagnosis import figures as drawn
from pyhpc.diagnosis.page import headline
from pyhpc.models import from_spec
from pyhpc.report.page import Figure, Section, Table

if TYPE_CHECKING:
    from pyhpc.diagnosis import Diagnosis
    from pyhpc.studies.fits import Variant
    from pyhpc.studies.results import Results


def diagnosis_section(results: Results) -> Section | None:
    """Tell what the checks find in the experiments that ask for them."""
    chosen = [v for v in results.variants if v.experiment.diagnose]
    points, tables, figures = [], [], []
    for variant in chosen:
        found = _diagnose(results, variant)
        points.append(f"{variant.name}: {headline(found)}")
        order = found.by_weight
        tables.append(
            Table(
                ["check", "verdict", "what was found", "what to try"],
                [
                    [check.title, str(check.verdict), " ".join(check.text), " ".join(check.advice)]
                    for check in order
                ],
                f"{variant.name}: all checks, the worst first",
                strong=frozenset(k for k, c in enumerate(order) if c.verdict is Verdict.SERIOUS),
            )
        )
        figures.append(
            Figure(
                f"{variant.name}_diagnosis.png",
                drawn.parity(found.sample),
                f"{variant.name}: predictions against the truth, and how both are distributed.",
            )
        )
    if not chosen:
        return None
    return Section(
        "diagnosis",
        "Diagnosis",
        text=[
            "Out-of-fold predictions of the first repetition of the first split, as pyhpc diagnose "
            "judges any set of predictions; figures are in units of the "
            f"{results.prepared.job.target.label}."
        ],
        points=points,
        tables=tables,
        figures=figures,
    )


def _diagnose(results: Results, variant: Variant) -> Diagnosis:
    study = results.prepared.study
    scored = results.scored[variant.name]
    one = scored[next(iter(scored))].repetitions[0]
    rows = study.table.take(one.rows)
    features = [name for name in from_spec(variant.model).columns if name in study.features]
    return diagnose(
        study.target.values[one.rows],
        one.prediction,
        ids=rows["id"].to_pylist(),
        features={name: np.asarray(rows[name], dtype=np.float64) for name in features},
        formulas=rows["formula"].to_pylist() if "formula" in rows.column_names else None,
        folds=one.fold,
    )
