"""Training data on the disk, a page of rows at a time: XGBoost's external memory.

Needs XGBoost 3.0.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xgboost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def paged_matrix(
    features: Callable[[pa.Table], NDArray[np.float32]],
    table: pa.Table,
    labels: Mapping[str, NDArray[np.float64]],
    page_rows: int,
    **options: Any,
) -> Any:
    """Quantize the features of a table page by page; the pages are gone when the result is.

    Parameters
    ----------
    features : callable
        Gives the features of some rows of the table, shape (n_rows, n_features).
    table : pyarrow.Table
        All rows.
    labels : mapping of str to array, shape (n_rows,)
        What is known of the rows, by XGBoost's names.
    page_rows : int
        Rows of a page.
    **options
        Of ``xgboost.ExtMemQuantileDMatrix``.
    """
    folder = tempfile.mkdtemp(prefix="pyhpc-pages-")
    try:
        pages = _Pages(features, table, labels, page_rows, Path(folder))
        data = xgboost.ExtMemQuantileDMatrix(pages, **options)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(data, shutil.rmtree, folder, ignore_errors=True)
    return data


class _Pages(xgboost.DataIter):
    """Hands pages to XGBoost, which goes through them several times."""

    def __init__(
        self,
        features: Callable[[pa.Table], NDArray[np.float32]],
        table: pa.Table,
        labels: Mapping[str, NDArray[np.float64]],
        page_rows: int,
        folder: Path,
    ) -> None:
        self._features = features
        self._table = table
        self._labels = labels
        self._page_rows = page_rows
        self._row = 0
        super().__init__(cache_prefix=str(folder / "page"))

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand on a page; False where there are no more."""
        page = slice(self._row, self._row + self._page_rows)
        rows = self._table.slice(page.start, self._page_rows)
        if rows.num_rows == 0:
            return False
        input_data(
            data=self._features(rows), **{name: part[page] for name, part in self._labels.items()}
        )
        self._row = page.stop
        return True

    def reset(self) -> None:
        """Begin anew."""
        self._row = 0
