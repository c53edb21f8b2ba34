"""The gates decide: candidates of every kind on the real gates, with users, labels and time in memory."""

import hashlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.release import Phase
from controller.journal.codec import event_of
from controller.ports.registry import CANDIDATE
from gates.offline.suite_replay import judge_suite_evidence
from tests.controller.service import ERRORING, GOOD, LESS_ACCURATE, OVERCONFIDENT, SLOW, Behaviour
from tests.controller.world import GATES, POLICY, World, with_suite, write_suite


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_a_good_candidate_is_promoted(world):
    """Through shadow and every canary step; the former version stays warm, and no user is left without an answer."""
    world.given(candidate=GOOD).when_settled()
    assert world.report.phases == (
        Phase.PREFLIGHT,
        Phase.SUITE,
        Phase.SHADOW,
        Phase.CANARY,
        Phase.CANARY,
        Phase.PROMOTING,
        Phase.PROBATION,
    )
    assert (world.weights, world.champion, world.running) == ({"v7": 100}, "v7", {"v6", "v7"})
    assert world.service.unanswered == 0


def test_after_probation_the_release_rests_and_the_registry_says_so(world):
    world.given(candidate=GOOD).when_settled().when_phase(Phase.PROMOTED)
    assert CANDIDATE not in world.registry.aliases("intent")
    assert world.registry.tags_of["intent", "7"]["serin.outcome"] == "promoted"
    assert world.ends == [("v7", Phase.PROMOTED)]
    world.when_time_passes(200)
    assert len(world.reports) == 1
    assert world.traffic.read("intent").known_good == "6"


@pytest.mark.parametrize(
    ("candidate", "gate"),
    [
        (LESS_ACCURATE, "accuracy"),
        (OVERCONFIDENT, "calibration"),
        (SLOW, "latency"),
        (ERRORING, "errors"),
    ],
    ids=["less accurate", "overconfident", "slow", "erroring"],
)
def test_a_bad_candidate_is_rolled_back_and_the_right_gate_blamed(world, candidate, gate):
    world.given(candidate=candidate).when_settled()
    assert world.report.release.phase is Phase.ROLLED_BACK
    assert world.report.blames(gate)
    assert world.report.release.reason
    assert (world.weights, world.champion) == ({"v6": 100}, "v6")
    assert world.registry.moved == []
    assert world.service.unanswered == 0
    assert world.running == {"v6"}


@pytest.mark.parametrize("candidate", [LESS_ACCURATE, OVERCONFIDENT, ERRORING])
def test_what_shadow_traffic_shows_no_user_ever_meets(world, candidate):
    world.given(candidate=candidate).when_settled()
    assert "7" not in world.service.answered


def test_a_rolled_back_version_is_not_tried_again_by_itself(world):
    world.given(candidate=ERRORING).when_settled().when_time_passes(200)
    assert world.ends == [("v7", Phase.ROLLED_BACK)]


def test_a_candidate_that_turns_bad_after_promotion_is_rolled_back_while_the_former_one_is_warm(world):
    """A threshold was breached outside an analysis and nobody was told (flagger 1663): keep watching."""
    world.given(candidate=GOOD).when_settled()
    world.service.behaviours["7"] = Behaviour(error_ratio=0.05)
    world.when_settled().when_phase(Phase.ROLLED_BACK)
    assert world.report.blames("budget") or world.report.blames("errors")
    assert (world.weights, world.champion) == ({"v6": 100}, "v6")
    assert world.registry.moved == [("champion", "7"), ("champion", "6")]
    assert world.service.unanswered == 0


def test_a_burnt_budget_freezes_the_model_until_it_is_lifted(tmp_path):
    """Four times the budget is no matter of one release: a person has to look first."""
    policy = replace(POLICY, gates=replace(GATES, errors_shadow=None))
    world = World(tmp_path, policy=policy).given(candidate=ERRORING).when_settled()
    assert world.report.blames("budget")
    assert [freeze.model for freeze in world.freezes.in_force()] == ["intent"]
    world.given_candidate("v8", GOOD).when_time_passes(200)
    assert world.ends[-1] == ("v8", Phase.PENDING)
    assert world.weights == {"v6": 100}
    world.freezes.lift("intent", reason="fixed", by="ana", at_s=world.clock.now_s())
    world.when_settled()
    assert (world.weights, world.champion) == ({"v8": 100}, "v8")


# --- suites -----------------------------------------------------------------------------------------------------------
def test_a_candidate_that_fails_its_suite_never_meets_traffic(tmp_path):
    world = World(tmp_path, policy=with_suite(tmp_path)).given(candidate=Behaviour(accuracy=0.7)).when_settled()
    assert world.report.release.phase is Phase.REJECTED
    assert world.report.blames("accuracy.suite")
    assert all(table.mirror is None and "7" not in table.weights_pct for table in world.traffic.history)


def test_a_candidate_that_passes_its_suite_goes_on_to_traffic(tmp_path):
    world = World(tmp_path, policy=with_suite(tmp_path)).given(candidate=GOOD).when_settled()
    assert world.weights == {"v7": 100}
    assert {"accuracy.suite", "calibration.suite"} <= set(world.report.release.verdicts)


def test_a_first_version_above_the_floors_becomes_stable(tmp_path):
    world = World(tmp_path, policy=with_suite(tmp_path)).given(stable=None, candidate=GOOD).when_settled()
    assert world.report.release.phase is Phase.PROMOTED
    assert (world.weights, world.champion) == ({"v7": 100}, "v7")


def test_a_first_version_below_the_floors_gets_no_traffic(tmp_path):
    weak = Behaviour(accuracy=0.6)
    world = World(tmp_path, policy=with_suite(tmp_path)).given(stable=None, candidate=weak).when_settled()
    assert world.report.release.phase is Phase.REJECTED
    assert (world.weights, world.champion, world.running) == ({}, None, set())


def test_a_first_version_without_suites_is_held(world):
    """Nothing speaks for it."""
    world.given(stable=None, candidate=GOOD).when_settled()
    assert world.report.release.phase is Phase.HELD
    assert (world.weights, world.champion) == ({}, None)


def test_what_the_suites_were_judged_by_is_recorded_once_with_their_verdicts(tmp_path):
    """Both files, both versions, no text; judged again, the verdicts are those that were recorded. Looks hold nothing
    of it, nor does the state."""
    policy = with_suite(tmp_path)
    (tmp_path / "more").mkdir()
    policy = replace(policy, suites=(*policy.suites, str(write_suite(tmp_path / "more" / "other.jsonl", cases=60))))
    world = World(tmp_path, policy=policy).given(candidate=GOOD).when_settled()
    entries = world.journal.entries(world.release.id)
    (recorded,) = [event for event in map(event_of, (one.entry for one in entries)) if getattr(event, "suites", None)]
    assert repr(judge_suite_evidence(recorded.suites, policy.gates)) == repr(recorded.verdicts)
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in policy.suites]
    assert [(f.name, f.sha256, f.cases) for f in recorded.suites.files] == [
        ("suite.jsonl", digests[0], 300), ("other.jsonl", digests[1], 60)]  # fmt: skip
    assert recorded.suites.case_ids[300] == "other.jsonl:case-0"
    assert recorded.suites.stable is not None
    texts = {text for path in policy.suites for text in re.findall('"text": "(.*?)"', Path(path).read_text())}
    kept = [json.dumps(one.entry.payload) for one in entries]
    assert not any(text in payload for text in texts for payload in kept)
    assert sum("probabilities_e7" in payload for payload in kept) == 1
    assert "probabilities_e7" not in json.dumps(world.journal.release(world.release.id).state)


def test_an_answer_that_is_no_number_holds_the_release_and_names_the_case(tmp_path):
    """NaN is no probability and no pass (kayenta 426); the evidence keeps that there was none."""
    world = World(tmp_path, policy=with_suite(tmp_path)).given().given_candidate("v7", GOOD)
    url = "http://intent-v7-shadow.test"
    sound = world.replicas.running[url]

    def broken(text):
        answer = dict(sound.predict(text))
        return dict.fromkeys(answer, math.nan) if text.endswith(" 5") else answer

    world.replicas.running[url] = replace(sound, predict=broken)
    world.when_settled()
    assert world.release.phase is Phase.HELD
    assert "candidate.probabilities_e7[5]: null, the answer to case 'case-5' was no probability" in world.release.reason
    (judged,) = [e.entry for e in world.journal.entries(world.release.id) if e.entry.payload.get("suites")]
    assert judged.payload["suites"]["candidate"]["probabilities_e7"][5] == [None, None, None]


def test_a_suite_that_cannot_be_read_holds_the_release_and_says_where(tmp_path):
    """Our file is at fault and not the candidate, which can go on once the file is mended."""
    policy = with_suite(tmp_path)
    (tmp_path / "suite.jsonl").write_text('{"id": "1", "text": "x"}', encoding="utf-8")
    world = World(tmp_path, policy=policy).given(candidate=GOOD).when_settled()
    assert world.release.phase is Phase.HELD
    assert "suite.jsonl, line 1: label" in world.release.reason


def test_a_champion_that_was_never_routed_becomes_stable_with_the_first_release(world):
    """An installation begins with what the registry says is in production."""
    world.register("v6", GOOD)
    world.registry.aliases_of["intent"]["champion"] = "6"
    world.given_candidate("v7", GOOD).when_phase(Phase.SHADOW)
    world.when_time_passes(30)
    assert world.weights == {"v6": 100}
    world.when_settled()
    assert world.weights == {"v7": 100}
