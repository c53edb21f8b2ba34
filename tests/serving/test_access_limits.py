"""Limits for each client: rate, concurrency, and memory that stays bounded however many clients there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.access.address import Addresses
from serving.access.limits import ClientCounts
from serving.refusals import Refusal, RefusedError
from serving.settings import ClientLimits


class Time:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def enters(counts: ClientCounts, client: str = "a") -> bool:
    try:
        counts.enter(client)
    except RefusedError as error:
        return not (error.status == 429 and int(error.headers["retry-after"]) >= 1)
    return True


def test_a_burst_is_let_in_and_then_the_rate() -> None:
    clock = Time()
    counts = ClientCounts(ClientLimits(rate_per_s=2, burst=5), clock)
    assert sum(enters(counts) for _ in range(20)) == 5
    clock.now_s += 1.001
    assert sum(enters(counts) for _ in range(20)) == 2
    clock.now_s += 100
    assert sum(enters(counts) for _ in range(20)) == 5, "no more is saved up than a burst"


def test_each_client_has_a_rate_of_its_own() -> None:
    counts = ClientCounts(ClientLimits(rate_per_s=1), Time())
    assert enters(counts, "a")
    assert not enters(counts, "a")
    assert enters(counts, "b")


def test_who_waits_as_told_is_let_in() -> None:
    clock = Time()
    counts = ClientCounts(ClientLimits(rate_per_s=0.1), clock)
    assert enters(counts)
    with pytest.raises(RefusedError) as refused:
        counts.enter("a")
    assert refused.value.refusal is Refusal.RATE
    assert refused.value.headers["retry-after"] == "10"
    clock.now_s += 10
    assert enters(counts)


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    waits_s=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_nobody_gets_more_than_the_burst_and_the_rate_in_any_time(
    rate: float, burst: int, waits_s: list[float]
) -> None:
    clock = Time()
    counts = ClientCounts(ClientLimits(rate_per_s=rate, burst=burst), clock)
    taken_s: list[float] = []
    for wait_s in waits_s:
        clock.now_s += wait_s
        if enters(counts):
            taken_s.append(clock.now_s)
    for first in range(0, len(taken_s), 7):
        for last in range(first, len(taken_s)):
            assert last - first + 1 <= burst + rate * (taken_s[last] - taken_s[first]) + 1e-6 * rate * 2000


def test_a_client_has_only_so_many_requests_under_way() -> None:
    counts = ClientCounts(ClientLimits(concurrent=2), Time())
    assert [enters(counts) for _ in range(3)] == [True, True, False]
    assert enters(counts, "b")
    counts.leave("a")
    assert enters(counts)


def test_a_refusal_for_rate_takes_no_place() -> None:
    clock = Time()
    counts = ClientCounts(ClientLimits(rate_per_s=1, concurrent=2), clock)
    assert [enters(counts) for _ in range(5)] == [True] + [False] * 4
    clock.now_s += 1
    assert enters(counts)


def test_many_clients_cost_bounded_memory() -> None:
    counts = ClientCounts(ClientLimits(rate_per_s=1, concurrent=1), Time())
    for number in range(30_000):
        assert enters(counts, str(number))
        counts.leave(str(number))
    assert len(counts._full_at_s) == 10_000
    assert not counts._active


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", b"198.51.100.7", "192.0.2.1"),
        ("10.0.0.5", b"198.51.100.7", "198.51.100.7"),
        ("10.0.0.5", b"1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.5", b"198.51.100.7, 10.0.0.9", "198.51.100.7"),
        ("10.0.0.5", b"198.51.100.7, nonsense", "10.0.0.5"),
        ("10.0.0.5", b"", "10.0.0.5"),
        ("2001:db8:1:2:3::4", None, "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", None, "192.0.2.1"),
        (None, None, "unknown"),
        ("testclient", None, "unknown"),
    ],
)
def test_only_trusted_gateways_say_for_whom_they_ask(peer: str | None, forwarded: bytes | None, address: str) -> None:
    assert Addresses(["10.0.0.0/8"]).of(peer, forwarded) == address


def test_nobody_is_trusted_by_default() -> None:
    assert Addresses([]).of("127.0.0.1", b"198.51.100.7") == "127.0.0.1"
