"""Labels of other sources, to train on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.models import Target
from pyhpc.studies.label_noise import read_labels, transformed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.studies.job import Job
    from pyhpc.studies.rows import Rows


def with_usable_labels(job: Job, rows: Rows) -> Rows:
    """Leave out auxiliary rows none of whose labels is a number that the transform takes."""
    _, counts = _other_labels(job, rows)
    return rows.take([k < rows.n_scored or count > 0 for k, count in enumerate(counts)])


def learn_from_labels(job: Job, rows: Rows, target: Target) -> Target:
    """Give what models are fitted to.

    A measured row is known by the mean of its labels, each transformed: where sources disagree,
    their mean is wrong by less than the worse of them. A bound stays what it is, and so do the
    test rows, which nothing is fitted to.

    Parameters
    ----------
    job : Job
        With the columns of the other labels.
    rows : Rows
        Rows with a target, then auxiliary ones.
    target : Target
        Of the former, transformed.

    Returns
    -------
    Target
        Of all rows.
    """
    sums, counts = _other_labels(job, rows)
    n, n_train = rows.n_scored, rows.n_train
    added = sums[n:] / counts[n:]
    shift = np.zeros(n)
    means = (target.values[:n_train] + sums[:n_train]) / (1 + counts[:n_train])
    shift[:n_train] = np.where(target.censored[:n_train], 0.0, means - target.values[:n_train])
    moved = target.minus(-shift)
    parts = (moved.values, moved.lower, moved.upper)
    return Target(*(np.concatenate([part, added]) for part in parts))


def _other_labels(job: Job, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum and number of the transformed labels of each row, its target apart."""
    sums, counts = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    for column in job.target.training_labels:
        labels = transformed(read_labels(rows.column(column)), job.target.transform)
        known = np.isfinite(labels)
        sums[known] += labels[known]
        counts += known
    return sums, counts
