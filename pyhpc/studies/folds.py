"""The folds of a study, and in which of them a row that is only trained on has to be left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pyhpc.errors import PyhpcError
from pyhpc.models.clusters import feature_clusters
from pyhpc.models.splits import (
    connected_groups,
    grouped_folds,
    leave_one_out_folds,
    random_folds,
    stratified_folds,
    target_tail_folds,
)
from pyhpc.shards.files import digest
from pyhpc.studies.fitting import fold_column
from pyhpc.studies.specs import expand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pyhpc.models import Folds
    from pyhpc.studies.job import Job, Split
    from pyhpc.studies.table import StudyTable


@dataclass(frozen=True, eq=False)
class MadeFolds:
    """One repetition of a split.

    Attributes
    ----------
    folds : Folds
        Of the training rows.
    auxiliary : array, shape (n_auxiliary,), int64
        Fold in which an auxiliary row is not trained on, since it belongs to what is predicted
        there; -1: none.
    """

    folds: Folds
    auxiliary: NDArray[np.int64]

    @property
    def digest(self) -> str:
        """Hash of both."""
        return digest(self.folds.digest.encode() + self.auxiliary.astype("<i8").tobytes())


def make_folds(job: Job, study: StudyTable) -> dict[tuple[str, int], MadeFolds]:
    """Make all folds, by name of the split and seed."""
    used = {name for experiment in job.experiments for name in experiment.splits}
    return {
        (name, seed): _make(job, split, study, seed)
        for name, split in job.splits.items()
        if name in used
        for seed in split.seeds
    }


def split_groups(split: Split, study: StudyTable) -> NDArray[np.int64]:
    """Give the groups that a split keeps together, of the training rows and then of the auxiliary.

    Splits that keep nothing together have each row alone.
    """
    if split.kind not in ("grouped", "leave_one_out"):
        return np.arange(study.n_train + study.auxiliary.num_rows)
    return connected_groups(
        [study.texts_to_train_on(column) for column in split.columns],
        [split.separators.get(column) for column in split.columns],
    )


def _make(job: Job, split: Split, study: StudyTable, seed: int) -> MadeFolds:
    n = study.n_train
    names: list[object]
    try:
        if split.kind in ("random", "stratified"):
            folds = _of_rows(split, study, seed)
            return MadeFolds(folds, np.full(study.auxiliary.num_rows, -1))
        if split.kind == "target_tails":
            folds = target_tail_folds(study.target.values[:n], split.share)
            return MadeFolds(folds, _tails(study, folds))
        if split.kind == "grouped":
            groups = split_groups(split, study)
            folds, names = grouped_folds(groups[:n], split.folds, seed), groups.tolist()
        elif split.kind == "clusters":
            where = f"splits.{split.name}.columns"
            features = expand(job, split.columns, study.features, where)
            table = pa.concat_tables([study.table.slice(0, n), study.auxiliary])
            names = feature_clusters(table, features, split.folds, seed).tolist()
            folds = leave_one_out_folds(names[:n])
        else:
            columns = [study.texts_to_train_on(column) for column in split.columns]
            # A row belongs to a cluster by all columns together; one without a name is in none.
            names = [" ".join(parts).strip() for parts in zip(*columns, strict=True)]
            folds = leave_one_out_folds(names[:n], split.min_size)
    except PyhpcError as error:
        raise PyhpcError(f"splits.{split.name}: {error.message}", error.remedy) from None
    fold_of = dict(zip(names[:n], folds.assignment.tolist(), strict=True))
    return MadeFolds(folds, np.array([fold_of.get(name, -1) for name in names[n:]], dtype=np.int64))


def _of_rows(split: Split, study: StudyTable, seed: int) -> Folds:
    """Folds of rows that are taken to be independent."""
    if split.kind == "random":
        return random_folds(study.n_train, split.folds, seed)
    levels = [study.levels(column) for column in split.columns]
    return stratified_folds(levels, split.folds, seed)


def _tails(study: StudyTable, folds: Folds) -> NDArray[np.int64]:
    """Tail in which the label of an auxiliary row lies."""
    known = study.target.values[: study.n_train]
    labels = study.learned.values[len(study.target) :]
    low, high = known[folds.assignment == 0].max(), known[folds.assignment == 1].min()
    return np.select([labels <= low, labels >= high], [0, 1], -1).astype(np.int64)


def with_groups(job: Job, study: StudyTable) -> StudyTable:
    """Give the tables a column ``group <split>`` for each split that keeps groups together.

    Models that make folds inside their training set name it. Test rows are in no group.
    """
    table, auxiliary = study.table, study.auxiliary
    for split in job.splits.values():
        if split.kind in ("grouped", "leave_one_out"):
            groups, name = split_groups(split, study), f"group {split.name}"
            known = np.full(table.num_rows, -1)
            known[: study.n_train] = groups[: study.n_train]
            table = table.append_column(name, pa.array(known, pa.int32()))
            auxiliary = auxiliary.append_column(name, pa.array(groups[study.n_train :], pa.int32()))
    return replace(study, table=table, auxiliary=auxiliary)


def with_folds(study: StudyTable, made: Mapping[tuple[str, int], MadeFolds]) -> StudyTable:
    """Give the tables a column for each repetition of each split."""
    table, auxiliary = study.table, study.auxiliary
    n_test = table.num_rows - study.n_train
    for (split, seed), one in made.items():
        name = fold_column(split, seed)
        values = np.concatenate([one.folds.assignment, np.full(n_test, -2)])
        table = table.append_column(name, pa.array(values, pa.int32()))
        auxiliary = auxiliary.append_column(name, pa.array(one.auxiliary, pa.int32()))
    return replace(study, table=table, auxiliary=auxiliary)
