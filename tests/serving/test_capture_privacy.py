"""What leaves with a sampled prediction: a digest, a text only where it was asked for, and that redacted."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.contract import text_digest
from serving.observe.capture import Capture
from serving.settings import CaptureSettings
from tests.serving.replica import until
from tests.serving.test_capture import Counts, Receiver, counts, prediction, receiver

__all__ = ["counts", "receiver"]  # fixtures

TEXT = "I am john@example.com, card 4111 1111 1111 1111"


def sent(receiver: Receiver, counts: Counts, settings: CaptureSettings, text: str | None) -> dict[str, object]:
    capture = Capture(settings, counts)
    capture.start()
    capture.offer(prediction(1, text))
    until(lambda: counts.taken == 1, "it is delivered")
    capture.stop(5)
    found: dict[str, object] = receiver.bodies[0]["predictions"][0]
    return found


def test_a_text_leaves_redacted(receiver: Receiver, counts: Counts) -> None:
    entry = sent(receiver, counts, CaptureSettings(receiver.url, with_text=True), TEXT)
    assert entry["text"] == "I am <EMAIL>, card <CARD>"


def test_a_text_that_came_this_far_unasked_does_not_leave(receiver: Receiver, counts: Counts) -> None:
    assert "text" not in sent(receiver, counts, CaptureSettings(receiver.url), TEXT)


def failing() -> object:
    def recognise(text: str) -> Iterator[object]:
        raise RuntimeError(text)

    return recognise


def test_where_redaction_fails_the_text_stays_and_is_in_no_log(
    receiver: Receiver, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Capture(CaptureSettings(receiver.url, with_text=True), counts)
    capture._redactor = type(capture._redactor or object)((failing(),))  # type: ignore[call-arg]
    capture.start()
    with caplog.at_level(logging.DEBUG):
        capture.offer(prediction(1, TEXT))
        until(lambda: counts.taken == 1, "it is delivered all the same")
    capture.stop(5)
    assert "text" not in receiver.bodies[0]["predictions"][0]
    assert "RuntimeError" in caplog.text
    assert "john" not in caplog.text


def test_the_token_is_sent_and_may_be_renewed_without_a_restart(
    receiver: Receiver, counts: Counts, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    capture = Capture(CaptureSettings(receiver.url, token_file=file), counts)
    capture.start()
    for number, token in enumerate(("first", "second"), start=1):
        file.write_text(token + "\n")
        capture.offer(prediction(number))
        until(lambda: counts.taken == number, "it is delivered")  # noqa: B023
    capture.stop(5)
    assert receiver.authorizations == ["Bearer first", "Bearer second"]


def test_equal_texts_are_recognised_by_their_digests_and_guesses_are_not_without_the_key() -> None:
    assert text_digest(TEXT, b"k") == text_digest(TEXT, b"k") != text_digest(TEXT, b"l")
