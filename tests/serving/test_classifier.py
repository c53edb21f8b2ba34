"""How waiting jobs become engine calls, and how one that fails leaves the others alone."""

import math
from collections import deque
from collections.abc import Sequence

from serving.classifier import answer_jobs, take
from serving.link import Job, Row


def job(uid: str, *texts: str, expires_at_s: float = math.inf) -> Job:
    return Job(uid, texts or (uid,), expires_at_s)


class Engine:
    """Answers with the text's length, refuses ``poison``, and remembers the size of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, texts: Sequence[str]) -> list[Row]:
        self.calls.append(len(texts))
        if "poison" in texts:
            raise RuntimeError("no")
        return [Row((1.0,), len(text), 0, False) for text in texts]


def test_a_batch_takes_the_oldest_that_fit() -> None:
    waiting = deque([job("a"), job("b", "1", "2"), job("c"), job("d")])
    assert [taken.uid for taken in take(waiting, 4)] == ["a", "b", "c"]
    assert [left.uid for left in waiting] == ["d"]


def test_a_job_larger_than_a_batch_goes_alone_and_in_pieces() -> None:
    waiting = deque([job("a", *"12345"), job("b")])
    engine = Engine()
    (outcome,) = answer_jobs(take(waiting, 2), engine.predict, 2)
    assert len(outcome.rows) == 5
    assert engine.calls == [2, 2, 1]


def test_each_job_gets_its_own_rows_in_its_own_order() -> None:
    outcomes = answer_jobs([job("a", "x"), job("b", "xx", "xxx")], Engine().predict, 8)
    assert {outcome.uid: [row.tokens for row in outcome.rows] for outcome in outcomes} == {"a": [1], "b": [2, 3]}


def test_a_job_that_fails_does_not_fail_its_company() -> None:
    outcomes = answer_jobs([job("a"), job("bad", "poison"), job("c")], Engine().predict, 8)
    assert {outcome.uid: outcome.error for outcome in outcomes} == {"a": None, "bad": "the engine failed", "c": None}


def test_a_job_that_nobody_waits_for_is_not_computed() -> None:
    engine = Engine()
    outcomes = answer_jobs([job("late", expires_at_s=0.0), job("a")], engine.predict, 8)
    assert engine.calls == [1]
    assert {outcome.uid for outcome in outcomes if outcome.error} == {"late"}
