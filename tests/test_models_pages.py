"""Boosted trees whose features stay on the disk."""

import tempfile

import numpy as np
import pytest

from pyhpc.models import Compute, from_spec
from pyhpc.models.pages import paged_matrix
from tests.model_tables import SMALL, covered_table

KINDS = ["xgboost", "xgboost_aft", "quantile_trees"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_one_page_gives_the_same_trees(folder, kind):
    table, target = covered_table()
    spec = SMALL | {"kind": kind}
    whole = from_spec(spec).fit(table, target, Compute())
    paged = from_spec(spec | {"page_rows": table.num_rows}).fit(table, target, Compute())
    np.testing.assert_array_equal(paged.predict(table), whole.predict(table))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("extra", [{}, {"early_stopping": 10}])
def test_many_pages_give_nearly_the_same(folder, kind, extra):
    """Bins are found from the summaries of pages."""
    table, target = covered_table()
    spec = SMALL | {"kind": kind} | extra
    whole = from_spec(spec).fit(table, target, Compute())
    paged = from_spec(spec | {"page_rows": 50}).fit(table, target, Compute())
    expected, found = whole.predict(table), paged.predict(table)
    # A median moves more than a mean when the edges of bins do.
    least = {"quantile_trees": 0.97}.get(kind, 0.98)
    assert np.corrcoef(expected, found)[0, 1] > least
    assert not list(folder.iterdir()), "pages are gone"


def test_pages_are_kept_in_the_temporary_folder_while_they_are_needed(folder):
    table, target = covered_table()
    sizes = []

    def features(rows):
        sizes.append(rows.num_rows)
        return np.asarray(rows["x0"], dtype=np.float32)[:, None]

    data = paged_matrix(features, table, {"label": target.values}, 100, max_bin=16, nthread=1)
    assert max(sizes) == 100
    assert data.num_row() == table.num_rows
    (pages,) = folder.iterdir()
    assert list(pages.iterdir()), "on the disk"
    del data
    assert not list(folder.iterdir())


def test_pages_are_removed_after_an_error(folder):
    table, target = covered_table()

    def features(rows):
        raise ValueError("no such rows")

    with pytest.raises(ValueError, match="no such rows"):
        paged_matrix(features, table, {"label": target.values}, 100)
    assert not list(folder.iterdir())
