"""Who may wait."""

import pytest

from serving.http.admission import Admission
from serving.refusals import ApiError
from serving.settings import Limits


def admitted(admission: Admission) -> bool:
    try:
        admission.check()
    except ApiError:
        return False
    return True


def test_the_queue_is_bounded_by_count() -> None:
    admission = Admission(Limits(queue_requests_max=2), max_tokens=512)
    for _ in range(2):
        assert admitted(admission)
        admission.enter(20)
    assert not admitted(admission)
    admission.leave(20)
    assert admitted(admission)


def test_the_queue_is_bounded_by_the_time_to_wait_where_that_is_asked_for() -> None:
    admission = Admission(Limits(wait_ms_max=100), max_tokens=512)
    admission.observe(busy_s=0.1, tokens=100)
    waiting = 0
    while admitted(admission):
        admission.enter(20)
        waiting += 1
    assert admission.wait_s == pytest.approx(waiting * 0.02)
    assert 0.1 < admission.wait_s <= 0.12


def test_a_replica_that_gets_slower_lets_fewer_wait() -> None:
    admission = Admission(Limits(wait_ms_max=100), max_tokens=512)
    admission.enter(50)
    admission.observe(busy_s=0.1, tokens=100)
    assert admitted(admission)
    for _ in range(100):
        admission.observe(busy_s=1.0, tokens=100)
    assert not admitted(admission)


def test_who_is_refused_is_told_when_there_will_be_room() -> None:
    admission = Admission(Limits(wait_ms_max=50), max_tokens=512)
    admission.observe(busy_s=1.0, tokens=100)
    admission.enter(250)
    with pytest.raises(ApiError) as refusal:
        admission.check()
    assert (refusal.value.status, refusal.value.code) == (503, "overloaded")
    assert refusal.value.headers["retry-after"] == "3"


def test_nobody_is_refused_for_a_pace_that_is_not_known_yet() -> None:
    admission = Admission(Limits(wait_ms_max=50), max_tokens=512)
    admission.enter(10_000)
    assert admitted(admission)


def test_a_text_costs_no_more_than_the_model_reads_of_it() -> None:
    admission = Admission(Limits(), max_tokens=64)
    assert admission.cost(["x" * 10_000]) == admission.cost(["x" * 256]) > admission.cost(["x" * 100])


def test_by_default_a_slow_version_is_slow_and_refuses_nobody() -> None:
    """To the gates a refusal is an error: what is slow must be found slow, not unreliable."""
    admission = Admission(Limits(), max_tokens=512)
    admission.observe(busy_s=10.0, tokens=10)
    for _ in range(Limits().queue_requests_max):
        assert admitted(admission)
        admission.enter(50)
