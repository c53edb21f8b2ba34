"""Which texts share an engine call."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.inference.batching import CALL_COST_TOKENS, PATIENCE_RATIO, WINDOWS_SHARE_MIN, Batcher, Pace, Piece
from serving.inference.tokenizer import TokenizedText

TOKEN_S = 0.001


def text(tokens: int) -> TokenizedText:
    return TokenizedText((7,) * tokens, tokens, 0)


def batcher(texts_max: int = 4, call_s_max: float = 1.0) -> Batcher:
    pace = Pace()
    pace.token_s = TOKEN_S
    return Batcher(pace, texts_max, call_s_max)


def lengths(pieces: Sequence[Piece]) -> list[int]:
    return [len(piece.text.ids) for piece in pieces]


def uids(pieces: Sequence[Piece]) -> list[int]:
    return [piece.task.uid for piece in pieces]


def test_texts_of_like_length_go_together() -> None:
    """Padding eats what large batches win."""
    waiting = batcher()
    for uid, tokens in enumerate((10, 200, 12, 190, 11)):
        waiting.add(uid, [text(tokens)], 0.0)
    assert lengths(waiting.take()) == [10, 11, 12]
    assert lengths(waiting.take()) == [190, 200]
    assert len(waiting) == 0


def test_a_little_padding_is_cheaper_than_another_call() -> None:
    waiting = batcher()
    waiting.add(1, [text(20)], 0.0)
    waiting.add(2, [text(20 + CALL_COST_TOKENS)], 0.0)
    waiting.add(3, [text(21 + 2 * CALL_COST_TOKENS)], 0.0)
    assert uids(waiting.take()) == [1, 2]


def test_a_short_text_overtakes_the_long_one_that_came_just_before_it() -> None:
    waiting = batcher()
    waiting.add(1, [text(400)], now_s=0.0)
    waiting.add(2, [text(10)], now_s=0.1)
    assert uids(waiting.take()) == [2]


def test_a_long_text_is_overtaken_for_a_bounded_time_only() -> None:
    """Short texts without end must not starve it: its place is fixed by when it came and what it costs."""
    waiting = batcher(texts_max=1)
    waiting.add(0, [text(400)], now_s=0.0)
    taken: list[int] = []
    for uid in range(1, 200):
        now_s = uid * 0.01
        waiting.add(uid, [text(10)], now_s)
        taken += uids(waiting.take())
        if 0 in taken:
            break
    assert 0 in taken
    assert now_s <= PATIENCE_RATIO * (400 + CALL_COST_TOKENS) * TOKEN_S


def test_a_long_list_is_no_wall_for_those_who_come_after_it() -> None:
    waiting = batcher(texts_max=2)
    waiting.add(1, [text(20)] * 50, now_s=0.0)
    waiting.add(2, [text(20)], now_s=0.1)
    calls = 0
    while 2 not in uids(waiting.take()):
        calls += 1
    assert calls <= 3


def test_one_call_takes_no_longer_than_it_may_but_always_one_text() -> None:
    waiting = batcher(texts_max=16, call_s_max=0.1)
    for uid in range(10):
        waiting.add(uid, [text(30)], 0.0)
    assert len(waiting.take()) == 3
    waiting = batcher(texts_max=16, call_s_max=0.1)
    waiting.add(1, [text(500)], 0.0)
    assert len(waiting.take()) == 1


def test_a_slower_engine_gets_smaller_calls() -> None:
    pace = Pace()
    waiting = Batcher(pace, 16, 0.05)
    sizes = []
    for took_s in (0.01, 0.1):
        for _ in range(100):
            pace.observe(100, took_s)
        for uid in range(16):
            waiting.add(uid, [text(20)], 0.0)
        sizes.append(len(waiting.take()))
        while len(waiting):
            waiting.take()
    assert sizes == [16, 2]


def test_a_version_that_pads_all_to_its_limit_gets_calls_for_what_that_costs() -> None:
    pace = Pace()
    pace.token_s = TOKEN_S
    waiting = Batcher(pace, 16, 0.5, lambda tokens: max(tokens, 256))
    for uid in range(4):
        waiting.add(uid, [text(5)], 0.0)
    assert len(waiting.take()) == 1


def test_a_cancelled_job_is_not_taken() -> None:
    waiting = batcher()
    waiting.add(1, [text(10)] * 3, 0.0)
    waiting.add(2, [text(10)], 0.0)
    waiting.cancel([1, 99])
    assert len(waiting) == 1
    assert uids(waiting.take()) == [2]


@given(
    st.lists(st.lists(st.integers(1, 512), min_size=1, max_size=5), min_size=1, max_size=30),
    st.integers(1, 16),
    st.floats(0.001, 2.0),
)
def test_every_text_is_taken_exactly_once(jobs: list[list[int]], texts_max: int, call_s_max: float) -> None:
    waiting = batcher(texts_max, call_s_max)
    for uid, tokens in enumerate(jobs):
        waiting.add(uid, [text(length) for length in tokens], uid * 0.01)
    taken: list[tuple[int, int]] = []
    while len(waiting):
        pieces = waiting.take()
        assert 1 <= len(pieces) <= texts_max
        assert len(pieces) == 1 or len(pieces) * max(lengths(pieces)) <= call_s_max / TOKEN_S
        taken += [(piece.task.uid, piece.index) for piece in pieces]
    assert sorted(taken) == [(uid, index) for uid, job in enumerate(jobs) for index in range(len(job))]


def test_the_pace_follows_what_calls_took() -> None:
    pace = Pace()
    for _ in range(100):
        pace.observe(200, 0.4)
    assert pace.token_s == pytest.approx(0.002, rel=0.01)


def longest_wait_of_short_texts_s(share: float, *, huge_texts: int = 2, windows: int = 31) -> float:
    """In simulated time: clients that send one text of many windows after the other, and a short text now and then."""
    waiting = batcher(texts_max=16, call_s_max=0.05)
    left = dict.fromkeys(range(huge_texts), 0)  # windows that a huge text still has
    arrived_s: dict[int, float] = {}
    waits_s: list[float] = []
    now_s, next_short_s, uid = 0.0, 1.0, 1000
    while now_s < 60:
        for huge in [huge for huge, windows_left in left.items() if not windows_left]:
            waiting.add(huge, [text(256)] * windows, now_s, share=share)
            left[huge] = windows
        while next_short_s <= now_s:
            arrived_s[uid] = next_short_s
            waiting.add(uid, [text(12)], next_short_s)
            next_short_s, uid = next_short_s + 0.7, uid + 1
        pieces = waiting.take()
        now_s += (sum(lengths(pieces)) + CALL_COST_TOKENS) * TOKEN_S
        for piece in pieces:
            if piece.task.uid in left:
                left[piece.task.uid] -= 1
            else:
                waits_s.append(now_s - arrived_s.pop(piece.task.uid))
    return max(waits_s)


def test_texts_of_many_windows_do_not_hold_up_short_ones() -> None:
    """Together they want more than the engine has; what they are owed must not grow into a wall."""
    one_window_s = (256 + CALL_COST_TOKENS) * TOKEN_S
    assert longest_wait_of_short_texts_s(WINDOWS_SHARE_MIN, huge_texts=6) < 2 * one_window_s
    assert longest_wait_of_short_texts_s(1.0, huge_texts=2) > 30 * one_window_s, "the share is what prevents it"
