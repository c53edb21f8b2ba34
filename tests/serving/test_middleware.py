"""What the headers of a request say about it."""

import pytest

from serving.contract import USER_PARTS, Traffic, part_of_user
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


def test_of_whom_a_request_is_tells_the_header_that_the_gateway_sets() -> None:
    """Of copies nobody asks: they are of users of another version."""
    headers = [(b"x-serin-user", b"ada")]
    assert caller_of(headers, Traffic.LIVE).part == part_of_user(b"ada")
    assert caller_of(headers, Traffic.SHADOW).part is None
    assert caller_of([(b"x-serin-user", b"")], Traffic.LIVE).part is None
    assert caller_of([], Traffic.LIVE).part is None


def test_users_fall_into_parts_of_like_size() -> None:
    parts = [part_of_user(b"user-%d" % number) for number in range(1_600)]
    assert {60 <= parts.count(part) <= 140 for part in range(USER_PARTS)} == {True}
