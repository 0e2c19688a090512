"""All checks of a set of predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.diagnosis.check import Check, Verdict
from pyhpc.diagnosis.errors import bias_check, outlier_check, range_check, spread_check
from pyhpc.diagnosis.features import features_check
from pyhpc.diagnosis.formulas import compositions, formulas_check, known_compositions
from pyhpc.diagnosis.neighbours import Neighbours, Training, find_neighbours, neighbours_check
from pyhpc.diagnosis.sample import Sample, make_sample, usable
from pyhpc.diagnosis.spread import collapse_check, order_check, rows_check, scale_check
from pyhpc.diagnosis.statistics import agreement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from pyhpc.models.metrics import Score


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What the checks found.

    Attributes
    ----------
    sample : Sample
        The rows that were judged.
    scores : dict of str to Score
        ``r2``, ``rmse``, ``bias``, ``sd_ratio``, ``correlation``, slopes, with 95 % intervals.
    checks : list of Check
        In the order in which one fault explains the next.
    neighbours : Neighbours or None
        Nearest training rows, where they are known.
    """

    sample: Sample
    scores: dict[str, Score]
    checks: list[Check]
    neighbours: Neighbours | None

    @property
    def by_weight(self) -> list[Check]:
        """All checks, the worst first."""
        return sorted(self.checks, key=lambda check: check.verdict.rank)

    @property
    def findings(self) -> list[Check]:
        """Checks that are not fine, the worst first; the first is what to mend first."""
        return [check for check in self.by_weight if check.verdict is not Verdict.FINE]

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return self.findings[0].verdict if self.findings else Verdict.FINE

    def __getitem__(self, key: str) -> Check:
        return next(check for check in self.checks if check.key == key)

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-able: six digits of each figure, None where there is none."""
        numbers: dict[str, Any] = _plain(
            {
                "verdict": str(self.verdict),
                "log": self.sample.log,
                "scores": {
                    name: {"value": s.value, "lower": s.lower, "upper": s.upper}
                    for name, s in self.scores.items()
                },
                "checks": [
                    {
                        "key": check.key,
                        "title": check.title,
                        "verdict": str(check.verdict),
                        "text": check.text,
                        "advice": check.advice,
                        "numbers": check.numbers,
                    }
                    for check in self.checks
                ],
            }
        )
        return numbers


def diagnose(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    ids: Sequence[object] | None = None,
    features: Mapping[str, ArrayLike] | None = None,
    formulas: Sequence[str] | None = None,
    folds: ArrayLike | None = None,
    train_features: Mapping[str, ArrayLike] | None = None,
    train_truth: ArrayLike | None = None,
    train_ids: Sequence[object] | None = None,
    train_formulas: Sequence[str] | None = None,
    log: bool = False,
    seed: int = 0,
) -> Diagnosis:
    """Look for what is wrong with predictions.

    Parameters
    ----------
    truth, prediction : array, shape (n_rows,)
        NaN where there is none; such rows are counted and left out.
    ids : sequence, length n_rows, optional
        Names of the rows; without it, their numbers from 0.
    features : mapping of str to array, shape (n_rows,), optional
        What the rows are known by; NaN where missing. Errors are tested against each.
    formulas : sequence of str, length n_rows, optional
        Chemical formulas, empty where there is none: whether the score rests on compositions that
        the training rows have, too, is tested.
    folds : array, shape (n_rows,), optional
        Fold of each row, where the predictions come from a cross-validation.
    train_features : mapping of str to array, shape (n_training,), optional
        Features of the rows that the model was fitted to, in place of folds.
    train_truth : array, shape (n_training,), optional
        Truth of the same, as stated: with ``log``, the logarithm is taken here.
    train_ids : sequence, optional
        Names of the training rows: those that are tested, too, are found.
    train_formulas : sequence of str, optional
        Formulas of the training rows.
    log : bool
        Judge log10 of truth and prediction.
    seed : int
        Of the bootstrap, and of the rows that are drawn for distances.

    Returns
    -------
    Diagnosis
        Equal for equal arguments.

    Raises
    ------
    PyhpcError
        If lengths differ, fewer than five rows are usable, the truth is constant, or ``log`` is
        asked of a number that has none; or if scipy is not installed.
    """
    sample = make_sample(
        truth, prediction, ids=ids, features=features, formulas=formulas, folds=folds, log=log
    )
    training = None
    if any(x is not None for x in (train_features, train_ids, train_formulas)):
        train_values = None if train_truth is None else usable(train_truth)
        if log and train_values is not None:
            train_values = np.log10(np.where(train_values > 0, train_values, np.nan))
        training = Training(
            {name: usable(column) for name, column in (train_features or {}).items()},
            train_values,
            frozenset(str(name) for name in (() if train_ids is None else train_ids)),
            frozenset(compositions(train_formulas or ())) - {""},
        )
    scores = agreement(sample.truth, sample.prediction, seed)
    checks = [
        rows_check(sample, scores),
        scale_check(sample, scores),
        collapse_check(sample, scores),
        order_check(sample, scores),
        bias_check(sample, scores),
        range_check(sample, scores),
        outlier_check(sample),
        spread_check(sample),
    ]
    if sample.features:
        checks.append(features_check(sample, scores))
    known = known_compositions(sample, training)
    if known is not None:
        checks.append(formulas_check(sample, known))
    neighbours = find_neighbours(sample, training, seed)
    if neighbours is not None or training is not None:
        checks.append(neighbours_check(sample, neighbours, training))
    return Diagnosis(sample, scores, checks, neighbours)


def _plain(value: Any) -> Any:
    """Round figures, so that the last digits of another machine do not matter."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
