"""The sentence that decides: what a release waits for, how much of it is there, and when it is settled at this rate."""

from dataclasses import replace

import pytest

from controller.core.policy import Step
from controller.core.release import Pause, Phase, Purpose
from controller.ports.suites import SuiteProgress
from controller.report.awaited import awaited
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict
from tests.controller.releases import NOW_S, POLICY, release_in, verdict

AT_S = NOW_S + 100
WAITING = Verdict(
    "accuracy.shadow", Stage.SHADOW, Outcome.INCONCLUSIVE, "Not settled.", samples=200, samples_needed=800
)
SLOWER = replace(WAITING, gate="calibration.shadow", samples=100)
ADVISORY = replace(WAITING, gate="throughput", samples_needed=9_999, advisory=True)


def shadow(*verdicts: Verdict, **changes: object):
    fields = {"routed": True, "phase_since_s": NOW_S, "looked_at_s": AT_S, **changes}
    return release_in(Phase.SHADOW, verdicts={one.gate: one for one in verdicts}, **fields)


def test_a_shadow_phase_waits_for_the_gate_that_takes_longest() -> None:
    """100 of 800 in 100 s: 700 more take 700 s. What is advisory, or passes, is waited for by nobody."""
    found = awaited(shadow(WAITING, SLOWER, ADVISORY, verdict("errors.shadow")), AT_S)
    assert found.sentence == (
        "Judging mirrored requests: waits for accuracy.shadow and calibration.shadow; "
        "calibration.shadow has 100 of about 800 samples."
    )
    assert (found.there, found.settled_at_s, found.too_late) == (0.125, AT_S + 700, False)


@pytest.mark.parametrize(
    ("phase", "reason", "sentence"),
    [
        (Phase.ROLLED_BACK, "Rolled back by ada: wrong refunds", "was rolled back by ada: wrong refunds."),
        (Phase.ABORTED, "Aborted by ada: wrong refunds", "was aborted by ada: wrong refunds."),
        (Phase.ROLLED_BACK, "Accuracy fell.", "was rolled back: Accuracy fell."),
    ],
)
def test_what_a_person_ended_is_said_once(phase: Phase, reason: str, sentence: str) -> None:
    assert awaited(release_in(phase, reason=reason), AT_S).sentence == f"Version 7 {sentence}"


def test_a_version_that_a_rollback_brought_back_was_restored() -> None:
    back = release_in(Phase.PROMOTED, purpose=Purpose.RESTORE, reason="users complain")
    assert awaited(back, AT_S).sentence == "Version 7 was restored: users complain."


def test_what_cannot_be_settled_by_the_deadline_says_so() -> None:
    assert awaited(shadow(WAITING, deadline_at_s=AT_S + 299), AT_S).too_late
    assert not awaited(shadow(WAITING, deadline_at_s=AT_S + 301), AT_S).too_late


def test_of_a_gate_that_cannot_say_how_much_it_needs_nobody_says_when() -> None:
    unknown = replace(SLOWER, samples_needed=None)
    assert awaited(shadow(WAITING, unknown), AT_S).settled_at_s is None
    assert awaited(shadow(unknown), AT_S).sentence.endswith("waits for calibration.shadow. Not settled.")


def test_a_step_waits_for_its_time_and_its_requests() -> None:
    """60 s and 100 requests: after 20 s and 10 requests the requests take longer."""
    policy = replace(POLICY, steps=(Step(5.0, 60, 100), Step(50.0, 60, 100)))
    fields = {"policy": policy, "routed": True, "routed_at_s": NOW_S, "step_requests": 10}
    found = awaited(release_in(Phase.CANARY, **fields), NOW_S + 20)
    assert found.sentence == (
        "Serves 5 % (step 1 of 2): 20 s of at least 1 min and 10 of at least 100 requests, then the next step."
    )
    assert found.there == pytest.approx(0.1)
    assert found.settled_at_s == pytest.approx(NOW_S + 20 + 180)


def test_the_last_step_waits_for_the_gates() -> None:
    live = Verdict("errors.live", Stage.LIVE, Outcome.INCONCLUSIVE, "Not yet.", samples=400, samples_needed=1_000)
    fields = {"routed": True, "routed_at_s": NOW_S, "step_requests": 400, "step": 1, "looked_at_s": AT_S}
    found = awaited(release_in(Phase.CANARY, verdicts={"errors.live": live}, **fields), AT_S)
    assert found.sentence.startswith("Serves 50 % (step 2 of 2): waits for errors.live; errors.live has 400 of about")
    assert found.settled_at_s == pytest.approx(AT_S + 150)


@pytest.mark.parametrize(
    ("release", "said"),
    [
        (release_in(Phase.HELD, reason="Not proven"), "A person has to decide: Not proven."),
        (release_in(Phase.SHADOW, faults={"metrics": "no answer"}), "Cannot go on: no metrics: no answer."),
        (release_in(Phase.SHADOW, pause=Pause("ada", "launch", NOW_S)), "Paused by ada: launch. No more users get it"),
        (release_in(Phase.PROMOTED, reason="All well."), "Version 7 was promoted: All well."),
        (release_in(Phase.ROLLING_BACK, reason="Worse."), "All traffic goes back to version 6: Worse."),
        (release_in(Phase.PENDING), "Waits to begin."),
        (release_in(Phase.PENDING, faults={"budget": "It burns. It goes on."}), "Waits to begin: no budget: It burns."),
        (release_in(Phase.PREFLIGHT), "Waits until version 7 is fetched, verified and ready."),
    ],
)
def test_each_phase_has_its_sentence(release, said: str) -> None:
    sentence = awaited(release, AT_S).sentence
    assert sentence.startswith(said)
    assert ".." not in sentence


def test_a_freeze_is_what_is_waited_for_where_it_halts() -> None:
    frozen = ["ana: incident 42"]
    assert awaited(shadow(WAITING), AT_S, frozen=frozen).sentence == "Waits until a freeze is over. ana: incident 42."
    assert "probation" in awaited(release_in(Phase.PROBATION), AT_S, frozen=frozen).sentence


def test_suites_and_probation_have_a_share() -> None:
    found = awaited(release_in(Phase.SUITE), AT_S, asked=[SuiteProgress("7", ("intents",), 750, 1_000)])
    assert (found.sentence, found.there) == ("Waits for the suites: 750 of 1,000 cases asked (intents).", 0.75)
    probation = release_in(Phase.PROBATION, phase_since_s=NOW_S, deadline_at_s=NOW_S + 400)
    assert (awaited(probation, AT_S).there, awaited(probation, AT_S).settled_at_s) == (0.25, NOW_S + 400)
