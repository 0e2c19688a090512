"""Tasks of a round share the shards without talking to each other."""

from __future__ import annotations

import pytest

from pyhpc.errors import PyhpcError
from pyhpc.executors.rounds import Round, Share, Spans
from pyhpc.shards import Output


@pytest.fixture
def output(tmp_path):
    made = Output(tmp_path)
    made.make()
    return made


def make_round(count, tasks, isolated=()):
    return Round("r", 1, Spans.of(range(count)), frozenset(isolated), tasks)


def begin(output, trial):
    output.attempt(trial.index, trial.attempt).touch(exist_ok=False)


def finish(output, index):
    output.manifest(index).touch()


def test_spans_are_what_they_were_made_of():
    numbers = [0, 1, 2, 5, 7, 8, 9, 20]
    spans = Spans.of(numbers)
    assert len(spans.ranges) == 4
    assert list(spans) == numbers
    assert [spans[k] for k in range(-8, 8)] == [numbers[k] for k in range(-8, 8)]
    assert list(spans[1::3]) == numbers[1::3]
    assert list(spans[1:][::-2]) == numbers[1:][::-2]
    with pytest.raises(IndexError):
        spans[8]
    assert len(Spans.of([])) == 0
    assert len(Spans([range(10**9)])[3::1000]) == 10**6


def test_round_file_gives_the_round_back(tmp_path):
    one = Round("abc", 3, Spans.of([1, 2, 9]), frozenset([9]), 2)
    (tmp_path / "r.json").write_bytes(one.encode())
    again = Round.load(tmp_path / "r.json")
    assert again.encode() == one.encode()
    (tmp_path / "r.json").write_bytes(one.encode()[:-9])
    for path in (tmp_path / "r.json", tmp_path / "none.json"):
        with pytest.raises(PyhpcError, match=f"round file {path} is missing or damaged"):
            Round.load(path)


@pytest.mark.parametrize(("count", "tasks"), [(1, 1), (7, 3), (64, 5), (100, 1)])
def test_shares_cover_all_once(count, tasks):
    one = make_round(count, tasks)
    shares = [list(one.share(task)) for task in range(tasks)]
    assert sorted(index for share in shares for index in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("alive", [[0], [2, 0], [0, 1, 2, 3]])
def test_those_alive_do_the_work_of_those_who_are_not_and_none_twice(output, alive):
    """In any order of steps: what is begun in a round is begun once."""
    one = make_round(50, 4)
    trials = [iter(Share(output, one, task)) for task in alive]
    begun = []
    while trials:
        for trial in list(trials):
            step = next(trial, None)
            if step is None:
                trials.remove(trial)
            else:
                begin(output, step)
                begun.append(step.index)
                finish(output, step.index)
    assert sorted(begun) == list(range(50))


def test_helpers_leave_what_another_is_at(output):
    one = make_round(12, 2)
    owner = iter(Share(output, one, 1))
    at = next(owner)
    begin(output, at)
    helped = []
    for trial in Share(output, one, 0):
        begin(output, trial)
        finish(output, trial.index)
        helped.append(trial.index)
    assert at.index == 1
    assert helped == [0, 2, 4, 6, 8, 10, 11, 9, 7, 5, 3]


def test_restarted_task_does_again_what_its_former_self_had_begun(output):
    one = make_round(12, 2)
    former = iter(Share(output, one, 0))
    for _ in range(3):
        trial = next(former)
        begin(output, trial)
    finish(output, 0)
    # Another has helped at the end of the share, and is still at it.
    output.attempt(10, "r").touch()
    again = [(trial.index, trial.attempt) for trial in Share(output, one, 0, restarts=1)]
    assert again[:4] == [(2, "r.1"), (4, "r.1"), (6, "r"), (8, "r")]
    assert 10 not in [index for index, _ in again]


def test_looks_are_few_where_all_is_done(output, monkeypatch):
    one = make_round(4096, 2)
    for index in range(4096):
        finish(output, index)
    looks = []
    plain = Share._is_touched
    monkeypatch.setattr(Share, "_is_touched", lambda *a: looks.append(a) or plain(*a))
    share = Share(output, one, 0)
    assert list(share._help(one.share(1))) == []
    assert len(looks) <= 2 * 12


def test_isolated_shards_are_marked(output):
    marked = [t.index for t in Share(output, make_round(6, 1, isolated=[2, 3]), 0) if t.isolated]
    assert marked == [2, 3]
