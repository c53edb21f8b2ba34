"""Recorded requests that were asked again: counted, told apart, and not believed beyond what they can show."""

from dataclasses import replace

import pytest

from gates.evidence import ArmCounts, Look, Replayed
from gates.offline.summing import summed
from gates.online.accuracy_shadow.gate import PairedAccuracyGate
from gates.online.errors.gate import ErrorsGate
from gates.outcome import Outcome
from gates.policy import LiveErrorsPolicy, PairedAccuracyPolicy, ShadowErrorsPolicy
from gates.verdict import Stage
from tests.gates.support import NONE_TIMED
from tests.gates.test_judging import LEVELS, LOST, WON, after, minute

ACCURACY = PairedAccuracyGate(PairedAccuracyPolicy(), **LEVELS)
DIRECTED = [replace(pair, directed=True, replayed=True) for pair in (LOST, WON)]


def replays(agreed: int, disagreed: int, *, today: tuple[int, int] = (0, 0), looks: int = 4) -> list[Look]:
    """Looks that divide the pairs of a replay, every disagreement labelled and as many lost as won, and of today."""
    parts = looks, agreed // looks, disagreed // looks
    return [
        minute(
            number,
            candidate_share=0.0,
            pairs=tuple(DIRECTED * (parts[2] // 2)),
            pairs_agreed=parts[1] + today[0] // looks,
            pairs_disagreed=parts[2] + today[1] // looks,
            replayed=Replayed(parts[1] + parts[2], parts[1], parts[2]),
        )
        for number in range(1, looks + 1)
    ]


def test_replayed_requests_settle_accuracy_and_the_sentence_says_that_they_were_replayed() -> None:
    _, verdict = after(ACCURACY, replays(18_600, 1_400, today=(372, 28)))
    assert verdict.outcome is Outcome.PASS
    assert "of 20,400 requests, 20,000 of them replayed" in verdict.reason


def test_without_requests_of_today_a_replay_certifies_nothing() -> None:
    """It is of the past: that today's are like it has to be seen."""
    _, verdict = after(ACCURACY, replays(18_600, 1_400))
    assert verdict.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("today", [(200, 200), (1_600, 0)], ids=["more disagreements", "none"])
def test_a_replay_of_another_mix_than_todays_proves_nothing(today: tuple[int, int]) -> None:
    _, verdict = after(ACCURACY, replays(18_600, 1_400, today=today))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason.startswith("Replayed requests are of another mix than today's")
    assert "shadow_replay" in verdict.reason


def test_a_replay_of_another_mix_still_shows_harm() -> None:
    """What is worse on what users asked yesterday is worse."""
    lost = tuple([replace(LOST, directed=True, replayed=True)] * 300)
    looks = [replace(look, pairs=lost) for look in replays(18_600, 1_400, today=(200, 200))]
    assert after(ACCURACY, looks)[1].outcome is Outcome.FAIL


def arm(requests: int, errors: int = 0) -> ArmCounts:
    return ArmCounts(requests, errors, NONE_TIMED)


def test_no_error_among_replayed_requests_certifies_nothing_of_what_users_get() -> None:
    """They come one after the other, and stable could answer each: what fails under load fails there only."""
    live = ErrorsGate(LiveErrorsPolicy(), Stage.LIVE, **LEVELS)
    counts = {"stable": arm(400), "candidate": arm(400), "shadow": arm(20_000)}
    copied, asked_again = minute(1, **counts), minute(1, **counts, replayed=Replayed(20_000, 0, 0))
    assert after(live, [copied])[1].outcome is Outcome.PASS
    scraped_late = replace(minute(2, **counts), replayed=None)
    _, verdict = after(live, [asked_again, scraped_late])
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert after(live, [asked_again, scraped_late, minute(3, **counts)])[1].outcome is Outcome.PASS


def test_errors_of_replayed_requests_are_errors_and_told() -> None:
    shadow = ErrorsGate(ShadowErrorsPolicy(), Stage.SHADOW, **LEVELS)
    fields = {"candidate_share": 0.0, "stable": arm(5_000), "replayed": Replayed(4_000, 0, 0)}
    _, held = after(shadow, [minute(1, **fields, shadow=arm(9_000))])
    assert held.outcome is Outcome.PASS
    assert "0 of 9,000 requests (0 %), 4,000 of them replayed" in held.reason
    failing = [minute(number, **fields, shadow=arm(9_000, 200)) for number in (1, 2, 3)]  # one look does not decide
    assert after(shadow, failing)[1].outcome is Outcome.FAIL


def test_sums_of_looks_keep_what_was_replayed() -> None:
    one, two = replays(400, 40, looks=2)
    assert summed([one, two]).replayed == Replayed(440, 400, 40)
    assert summed([one, replace(two, replayed=None)]).replayed == Replayed(220, 200, 20)
