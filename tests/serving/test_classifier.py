"""What a worker makes of its jobs, and how one that fails leaves the others alone."""

from collections.abc import Sequence

from serving.batching import Batcher, Pace
from serving.classifier import Work
from serving.link import Inbox, Job, Outcome, Row
from serving.tokenizer import TokenizedText


class Engine:
    """Answers with the text's length, refuses ``poison``, and remembers the size of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        if "untokenizable" in texts:
            raise RuntimeError("no")
        return [TokenizedText(tuple(map(ord, text)), len(text), 0) for text in texts]

    def predict(self, batch: Sequence[TokenizedText]) -> list[Row]:
        self.calls.append(len(batch))
        if tuple(map(ord, "poison")) in [text.ids for text in batch]:
            raise RuntimeError("no")
        return [(b"{}", text.tokens, 0, False) for text in batch]


def work(texts_max: int = 8) -> tuple[Work, Engine]:
    engine = Engine()
    return Work(Batcher(Pace(), texts_max, 1.0), engine.tokenize, engine.predict), engine


def finished(doing: Work) -> dict[int, Outcome]:
    outcomes = []
    while doing.waiting:
        outcomes += doing.run()
    return {outcome.uid: outcome for outcome in [*outcomes, *doing.run()]}


def lengths(outcome: Outcome) -> list[int]:
    return [row[1] for row in outcome.rows]


def test_each_job_gets_its_own_rows_in_its_own_order() -> None:
    doing, _ = work()
    doing.take_in(Inbox([Job(1, ("x",)), Job(2, ("xxxxxx", "x" * 90, "xx"))]))
    outcomes = finished(doing)
    assert {uid: lengths(outcome) for uid, outcome in outcomes.items()} == {1: [1], 2: [6, 90, 2]}


def test_a_job_larger_than_a_call_goes_in_pieces() -> None:
    doing, engine = work(texts_max=2)
    doing.take_in(Inbox([Job(1, tuple("12345"))]))
    assert len(finished(doing)[1].rows) == 5
    assert engine.calls == [2, 2, 1]


def test_a_job_that_fails_does_not_fail_its_company() -> None:
    doing, _ = work()
    doing.take_in(Inbox([Job(1, ("a",)), Job(2, ("fine", "poison", "fine")), Job(3, ("c",))]))
    outcomes = finished(doing)
    assert {uid: outcome.error for uid, outcome in outcomes.items()} == {1: None, 2: "the engine failed", 3: None}


def test_a_text_that_cannot_be_tokenized_fails_its_own_job() -> None:
    doing, _ = work()
    doing.take_in(Inbox([Job(1, ("a",)), Job(2, ("untokenizable",))]))
    outcomes = finished(doing)
    assert {uid: outcome.error for uid, outcome in outcomes.items()} == {1: None, 2: "the tokenizer failed"}


def test_a_job_that_nobody_waits_for_is_not_computed() -> None:
    doing, engine = work()
    doing.take_in(Inbox([Job(1, ("gone",)), Job(2, ("a",))], cancelled=[1]))
    assert finished(doing).keys() == {2}
    assert engine.calls == [1]


def test_a_job_that_is_cancelled_in_the_middle_has_no_outcome() -> None:
    doing, engine = work(texts_max=1)
    doing.take_in(Inbox([Job(1, ("a", "b", "c"))]))
    doing.run()
    doing.take_in(Inbox(cancelled=[1]))
    assert finished(doing) == {}
    assert engine.calls == [1]
