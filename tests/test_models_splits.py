"""Folds."""

import numpy as np
import pyarrow as pa
import pytest

from pyhpc.errors import PyhpcError
from pyhpc.models import feature_clusters
from pyhpc.models.splits import (
    Folds,
    connected_groups,
    deal,
    grouped_folds,
    leave_one_out_folds,
    random_folds,
    repeated,
    share_deviations,
    stratified_folds,
    target_tail_folds,
)


@pytest.mark.parametrize(("n_rows", "n_folds", "seed"), [(478, 5, 42), (11, 3, 0), (5, 5, 7)])
def test_random_folds_are_those_of_scikit_learn(n_rows, n_folds, seed):
    from sklearn.model_selection import KFold

    ours = random_folds(n_rows, n_folds, seed)
    theirs = KFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(n_rows))
    for (train, test), (their_train, their_test) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(test, their_test)


def test_folds_are_known_by_their_content():
    first, again, other = random_folds(50, 5, 1), random_folds(50, 5, 1), random_folds(50, 5, 2)
    assert first == again
    assert hash(first) == hash(again)
    assert first != other
    # The digest stands in caches: it must never change.
    assert first.digest[:16] == "f5759009c5d2e911"
    with pytest.raises(ValueError, match="without gaps"):
        Folds("gap", np.array([0, 2]))
    with pytest.raises(ValueError, match="read-only"):
        first.assignment[0] = 3


def test_repeats_differ_by_seed():
    folds = repeated(lambda seed: random_folds(30, 3, seed), [10, 11, 12])
    assert len(set(folds)) == 3


def test_groups_are_connected_through_any_key():
    papers = ["a|b", "c", "b | d", "e", None, "", "x"]
    formulas = ["LiF", "LiCl", "LiBr", " LiCl", "LiI", "Li2O", "LiI"]
    found = connected_groups([papers, formulas], ["|", None])
    # 0 and 2 share b, 1 and 3 LiCl, 4 and 6 LiI; missing papers link nothing.
    assert found.tolist() == [0, 1, 0, 1, 2, 3, 2]


def test_chains_are_followed_to_their_end():
    keys = [f"{k}|{k + 1}" for k in np.random.default_rng(0).permutation(300)]
    assert set(connected_groups([keys], ["|"]).tolist()) == {0}
    assert set(connected_groups([keys]).tolist()) == set(range(300))


@pytest.mark.parametrize("seed", range(5))
def test_grouped_folds_keep_groups_whole_and_sizes_alike(seed):
    groups = np.random.default_rng(0).integers(60, size=400)
    folds = grouped_folds(groups, 5, seed)
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
    sizes = np.bincount(folds.assignment)
    assert np.ptp(sizes) <= 3
    assert folds == grouped_folds(groups, 5, seed)
    assert folds != grouped_folds(groups, 5, seed + 1)


def test_too_few_groups_are_refused():
    with pytest.raises(PyhpcError, match="2 groups cannot make 5 folds"):
        grouped_folds(["a", "b", "a"], 5)
    with pytest.raises(PyhpcError, match="3 rows cannot make 5 folds"):
        random_folds(3, 5)


def test_each_cluster_is_left_out_once():
    clusters = ["b", "a", None, "b", "c", "", "a"]
    folds = leave_one_out_folds(clusters, min_size=2)
    assert folds.assignment.tolist() == [1, 0, -1, 1, -1, -1, 0]
    train, test = folds.rows(0)
    assert test.tolist() == [1, 6]
    assert train.tolist() == [0, 2, 3, 4, 5]
    with pytest.raises(PyhpcError, match="1 clusters"):
        leave_one_out_folds(["a", "a", "b"], min_size=2)


@pytest.mark.parametrize("seed", range(3))
def test_strata_are_shared_evenly_and_sizes_are_exact(seed):
    rng = np.random.default_rng(seed)
    first = rng.choice(["oxide", "sulfide", "halide"], size=203, p=[0.7, 0.25, 0.05]).tolist()
    second = rng.integers(3, size=203).tolist()
    singletons = list(range(203))
    for factors in ([first], [first, second], [first, second, singletons], [singletons]):
        folds = stratified_folds(factors, 5, seed)
        assert np.ptp(np.bincount(folds.assignment)) <= 1
        if factors[0] is first:
            for value in set(first):
                inside = folds.assignment[np.array(first) == value]
                counts = np.bincount(inside, minlength=5)
                assert np.ptp(counts) <= 1 + (len(factors) > 1)


def test_parts_of_unequal_size_are_exact_in_total_and_near_in_every_stratum():
    strata = ["a"] * 50 + ["b"] * 30 + ["c"] * 3 + ["d"]
    parts = deal([strata], [0.7, 0.2, 0.1], seed=3)
    assert np.bincount(parts).tolist() == [59, 17, 8]
    for stratum, size in (("a", 50), ("b", 30)):
        counts = np.bincount(parts[np.array(strata) == stratum], minlength=3)
        np.testing.assert_allclose(counts, np.array([0.7, 0.2, 0.1]) * size, atol=1.5)


def test_stratifying_takes_the_imbalance_out_of_folds():
    rare = np.array([1] * 10 + [0] * 190)
    even = stratified_folds([rare.tolist()], 5, 0).assignment
    assert np.bincount(even[rare == 1]).tolist() == [2] * 5


def test_clusters_of_rows_are_found():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [30, 20, 10])
    points = np.array([[0, 0], [8, 0], [0, 8]])[truth] + rng.normal(size=(60, 2))
    table = pa.table({"a": points[:, 0], "b": points[:, 1], "constant": np.ones(60)})
    found = feature_clusters(table, ["a", "b", "constant"], 3)
    np.testing.assert_array_equal(found, truth)


def test_target_tails_are_the_lowest_and_the_highest():
    rng = np.random.default_rng(0)
    values = rng.permutation(200) / 7.0
    folds = target_tail_folds(values, 0.1)
    assert [len(rows[1]) for rows in folds] == [20, 20]
    low, high = (values[rows[1]] for rows in folds)
    inside = values[folds.assignment == -1]
    assert low.max() < inside.min()
    assert high.min() > inside.max()
    # Each tail is predicted by models that have seen nothing beyond its inner end.
    assert values[folds.rows(1)[0]].max() < high.min()


def test_ties_at_the_end_of_a_tail_belong_to_it():
    folds = target_tail_folds([1, 1, 1, 1, 2, 3, 4, 5, 6, 7], 0.2)
    assert folds.assignment.tolist() == [0, 0, 0, 0, -1, -1, -1, -1, 1, 1]


@pytest.mark.parametrize(("values", "share"), [([1.0] * 10, 0.1), (range(10), 0.5), ([], 0.1)])
def test_tails_that_meet_are_refused(values, share):
    with pytest.raises(PyhpcError, match=r"tails|lowest"):
        target_tail_folds(list(values), share)


def test_share_deviations():
    folds = Folds("by hand", np.array([0, 0, 0, 0, 1, 1, 1, 1, -1]))
    factor = ["a", "a", "a", "b", "b", "b", "b", "a", "c"]
    np.testing.assert_allclose(share_deviations(folds, factor), [0.25, 0.25])
    np.testing.assert_allclose(share_deviations(folds, [*"aabbaabb", "c"]), [0, 0])


def test_stratified_folds_are_more_alike_than_random_ones_in_every_factor():
    rng = np.random.default_rng(3)
    factors = [rng.integers(5, size=1000), rng.integers(7, size=1000), rng.random(1000) < 0.1]
    made, drawn = stratified_folds(factors, 5, 1), random_folds(1000, 5, 1)
    for factor in factors:
        assert share_deviations(made, factor).max() < share_deviations(drawn, factor).max()
