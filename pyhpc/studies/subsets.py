"""Rows of a study whose scores are reported apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.studies.job import Job
    from pyhpc.studies.table import StudyTable


def subset_rows(job: Job, study: StudyTable) -> dict[str, NDArray[np.bool_]]:
    """Rows of each subset, of all rows of the table.

    Raises
    ------
    PyhpcError
        If a subset names no column, or holds no row.
    """
    found = {}
    for subset in job.subsets:
        inside = np.isin(study.levels(subset.column, test=True), subset.equals)
        if not inside.any():
            raise PyhpcError(
                f"subsets.{subset.name}: no row has {subset.column} = {' or '.join(subset.equals)}",
                "Correct the column or its values.",
            )
        found[subset.name] = inside
    return found
