"""What a worker makes of its jobs, and how one that fails leaves the others alone."""

from collections.abc import Sequence

import numpy as np

from serving.inference.batching import Batcher, Pace
from serving.inference.classifier import Work
from serving.inference.heads import Floats
from serving.inference.tokenizer import TokenizedText
from serving.ipc.worker_end import Inbox
from serving.messages import Job, Outcome, Row
from serving.settings import Limits


def _tokenized(first: str, *windows: str) -> TokenizedText:
    ids, *more = (tuple(map(ord, window)) for window in (first, *windows))
    return TokenizedText(ids, len(ids) + sum(map(len, more)), 0, tuple(more))


class Engine:
    """Answers with the length of all rows, refuses ``poison``, and remembers the size of each call.

    In its texts a bar is where a window ends.
    """

    def __init__(self) -> None:
        self.calls: list[int] = []

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        if "untokenizable" in texts:
            raise RuntimeError("no")
        return [_tokenized(*text.split("|")) for text in texts]

    def predict(self, rows: Sequence[TokenizedText]) -> Sequence[Floats]:
        self.calls.append(len(rows))
        if tuple(map(ord, "poison")) in [row.ids for row in rows]:
            raise RuntimeError("no")
        return np.array([[float(len(row.ids))] for row in rows])

    def answer(self, text: TokenizedText, numbers: Sequence[Floats]) -> Row:
        if text.ids == tuple(map(ord, "unanswerable")):
            raise RuntimeError("no")
        found = b"%d" % sum(int(number[0]) for number in numbers)
        return found, text.tokens, 0, text.truncated, text.rows


def work(texts_max: int = 8, windows_max: int = 4, texts_of_a_request: int = 256) -> tuple[Work, Engine]:
    engine, limits = Engine(), Limits(texts_max=texts_of_a_request, windows_max=windows_max)
    return Work(Batcher(Pace(), texts_max, 1.0), engine, limits), engine


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


def test_the_windows_of_a_text_are_rows_like_others_and_become_one_answer() -> None:
    doing, engine = work(texts_max=2)
    doing.take_in(Inbox([Job(1, ("aaaa|bbb|cc", "d")), Job(2, ("eee",))]))
    outcomes = finished(doing)
    assert [row[0] for row in outcomes[1].rows] == [b"9", b"1"]
    assert [row[4] for row in outcomes[1].rows] == [3, 1]
    assert [row[0] for row in outcomes[2].rows] == [b"3"]
    assert sum(engine.calls) == 5
    assert max(engine.calls) == 2, "windows are no way around the limit of a call"


def test_a_short_text_overtakes_the_windows_of_a_long_one() -> None:
    """One huge text is no wall: its windows are due one after the other."""
    doing, _ = work(texts_max=1)
    doing.take_in(Inbox([Job(1, ("|".join(["x" * 64] * 4),))]))
    doing.take_in(Inbox([Job(2, ("short",))]))
    assert [outcome.uid for outcome in doing.run() + doing.run()] == [2]
    assert finished(doing).keys() == {1}


def test_a_text_of_too_many_windows_is_refused_before_it_costs_anything() -> None:
    doing, engine = work(windows_max=4)
    doing.take_in(Inbox([Job(1, ("fine", "a|b|c|d|e")), Job(2, ("a|b|c|d",))]))
    outcomes = finished(doing)
    assert (outcomes[1].too_long, outcomes[1].rows) == ((1, 5), ())
    assert outcomes[2].too_long is None
    assert sum(engine.calls) == 4


def test_windows_count_like_texts_of_the_request() -> None:
    """A list of long texts is no way around what a list of short ones may cost."""
    doing, engine = work(windows_max=4, texts_of_a_request=8)
    doing.take_in(Inbox([Job(1, ("a|b|c|d", "e|f|g", "h|i")), Job(2, ("a|b|c|d", "e|f|g|h"))]))
    outcomes = finished(doing)
    assert outcomes[1].too_long == (None, 9)
    assert len(outcomes[2].rows) == 2
    assert sum(engine.calls) == 8


def test_an_answer_that_cannot_be_made_fails_its_own_job_only() -> None:
    doing, _ = work()
    doing.take_in(Inbox([Job(1, ("unanswerable",)), Job(2, ("b",))]))
    outcomes = finished(doing)
    assert {uid: outcome.error for uid, outcome in outcomes.items()} == {1: "the engine failed", 2: None}
