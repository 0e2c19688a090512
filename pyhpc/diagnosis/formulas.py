"""Do rows that were predicted have the composition of rows that the model was fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.diagnosis.check import Check, Verdict
from pyhpc.diagnosis.flattery import flattery
from pyhpc.errors import PyhpcError
from pyhpc.features.formulas import parse_formula

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhpc.diagnosis.neighbours import Training
    from pyhpc.diagnosis.sample import Sample


def composition(formula: str) -> str:
    """Give formulas of one composition one name: ``Li2O`` and ``Li4O2``; others stay as they are.

    Parameters
    ----------
    formula : str
        Empty where it is not known.
    """
    try:
        contents = parse_formula(formula)
    except PyhpcError:
        return formula.strip()
    total = sum(contents.values())
    return " ".join(f"{number}:{amount / total:.6f}" for number, amount in contents.items())


def known_compositions(sample: Sample, training: Training | None) -> NDArray[np.bool_] | None:
    """Tell the rows whose composition is among the training rows; None where that is not known."""
    if sample.formulas is None:
        return None
    if training is not None:
        if not training.compositions:
            return None
        return np.array([name in training.compositions for name in compositions(sample.formulas)])
    if sample.folds is None:
        return None
    folds: dict[str, set[int]] = {}
    names = compositions(sample.formulas)
    for name, fold in zip(names, sample.folds.tolist(), strict=True):
        folds.setdefault(name, set()).add(fold)
    return np.array([name != "" and len(folds[name]) > 1 for name in names])


def compositions(formulas: Sequence[str]) -> list[str]:
    """Name the composition of each formula, and read each spelling once."""
    names = {formula: composition(formula) for formula in set(formulas)}
    return [names[formula] for formula in formulas]


def formulas_check(sample: Sample, known: NDArray[np.bool_]) -> Check:
    """Judge whether the score rests on rows whose composition is among the training rows."""
    title = "Compositions in training and test rows"
    found = flattery(known, sample.truth, sample.prediction)
    share = f"{100 * known.mean():.0f} %"
    if found is None or found.verdict is Verdict.FINE:
        text = [
            f"{share} of the rows have their composition among the training rows; the score does "
            "not rest on them."
        ]
        if known.all():
            text = ["Every row has its composition among the training rows."]
        numbers = {"known": int(known.sum())} | (found.numbers("composition") if found else {})
        return Check("formulas", title, Verdict.FINE, text, numbers=numbers)
    return Check(
        "formulas",
        title,
        found.verdict,
        [found.sentence("their composition")],
        [
            "Keep rows of one composition in one fold (grouped folds), and report both scores: "
            "that of new compositions is what a search for new materials will see.",
        ],
        {"known": int(known.sum())} | found.numbers("composition"),
    )
