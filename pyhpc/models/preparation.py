"""Getting a table ready for models that know no missing values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.targets import Target


def check_fit(table: pa.Table, target: Target) -> None:
    """Refuse to fit to nothing, or to a target of other rows.

    Raises
    ------
    PyhpcError
        If the table has no row.
    ValueError
        If table and target differ in length.
    """
    if table.num_rows != len(target):
        raise ValueError(f"{table.num_rows} rows in the table, {len(target)} in the target")
    if table.num_rows == 0:
        raise PyhpcError("there is no row to fit to", "Look at what selects the training rows.")


@dataclass(frozen=True, eq=False)
class Filling:
    """Medians of the training rows, in place of missing values.

    Attributes
    ----------
    medians : array, shape (n_columns,)
        0 for a column without any value.
    """

    medians: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> Filling:
        """Learn the medians of a matrix of training rows."""
        empty = np.isnan(values).all(axis=0)
        medians = np.zeros(values.shape[1], dtype=np.float32)
        medians[~empty] = np.nanmedian(values[:, ~empty], axis=0)
        return cls(medians)

    def fill(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Replace NaN by the medians."""
        return np.where(np.isnan(values), self.medians, values)
