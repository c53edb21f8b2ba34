"""What a person's word would do, told before it is given; and what a start asks a person to agree to."""

from dataclasses import replace

import pytest

from controller.core.commands import Ask
from controller.core.foresight import Consent, Standing, foresee
from controller.core.release import Pause, Phase, Purpose
from controller.core.traffic import TrafficTable
from tests.controller.releases import FREEZE, NOW_S, release_in

SERVES = TrafficTable("intent", {"6": 100.0}, known_good="5")
NOTHING = Standing("intent", None, SERVES)
CANARY = Standing("intent", release_in(Phase.CANARY, routed=True), SERVES)
HELD = Standing("intent", release_in(Phase.HELD), SERVES)


@pytest.mark.parametrize(
    ("ask", "standing", "acts", "said"),
    [
        (Ask.ABORT, NOTHING, False, "Nothing to abort: no release is in progress; version 6 serves everybody."),
        (Ask.ABORT, CANARY, True, "the release of version 7 (canary at 5 %) ends; all traffic goes to version 6."),
        (Ask.RESUME, NOTHING, False, "Nothing to resume: no release is in progress; version 6 serves everybody."),
        (Ask.RESUME, CANARY, False, "Nothing to resume: the release of version 7 (canary at 5 %) is not held."),
        (Ask.RESUME, HELD, True, "goes on: its gates judge afresh, and it gets a new deadline."),
        (Ask.PAUSE, CANARY, True, "gets no more users until `serin resume intent`."),
        (Ask.PAUSE, HELD, False, "Nothing to pause: the release of version 7 (held) is not taking steps now."),
        (Ask.PROMOTE, CANARY, True, "goes to 50 % now, whether its gates are settled or not."),
        (Ask.PROMOTE, HELD, False, "Nothing to promote: the release of version 7 (held) is on no step"),
        (Ask.ROLLBACK, NOTHING, True, "All traffic goes from version 6 to version 5, the known good one."),
        (
            Ask.ROLLBACK,
            replace(NOTHING, table=TrafficTable("intent", {"6": 100.0})),
            False,
            "Nothing to roll back to: no earlier version is kept warm; version 6 serves everybody.",
        ),
    ],
)
def test_what_a_word_does_is_told(ask: Ask, standing: Standing, acts: bool, said: str) -> None:
    found = foresee(ask, standing)
    assert said in found.sentence
    assert found.acts is acts


def test_the_last_step_is_for_the_gates() -> None:
    last = replace(CANARY, release=release_in(Phase.CANARY, routed=True, step=1))
    assert "on the last step: the rest is for the gates to decide" in foresee(Ask.PROMOTE, last).sentence


def test_a_paused_release_says_by_whom_and_how_it_goes_on() -> None:
    paused = release_in(Phase.CANARY, routed=True, pause=Pause("ada", "launch", NOW_S))
    standing = replace(CANARY, release=paused)
    assert "is paused already, by ada: launch" in foresee(Ask.PAUSE, standing).sentence
    assert "goes on from where it is" in foresee(Ask.RESUME, standing).sentence


def asked_of(standing: Standing, version: str = "8") -> list[Consent]:
    return [consent for consent, _ in foresee(Ask.START, standing, version).consents]


def test_a_start_that_ends_another_release_asks_for_a_flag() -> None:
    """Not where that ends by itself, or was decided."""
    assert asked_of(NOTHING) == []
    assert asked_of(CANARY) == [Consent.SUPERSEDE]
    for phase in (Phase.PROMOTING, Phase.PROBATION, Phase.ROLLING_BACK):
        assert asked_of(replace(CANARY, release=release_in(phase))) == []
    assert asked_of(replace(CANARY, release=release_in(Phase.PREFLIGHT, purpose=Purpose.RESTORE))) == []


def test_a_start_that_repeats_what_a_person_took_back_or_meets_a_freeze_asks_for_a_flag() -> None:
    standing = replace(NOTHING, freezes=(FREEZE,), taken_back="Rolled back by ada: wrong refunds")
    (_, repeated), (_, frozen) = foresee(Ask.START, standing, "7").consents
    assert asked_of(standing, "7") == [Consent.REPEAT, Consent.DURING_FREEZE]
    assert "a person took version 7 back: Rolled back by ada: wrong refunds" in repeated
    assert "ana froze intent (incident 42): it waits until the freeze is over" in frozen
    both = replace(NOTHING, freezes=(FREEZE, replace(FREEZE, model="*", by="bob")))
    ((_, frozen),) = foresee(Ask.START, both, "7").consents
    assert frozen.endswith("bob froze * (incident 42): it waits until they are over"), "and is asked once"


def test_a_start_says_against_which_version() -> None:
    assert foresee(Ask.START, NOTHING, "7").sentence == "A release of version 7 begins, against version 6."
    assert foresee(Ask.START, NOTHING, "6").sentence == "Version 6 serves all traffic already."
    assert not foresee(Ask.START, CANARY, "7").acts
