"""From finished fits to predictions and scores of every experiment."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhpc.models import OutOfFold, Score, bootstrap
from pyhpc.studies.fits import count_test_fits, done_fits
from pyhpc.studies.folds import split_groups
from pyhpc.studies.subsets import subset_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from pyhpc.models import Folds
    from pyhpc.studies.fits import Fit, Variant
    from pyhpc.studies.prepare import Prepared
    from pyhpc.studies.table import StudyTable

_SAMPLES = 1000
"""Samples of the bootstrap behind each interval."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of rows by models that have not seen them, in one repetition of a split.

    Attributes
    ----------
    seed : int
        Repetition.
    rows : array, shape (n_predicted,)
        Rows of the table, ascending.
    fold : array, shape (n_predicted,)
        Fold of each; -1 for test rows.
    prediction : array, shape (n_predicted,)
        Their predictions.
    explained : dict of str to array, shape (n_predicted,)
        How they came about; NaN where a model did not tell.
    folds : Folds, optional
        What they were made with; None for test rows.
    """

    seed: int
    rows: NDArray[np.int64]
    fold: NDArray[np.int64]
    prediction: NDArray[np.float64]
    explained: dict[str, NDArray[np.float64]]
    folds: Folds | None = None

    @property
    def out_of_fold(self) -> OutOfFold:
        """The same for :mod:`pyhpc.models`."""
        if self.folds is None:
            raise ValueError("test rows are in no fold")
        return OutOfFold(self.folds, self.rows, self.prediction, self.explained, [])

    @property
    def spread(self) -> NDArray[np.float64] | None:
        """Spread of the ensemble, where the model is one."""
        spread = self.explained.get("spread")
        return spread if spread is not None and np.isfinite(spread).all() else None


@dataclass(frozen=True, eq=False)
class Scored:
    """An experiment on a split.

    Attributes
    ----------
    repetitions : list of Predictions
        One per seed.
    scores : dict of str to Score
        Mean over the repetitions, with an interval, by metric; after a transform of the target
        also of what it was before, as ``raw_<metric>``.
    spread : dict of str to float
        Standard deviation over the repetitions, NaN for a single one.
    subsets : dict of str to dict of str to Score
        Scores of the rows of each subset that holds predicted rows.
    """

    repetitions: list[Predictions]
    scores: dict[str, Score]
    spread: dict[str, float]
    subsets: dict[str, dict[str, Score]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Results:
    """All results of a study.

    Attributes
    ----------
    prepared : Prepared
        The study.
    scored : dict of str to dict of str to Scored
        By experiment, then by split; the test rows are the split ``"test"``.
    summaries : dict of str to list of dict
        What the fits of each experiment did.
    importance, contributions : dict of str to dict of str to float
        By experiment and feature (``a + b`` for features that were permuted together): loss of
        the mean absolute error on held-out folds, and mean absolute SHAP value.
    models : dict of str to bytes
        Archive of the model that was fitted to all training rows, by experiment.
    test_fits : dict of str to int
        How many different models of each experiment were ever asked for the test rows.
    """

    prepared: Prepared
    scored: dict[str, dict[str, Scored]] = field(default_factory=dict)
    summaries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    importance: dict[str, dict[str, float]] = field(default_factory=dict)
    contributions: dict[str, dict[str, float]] = field(default_factory=dict)
    models: dict[str, bytes] = field(default_factory=dict)
    test_fits: dict[str, int] = field(default_factory=dict)

    @property
    def variants(self) -> list[Variant]:
        """Experiments as they were run."""
        return self.prepared.variants


def assemble(prepared: Prepared, work: Path) -> Results:
    """Put the predictions of all fits together and score them.

    Parameters
    ----------
    prepared : Prepared
        The study, all of whose fits are done.
    work : Path
        Folder of the runs.
    """
    done = done_fits(work, {fit.key for fit in prepared.fits})
    results = Results(prepared, test_fits=count_test_fits(work))
    dependent, subsets = dependent_rows(prepared), subset_rows(prepared.job, prepared.study)
    for variant in prepared.variants:
        fits = [fit for fit in prepared.fits if fit.experiment == variant.name]
        results.summaries[variant.name] = [json.loads(done[fit.key]["summary"]) for fit in fits]
        for name in ("importance", "contributions"):
            means = _mean_by_name([done[fit.key][name] for fit in fits])
            if means:
                getattr(results, name)[variant.name] = means
        scored: dict[str, Scored] = {}
        for split in (*variant.experiment.splits, ""):
            here = [fit for fit in fits if fit.split == split]
            if not here:
                continue
            seeds = sorted({fit.seed for fit in here})
            repetitions = [
                _pool(prepared, [fit for fit in here if fit.seed == seed], done) for seed in seeds
            ]
            scored[split or "test"] = score(
                prepared.study,
                repetitions,
                dependent,
                transform=prepared.job.target.transform,
                subsets=subsets,
            )
            if not split:
                results.models[variant.name] = done[here[0].key]["model"]
        results.scored[variant.name] = scored
    return results


def score(
    study: StudyTable,
    repetitions: list[Predictions],
    groups: NDArray[np.int64],
    *,
    transform: str,
    subsets: Mapping[str, NDArray[np.bool_]],
) -> Scored:
    """Score repetitions of a split.

    The interval of a figure is the mean of the repetitions' intervals, each from a bootstrap over
    groups of dependent rows: repetitions share their rows, so that they narrow nothing.

    Parameters
    ----------
    study : StudyTable
        Rows.
    repetitions : list of Predictions
        Of some of its rows.
    groups : array, shape (n_rows,)
        Group of dependent rows.
    transform : str
        What was done to the target.
    subsets : dict of str to array, shape (n_rows,), bool
        Rows whose scores are given apart.
    """

    def drawn(chosen: NDArray[np.bool_]) -> list[dict[str, Score]]:
        found = []
        for one in repetitions:
            inside = chosen[one.rows]
            rows, prediction = one.rows[inside], one.prediction[inside]
            known = bootstrap(study.target.take(rows), prediction, groups[rows], n_samples=_SAMPLES)
            if transform == "log10":
                before = bootstrap(
                    study.raw.take(rows), 10.0**prediction, groups[rows], n_samples=_SAMPLES
                )
                known |= {f"raw_{name}": value for name, value in before.items()}
            found.append(known)
        return found

    everything = drawn(np.ones(len(study.target), dtype=np.bool_))
    predicted = np.unique(np.concatenate([one.rows for one in repetitions]))
    spread = {
        name: float(np.std([one[name].value for one in everything], ddof=1))
        if len(everything) > 1
        else np.nan
        for name in everything[0]
    }
    return Scored(
        repetitions,
        _mean_scores(everything),
        spread,
        {
            name: _mean_scores(drawn(chosen))
            for name, chosen in subsets.items()
            if chosen[predicted].any()
        },
    )


def _mean_scores(drawn: list[dict[str, Score]]) -> dict[str, Score]:
    """Means over repetitions, of the figures and of the ends of their intervals."""
    return {
        name: Score(
            *(
                float(np.mean([getattr(one[name], part) for one in drawn]))
                for part in ("value", "lower", "upper")
            )
        )
        for name in drawn[0]
    }


def dependent_rows(prepared: Prepared) -> NDArray[np.int64]:
    """Group of rows that depend on each other, of all rows: those that ``study.groups`` splits by.

    Test rows, of which none is known to depend on another, stand each alone.
    """
    job, study = prepared.job, prepared.study
    n_test = study.table.num_rows - study.n_train
    train = np.arange(study.n_train)
    if job.groups:
        train = split_groups(job.splits[job.groups], study)[: study.n_train]
    return np.concatenate([train, train.max() + 1 + np.arange(n_test)])


def _pool(prepared: Prepared, fits: list[Fit], done: Mapping[str, Any]) -> Predictions:
    study = prepared.study
    parts = []
    for fit in sorted(fits, key=lambda fit: fit.fold):
        rows = (
            prepared.folds[fit.split, fit.seed].rows(fit.fold)[1]
            if fit.split
            else np.arange(study.n_train, study.table.num_rows)
        )
        parts.append((fit.fold, rows, done[fit.key]))
    rows = np.concatenate([rows for _, rows, _ in parts])
    order = np.argsort(rows)
    names = sorted({item["name"] for _, _, row in parts for item in row["explained"]})
    explained = {}
    for name in names:
        pieces = []
        for _, here, row in parts:
            values = {item["name"]: item["values"] for item in row["explained"]}
            pieces.append(values.get(name, np.full(len(here), np.nan)))
        explained[name] = np.concatenate(pieces)[order]
    return Predictions(
        fits[0].seed,
        rows[order],
        np.concatenate([np.full(len(here), fold) for fold, here, _ in parts])[order],
        np.concatenate([row["prediction"] for _, _, row in parts])[order],
        explained,
        prepared.folds[fits[0].split, fits[0].seed] if fits[0].split else None,
    )


def _mean_by_name(parts: list[list[dict[str, Any]]]) -> dict[str, float]:
    """Mean over the fits that tell, largest first."""
    values: dict[str, list[float]] = {}
    for part in parts:
        for item in part:
            values.setdefault(item["name"], []).append(item["value"])
    means = {name: float(np.mean(found)) for name, found in values.items()}
    return dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))
