"""The shares that a gateway dealt, held against those that were written: which counts are of a step, what they say."""

import random
from dataclasses import replace

import pytest

from controller.core.release import Cursors, Dealt, Phase, Release
from controller.errors import Source
from controller.loop.dealing import dealt, judged, mismatch
from controller.ports.metrics import CounterCursor, GatewayCounts
from gates.evidence import ArmCounts
from tests.controller.releases import NOW_S, release_in


def step(**changes: object) -> Release:
    """Users are answered by it since 5 s after it began."""
    return release_in(Phase.CANARY, phase_since_s=NOW_S, routed=True, routed_at_s=NOW_S + 5, **changes)  # type: ignore[arg-type]


def counts(stable: int, candidate: int, *, since_s: float | None = NOW_S + 10) -> GatewayCounts:
    live = {"6": ArmCounts(stable, 0, ()), "7": ArmCounts(candidate, 0, ())}
    sent = {"6": stable, "7": candidate}
    return GatewayCounts(live, {"6": 0, "7": 0}, sent, (), CounterCursor({}, NOW_S + 20), since_s)


@pytest.mark.parametrize("since_s", [None, NOW_S - 1, NOW_S + 1, NOW_S + 6])
def test_what_began_before_the_step_was_served_is_not_of_it(since_s):
    """A scrape of before has requests that were dealt by another table: 0 of 100 in a step of 20 % was no mismatch."""
    assert dealt(step(), counts(100, 0, since_s=since_s)) == Dealt(NOW_S)
    assert dealt(step(), counts(100, 0)) == Dealt(NOW_S, 0, 100)


def test_each_step_has_sums_of_its_own_and_an_edit_begins_them_anew():
    going_on = step(cursors=Cursors(dealt=Dealt(NOW_S, 10, 100)))
    assert dealt(going_on, counts(80, 20)) == Dealt(NOW_S, 30, 200)
    assert dealt(replace(going_on, phase_since_s=NOW_S + 1), counts(80, 20)) == Dealt(NOW_S + 1, 20, 100)
    assert dealt(replace(going_on, faults={Source.TRAFFIC: "edited"}), counts(80, 20)) == Dealt(NOW_S, 20, 100)
    assert dealt(going_on, None) == Dealt(NOW_S, 10, 100)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.2, 1.0])
def test_a_gateway_that_deals_as_it_was_told_is_not_doubted(share):
    """At none of a thousand looks, whatever the share: the bounds hold at all of them at once."""
    draws, release, candidate, total = random.Random(7), step(), 0, 0
    for _ in range(1_000):
        candidate += sum(draws.random() < share for _ in range(60))
        total += 60
        assert not list(mismatch(release, Dealt(NOW_S, candidate, total), share))


@pytest.mark.parametrize(
    ("candidate", "total", "share"),
    [(0, 200, 0.2), (100, 200, 0.2), (5, 200, 0.0), (150, 200, 1.0), (3_500, 10_000, 0.3)],
)
def test_another_share_is_told_in_one_sentence(candidate, total, share):
    (fault,) = mismatch(step(), Dealt(NOW_S, candidate, total), share)
    assert fault.source == Source.ROUTING
    assert fault.reason.startswith(f"RouteNotServed: the gateway sent {candidate:,} of {total:,} live requests")


def test_a_gateway_that_was_in_doubt_is_believed_again_after_as_many_requests():
    """It held a release to its deadline, however well it dealt since: what it was found out by was never forgotten."""
    release = step()
    kept, (fault,) = judged(release, Dealt(NOW_S, 0, 600), 0.2)
    assert kept == Dealt(NOW_S, doubted=600)
    assert "sent 0 of 600" in fault.reason
    release = replace(release, cursors=Cursors(dealt=kept))
    kept, (fault,) = judged(release, dealt(release, counts(320, 80)), 0.2)
    assert kept == Dealt(NOW_S, 80, 400, doubted=600)
    assert "of the 600 live requests after which it is trusted again 400 have come" in fault.reason
    release = replace(release, cursors=Cursors(dealt=kept))
    assert judged(release, dealt(release, counts(160, 40)), 0.2) == (Dealt(NOW_S, 120, 600), ())


def test_a_gateway_that_goes_on_dealing_otherwise_stays_in_doubt():
    release = step()
    for _ in range(5):
        kept, faults = judged(release, dealt(release, counts(60, 0)), 0.2)
        assert len(faults) == 1 or not kept.doubted
        release = replace(release, cursors=Cursors(dealt=kept))
    assert kept.doubted
