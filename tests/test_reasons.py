"""Reasons as columns say what lists of them would."""

from __future__ import annotations

import pickle
from itertools import product

import numpy as np
import pytest

from pyhpc.reasons import Reasons
from pyhpc.records import OUTCOMES, Outcome, Reason, worst

KINDS = [
    Reason(code, "parse", outcome, f"{code} is {outcome}")
    for code, outcome in product("ab", Outcome)
]


def lists(random, count):
    """Reasons of records, of which many have none."""
    found = {}
    for record in range(count):
        if said := [KINDS[k] for k in random.integers(len(KINDS), size=random.integers(4))]:
            found[record] = said
    return found


@pytest.fixture
def random():
    return np.random.default_rng(20261122)


def test_it_is_the_mapping_that_it_was_made_of(random):
    found = lists(random, 50)
    shuffled = {k: found[k] for k in random.permutation(list(found)).tolist()}
    for reasons in (Reasons.of(found), Reasons.of(shuffled)):
        assert dict(reasons) == found
        assert list(reasons) == list(found)
        assert len(reasons) == len(found) < 50
    missing = next(k for k in range(50) if k not in found)
    assert reasons.get(missing) is None
    assert reasons.get(50) is None
    assert missing not in reasons
    assert Reasons.of(reasons) is reasons
    assert dict(pickle.loads(pickle.dumps(reasons))) == found


def test_facts_are_said_in_turn():
    facts = [(np.array([4, 7]), KINDS[0]), ((7,), KINDS[1]), ([], KINDS[2]), ([0, 7], KINDS[0])]
    expected = {0: [KINDS[0]], 4: [KINDS[0]], 7: [KINDS[0], KINDS[1], KINDS[0]]}
    assert dict(Reasons.gather(facts)) == expected


def test_parts_are_joined_in_turn(random):
    first, second = lists(random, 50), lists(random, 30)
    places = np.sort(random.choice(50, 30, replace=False))
    joined = Reasons.join([Reasons.of(first), Reasons.of(second).at(places)])
    expected = {k: list(said) for k, said in first.items()}
    for k, said in second.items():
        expected.setdefault(int(places[k]), []).extend(said)
    assert dict(joined) == expected


def test_outcome_of_a_record_is_the_worst_of_its_reasons(random):
    found = lists(random, 50)
    outcomes = Reasons.of(found).outcomes(52)
    assert [OUTCOMES[k] for k in outcomes] == [worst(found.get(k, [])) for k in range(52)]
    assert set(outcomes.tolist()) == {0, 1, 2}


def test_order_of_appearance_hides_how_they_were_joined(random):
    found = lists(random, 50)
    halves = [{k: v for k, v in found.items() if (k < 20) is first} for first in (False, True)]
    whole = Reasons.of(found).by_appearance()
    # Of nobody, and it shall not show.
    nobody = Reasons.gather([((), Reason("c", "parse", Outcome.OK, "nobody"))])
    for parts in (halves, halves[::-1]):
        joined = Reasons.join([nobody, *map(Reasons.of, parts)]).by_appearance()
        assert joined.distinct == whole.distinct
        assert joined.said.tolist() == whole.said.tolist()
        assert dict(joined) == found
    assert whole.said[0] == 0


def test_nothing_may_be_said():
    for reasons in (Reasons.of({}), Reasons.join([]), Reasons.gather([])):
        assert reasons == {}
        assert reasons.by_appearance() == {}
        assert reasons.at(np.array([], np.int64)) == {}
        assert reasons.outcomes(3).tolist() == [0, 0, 0]
        assert reasons.outcomes(0).tolist() == []
