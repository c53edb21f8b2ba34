"""What the headers of a request say about it."""

import pytest

from serving.contract import Traffic
from serving.http.middleware import caller_of


def test_a_given_request_id_is_kept() -> None:
    assert caller_of([(b"x-request-id", b"abc-1")], Traffic.LIVE).request_id == "abc-1"


@pytest.mark.parametrize("given", [None, b"", b"a b", b"x" * 129, b"caf\xc3\xa9", b"a\tb"])
def test_an_unusable_request_id_is_replaced(given: bytes | None) -> None:
    headers = [] if given is None else [(b"x-request-id", given)]
    first, second = caller_of(headers, Traffic.LIVE).request_id, caller_of(headers, Traffic.SHADOW).request_id
    assert first != second
    assert len(first) == 36


def test_only_on_the_port_for_copies_is_a_request_a_question_of_the_controller() -> None:
    """A user who says so is sampled as all others."""
    headers = [(b"x-serin-question", b"1")]
    assert caller_of(headers, Traffic.SHADOW).is_question
    assert not caller_of(headers, Traffic.LIVE).is_question
    assert not caller_of([], Traffic.SHADOW).is_question
