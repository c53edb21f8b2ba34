"""A release is paused, goes on, and takes its next step by a person's word; never past what halts every change."""

from dataclasses import replace

import pytest

from controller.core.commands import Ask
from controller.core.decide import decide
from controller.core.events import CommandTaken, Paused, PhaseEntered, Unpaused
from controller.core.facts import Asked, FrozenBy, Unreachable
from controller.core.release import Pause, Phase, Release
from controller.journal.codec import entry_of, event_of, record_of, release_of
from gates.outcome import Outcome
from gates.verdict import Stage
from tests.controller.releases import FREEZE, NOW_S, after, command, release_in, verdict

LIVE = {"errors.live": verdict("errors.live", Outcome.INCONCLUSIVE, Stage.LIVE)}
SHADOWED = {"accuracy.shadow": verdict("accuracy.shadow", Outcome.INCONCLUSIVE)}
OVER_S = NOW_S + 1_000
PAUSE, RESUME, PROMOTE = (Asked(command(ask)) for ask in (Ask.PAUSE, Ask.RESUME, Ask.PROMOTE))


def on_step(step: int = 0, **changes: object) -> Release:
    """A canary whose step is over, so that the next one follows at once."""
    fields: dict[str, object] = {"step": step, "step_requests": 500, "routed": True, "routed_at_s": NOW_S}
    return release_in(Phase.CANARY, **fields | changes)


def test_a_paused_release_exposes_nobody_more_until_it_is_resumed() -> None:
    assert after(on_step(), at_s=OVER_S).step == 1
    paused = after(on_step(), PAUSE, at_s=OVER_S)
    assert (paused.step, paused.pause) == (0, Pause("ana", "I say so", OVER_S))
    assert decide(paused, (), OVER_S + 10) == ()
    resumed = after(paused, RESUME, at_s=OVER_S + 20)
    assert (resumed.pause, resumed.step) == (None, 0)
    assert after(resumed, at_s=OVER_S + 30).step == 1


def test_a_pause_keeps_a_release_from_its_promotion_too() -> None:
    last = on_step(1)
    assert after(last, at_s=OVER_S).phase is Phase.PROMOTING
    assert after(replace(last, pause=Pause("ada", "launch", NOW_S)), at_s=OVER_S).phase is Phase.CANARY


def test_a_failure_takes_a_paused_release_back_and_its_deadline_stands() -> None:
    paused = on_step(pause=Pause("ada", "launch", NOW_S))
    failed = {"errors.live": verdict("errors.live", Outcome.FAIL, Stage.LIVE)}
    left = after(replace(paused, verdicts={**paused.verdicts, **failed}), at_s=OVER_S)
    assert (left.phase, left.ending, left.pause) == (Phase.ROLLING_BACK, Phase.ROLLED_BACK, None)
    assert after(paused, at_s=NOW_S + 3_600).ending is Phase.HELD


@pytest.mark.parametrize(
    ("release", "step"),
    [
        (release_in(Phase.SHADOW, routed=True, verdicts=SHADOWED), 0),
        (on_step(step_requests=0, verdicts=LIVE), 1),
        (on_step(step_requests=0, verdicts=LIVE, pause=Pause("ada", "launch", NOW_S)), 1),
    ],
)
def test_a_person_takes_a_release_to_its_next_step(release: Release, step: int) -> None:
    """Before its time is over and its gates are settled: that is on record, with who and why."""
    assert after(release, at_s=NOW_S + 1).step != step or release.phase is Phase.SHADOW
    events = decide(release, (PROMOTE,), NOW_S + 1)
    (entered,) = [one for one in events if isinstance(one, PhaseEntered)]
    assert (entered.phase, entered.step) == (Phase.CANARY, step)
    assert entered.reason.startswith(f"Promoted to {release.policy.steps[step].weight_pct:g} % by ana: I say so.")
    assert "Not settled: " in entered.reason
    assert any(isinstance(one, CommandTaken) and one.ask == "promote" for one in events)


@pytest.mark.parametrize(
    ("release", "facts"),
    [
        (on_step(1, step_requests=0), (PROMOTE,)),
        (on_step(step_requests=0), (PROMOTE, FrozenBy(FREEZE))),
        (on_step(step_requests=0), (PROMOTE, Unreachable("traffic", "is away"))),
        (release_in(Phase.HELD), (PROMOTE,)),
        (release_in(Phase.SUITE), (PAUSE,)),
    ],
)
def test_no_word_goes_past_what_halts_every_change(release: Release, facts: tuple[object, ...]) -> None:
    """Nor does one promote: the last step is left by a pass of every gate, and no other way."""
    found = after(release, *facts, at_s=NOW_S + 1)  # type: ignore[arg-type]
    assert (found.phase, found.step, found.pause) == (release.phase, release.step, None)


def test_a_failing_release_is_not_promoted_but_taken_back() -> None:
    failed = {"errors.live": verdict("errors.live", Outcome.FAIL, Stage.LIVE)}
    assert after(on_step(verdicts=failed), PROMOTE, at_s=OVER_S).phase is Phase.ROLLING_BACK


def test_a_pause_is_recorded_and_read_again() -> None:
    for event in (Paused("ada", "launch"), Unpaused("ada", "over")):
        assert event_of(entry_of(event, NOW_S)) == event
    paused = after(on_step(), PAUSE, at_s=OVER_S)
    assert release_of(record_of(paused, 1)) == paused
