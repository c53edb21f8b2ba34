"""How large a share of the requests is sampled is the controller's to say, while everything runs; nothing that anybody
answers in its place harms a replica."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.contract import is_sampled, request_of
from serving.observe.capture import Capture, encode_batch
from serving.observe.receiver import ANSWER_BYTES_MAX, Receiver, Reply, asked_ratio
from serving.settings import CaptureSettings
from tests.serving.replica import until
from tests.serving.test_capture import Counts, counts, prediction, receiver
from tests.serving.test_capture import Receiver as Controller

__all__ = ["counts", "receiver"]  # fixtures


def test_the_answer_to_a_batch_says_how_much_is_sampled_from_then_on(receiver: Controller, counts: Counts) -> None:
    capture = Capture(CaptureSettings(url=receiver.url), counts)
    capture.start()
    until(lambda: receiver.asks == 1, "it asked when it was started")
    assert capture.ratio_told == 1.0
    receiver.answer = b'{"received": 1, "new": 1, "capture_ratio": 0.25}'
    capture.offer(prediction(1))
    until(lambda: capture.ratio_told == 0.25, "the answer is followed")
    receiver.answer = b'{"received": 1, "new": 1, "capture_ratio": 0.5}'
    capture.offer(prediction(2))
    until(lambda: capture.ratio_told == 0.5, "up as well as down")
    capture.stop(5)


def test_who_has_nothing_to_send_hears_of_a_greater_share(receiver: Controller, counts: Counts) -> None:
    """At a share of 0 no request leads to an answer: an empty batch does."""
    receiver.answer = b'{"capture_ratio": 0}'
    capture = Capture(CaptureSettings(url=receiver.url), counts, asks_every_s=0.02)
    capture.start()
    until(lambda: capture.ratio_told == 0, "it is told as soon as it is started")
    assert not any(capture.chance_of(str(number)) for number in range(100))
    receiver.answer = b'{"capture_ratio": 1}'
    until(lambda: capture.ratio_told == 1, "it asks again")
    capture.stop(5)
    assert counts.taken == 0
    assert not counts.lost


def test_without_an_answer_the_last_share_stays(receiver: Controller, counts: Counts) -> None:
    receiver.answer = b'{"capture_ratio": 0.5}'
    capture = Capture(CaptureSettings(url=receiver.url), counts, asks_every_s=0.02)
    capture.start()
    until(lambda: capture.ratio_told == 0.5, "it is told")
    for answer in (b"", b'{"received": 0, "new": 0}', b'{"received": 0, "new": 0, "other": 3}'):
        receiver.answer, asked = answer, receiver.asks
        until(lambda asked=asked: receiver.asks > asked + 1, "an older controller answered")  # type: ignore[misc]
        assert capture.ratio_told == 0.5
    receiver.shutdown()
    receiver.server_close()
    capture.stop(5)
    assert capture.ratio_told == 0.5


def test_a_sample_bears_the_chance_that_it_was_chosen_by(counts: Counts) -> None:
    capture = Capture(CaptureSettings("http://127.0.0.1:9", 0.5), counts)
    chosen = {name: capture.chance_of(name) for name in map(str, range(200))}
    assert set(chosen.values()) == {0.0, 0.5}
    capture.ratio = 0.25
    fewer = {name: capture.chance_of(name) for name in chosen}
    assert set(fewer.values()) == {0.0, 0.25}
    assert {name for name in fewer if fewer[name]} < {name for name in chosen if chosen[name]}


def test_an_id_that_looks_like_a_lists_is_sampled_as_whoever_reads_it_takes_it(counts: Counts) -> None:
    """A caller may give any id: what thins the sample out later comes to the same choice."""
    capture = Capture(CaptureSettings("http://127.0.0.1:9", 0.5), counts)
    for number in range(50):
        assert capture.chance_of(f"mine-{number}/7") == capture.chance_of(f"mine-{number}")


ratios = st.floats(0, 1, allow_nan=False)


@given(first=ratios, second=ratios, ids=st.lists(st.text(min_size=1), max_size=30))
def test_two_shares_meet_in_the_smaller_one(first: float, second: float, ids: list[str]) -> None:
    """So pairs survive a change of the share: what both sampled is just the sample of the smaller one."""
    both = [one for one in ids if is_sampled(one, first) and is_sampled(one, second)]
    assert both == [one for one in ids if is_sampled(one, min(first, second))]


@given(path=st.lists(ratios, min_size=1, max_size=6), ids=st.lists(st.uuids().map(str), max_size=30))
def test_pairs_survive_whatever_either_version_was_told(path: list[float], ids: list[str]) -> None:
    """Two versions follow the same shares, one a step behind: each pair's chance is the smaller of the two."""
    live, shadow = Capture(CaptureSettings("http://h"), Counts()), Capture(CaptureSettings("http://h"), Counts())
    for ahead, behind in zip(path, [1.0, *path], strict=False):
        live.ratio, shadow.ratio = ahead, behind
        paired = [one for one in ids if live.chance_of(one) and shadow.chance_of(one)]
        assert paired == [one for one in ids if is_sampled(one, min(ahead, behind))]


@pytest.mark.parametrize(
    ("sample", "request_id"),
    [
        ("r-1", "r-1"),
        ("r-1/0", "r-1"),
        ("r-1/255", "r-1"),
        ("a/b", "a/b"),
        ("/3", "/3"),
        ("a/1/2", "a/1"),
        ("a/", "a/"),
    ],
)
def test_the_answers_to_a_list_are_samples_of_one_request(sample: str, request_id: str) -> None:
    assert request_of(sample) == request_id


# --- hostile answers --------------------------------------------------------------------------------------------------
HOSTILE = [
    b'{"capture_ratio": NaN}',
    b'{"capture_ratio": Infinity}',
    b'{"capture_ratio": 2.0}',
    b'{"capture_ratio": -1}',
    b'{"capture_ratio": 1e-300}',
    b'{"capture_ratio": "0.5"}',
    b'{"capture_ratio": true}',
    b'{"capture_ratio": [0.5]}',
    b'{"capture_ratio": %b}' % (b"9" * 5_000),
    b'{"capture_ratio": 0.5, "capture_ratio": 0.1}',
    b"[0.5]",
    b"0.5",
    b"not JSON",
    b"\xff\xfe0.5",
    b"[" * 8_000,
    b'{"a":' * 2_000,
    b"<html>",
]


@pytest.mark.parametrize("answer", HOSTILE, ids=lambda answer: ascii(answer[:28]))
def test_what_is_no_answer_of_a_controllers_changes_nothing(
    answer: bytes, receiver: Controller, caplog: pytest.LogCaptureFixture
) -> None:
    """The predictions were taken; a line says what is odd, once."""
    receiver.answer = answer
    end = Receiver(receiver.url, None)
    with caplog.at_level(logging.WARNING):
        found = [end.post(encode_batch([prediction(number)])) for number in range(3)]
    end.close()
    assert [(one.reply, one.ratio) for one in found] == [(Reply.TAKEN, None)] * 3
    assert len(receiver.bodies) == 3
    assert len(caplog.records) == 1
    assert len(caplog.text) < 600


def test_what_changes_nothing_leaves_the_share_as_it_was(receiver: Controller, counts: Counts) -> None:
    receiver.answer = b'{"capture_ratio": NaN}'
    capture = Capture(CaptureSettings(url=receiver.url, ratio=0.5), counts)
    capture.start()
    capture.offer(prediction(1))
    until(lambda: counts.taken == 1, "it is taken")
    capture.stop(5)
    assert capture.ratio_told == 0.5


@pytest.mark.parametrize(
    ("body", "ratio"),
    [(b"", None), (b"{}", None), (b'{"capture_ratio": null}', None), (b'{"capture_ratio": 1}', 1.0),
     (b'{"capture_ratio": 1e-6}', 1e-6)],
)  # fmt: skip
def test_what_an_answer_asks_for(body: bytes, ratio: float | None) -> None:
    assert asked_ratio(body) == ratio


@contextmanager
def answering(*parts: bytes, hold: threading.Event | None = None) -> Iterator[str]:
    """A server that sends these bytes to whoever connects, and then holds the connection until it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                for part in parts:
                    connection.sendall(part)
                if hold is not None:
                    hold.wait(20)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    if hold is not None:
        hold.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_an_answer_without_end_is_read_no_further_than_a_controllers() -> None:
    """16 GB are announced, and some come: no more than the longest answer of a controller's is kept."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 16000000000\r\n\r\n"
    with answering(head, b'{"capture_ratio": 0.5,', b" " * (4 * ANSWER_BYTES_MAX), hold=threading.Event()) as url:
        answer = Receiver(url, None).post(b"{}")
    assert (answer.reply, answer.ratio) == (Reply.TAKEN, None)


def test_an_answer_that_does_not_come_to_its_end_is_given_up() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n"
    with answering(head, b'{"capture_ratio": 0.5', hold=threading.Event()) as url:
        answer = Receiver(url, None, timeout_s=0.1).post(b"{}")
    assert (answer.reply, answer.ratio) == (Reply.TRY_AGAIN, None)


def test_no_request_waits_for_an_answer_that_hangs(counts: Counts) -> None:
    with answering(hold=threading.Event()) as url:
        capture = Capture(CaptureSettings(url=url), counts, queue_max=5)
        capture.start()
        for number in range(50):
            capture.offer(prediction(number))
            assert capture.chance_of(str(number)) == 1.0
        assert counts.lost
        capture.stop(0)
