"""What the headers of a request say about it."""

import pytest

from serving.contract import Traffic
from serving.http.edge import caller_of


@pytest.mark.parametrize(
    ("headers", "traffic"),
    [
        ([], Traffic.LIVE),
        ([(b"host", b"intent.example")], Traffic.LIVE),
        ([(b"host", b"intent.example-shadow")], Traffic.SHADOW),
        ([(b"host", b"127.0.0.1-shadow:8000")], Traffic.SHADOW),
        ([(b"host", b"127.0.0.1:8000-shadow")], Traffic.SHADOW),
        ([(b"host", b"my-shadow.example")], Traffic.LIVE),
        ([(b"x-serin-traffic", b"shadow")], Traffic.SHADOW),
        ([(b"x-serin-traffic", b"live")], Traffic.LIVE),
    ],
)
def test_mirrored_requests_are_recognised(headers: list[tuple[bytes, bytes]], traffic: Traffic) -> None:
    """Envoy appends -shadow to the Host of what it mirrors, behind the port if there is one."""
    assert caller_of(headers).traffic is traffic


def test_a_given_request_id_is_kept() -> None:
    assert caller_of([(b"x-request-id", b"abc-1")]).request_id == "abc-1"


@pytest.mark.parametrize("given", [None, b"", b"a b", b"x" * 129, b"caf\xc3\xa9", b"a\tb"])
def test_an_unusable_request_id_is_replaced(given: bytes | None) -> None:
    headers = [] if given is None else [(b"x-request-id", given)]
    first, second = caller_of(headers).request_id, caller_of(headers).request_id
    assert first != second
    assert len(first) == 36
