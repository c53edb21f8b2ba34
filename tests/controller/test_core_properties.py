"""The invariants of a release, whatever the world answers and whoever asks for what.

A story is played from the start: at each step the release's own plan is performed by a world that may answer anything
at all, people and pipelines may ask for anything, time passes, and the decision is recorded as the controller would.
"""

import math
from dataclasses import dataclass, field, replace

import hypothesis
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.actions import Action, MoveChampion, Probe, Route, RunSuites, Serve, TakeLook, plan, route_of
from controller.core.commands import Ask
from controller.core.condition import Condition
from controller.core.decide import after_events, decide
from controller.core.events import Event, Leaving, PhaseEntered, evolve
from controller.core.facts import (
    AliasAt,
    AliasSurprise,
    Asked,
    Broken,
    Fact,
    FrozenBy,
    LookTaken,
    NewerCandidate,
    Overridden,
    Probed,
    Routed,
    Serving,
    Unreachable,
)
from controller.core.phases import BEFORE_PROMOTION
from controller.core.policy import OnDeadline
from controller.core.release import EXPOSED, TERMINAL, Phase, Purpose, Release
from controller.core.traffic import Override
from controller.journal.codec import entry_of, event_of, record_of, release_of
from gates.outcome import Outcome
from gates.verdict import Stage, Window
from tests.controller.releases import (
    CANDIDATE,
    FREEZE,
    NOW_S,
    POLICY,
    STABLE,
    after,
    command,
    course,
    look,
    release_in,
    started,
    suites_run,
    taken,
    verdict,
)

PLAYED = settings(max_examples=100, deadline=None, derandomize=True)  # the same stories at each run
VERIFIED = replace(CANDIDATE, fingerprint="f" * 64)
WORSE = {
    Outcome.PASS: (Outcome.INCONCLUSIVE, Outcome.ERROR, Outcome.FAIL),
    Outcome.INCONCLUSIVE: (Outcome.ERROR, Outcome.FAIL),
    Outcome.ERROR: (Outcome.FAIL,),
    Outcome.FAIL: (),
}
mostly_passing = st.sampled_from([Outcome.PASS] * 6 + [Outcome.INCONCLUSIVE, Outcome.ERROR, Outcome.FAIL])
lucky = st.integers(0, 9).map(bool)  # nine times of ten


def verdicts(*stages: Stage):
    """Up to four verdicts on gates of these stages, with any outcomes."""
    one = st.builds(
        lambda stage, number, outcome, advisory: verdict(f"{stage}.{number}", outcome, stage, advisory=advisory),
        st.sampled_from(stages),
        st.integers(0, 1),
        mostly_passing,
        st.booleans(),
    )
    return st.lists(one, min_size=1, max_size=4).map(tuple)


UNREACHABLE = st.sampled_from(["registry", "traffic", "deployments"]).map(lambda port: Unreachable(port, "is away"))
WORDS = st.sampled_from(
    [
        *(Asked(command(ask)) for ask in (Ask.ABORT, Ask.ROLLBACK, Ask.RESUME, Ask.PAUSE, Ask.PROMOTE)),
        NewerCandidate("8"),
        FrozenBy(FREEZE),
        Overridden(Override("pager", "bo", NOW_S)),
        Broken("no such version"),
    ]
)


@dataclass
class Story:
    """A release and everything that was recorded of it."""

    release: Release
    now_s: float = NOW_S
    events: list[tuple[float, Event]] = field(default_factory=list)

    def decide(self, facts) -> None:
        events = decide(self.release, facts, self.now_s)
        self.events += [(self.now_s, event) for event in events]
        self.release = after_events(self.release, events, facts, self.now_s)


def calm_answers(release: Release, action: Action) -> list[Fact]:  # noqa: PLR0911 - one branch an action
    """What a world in which everything is well answers to the action."""
    match action:
        case Serve(version):
            return [Serving(version.number, Condition.READY)]
        case Probe():
            return [Probed(VERIFIED, (verdict("preflight.0", stage=Stage.PREFLIGHT),))]
        case RunSuites():
            return [suites_run(verdict("suite.0", stage=Stage.SUITE))]
        case Route(weights_pct):
            return [Routed(weights_pct, 1)]
        case MoveChampion(to):
            return [AliasAt(to.number)]
        case TakeLook():
            passing = (verdict("shadow.0"), verdict("live.0", stage=Stage.LIVE))
            return [look_taken(release, requests=20_000), suites_run(*passing)]
    return []


def rough_answers(draw, release: Release, action: Action) -> list[Fact]:  # noqa: PLR0911 - one branch an action
    """What a world that keeps to the ports, and to nothing else, may answer to the action."""
    if not draw(lucky):
        return [draw(UNREACHABLE)]
    match action:
        case Serve(version):
            return [Serving(version.number, Condition.READY if draw(lucky) else draw(st.sampled_from(Condition)))]
        case Probe():
            return [Probed(VERIFIED, draw(verdicts(Stage.PREFLIGHT)))]
        case RunSuites():
            return [suites_run(*draw(verdicts(Stage.SUITE)))]
        case MoveChampion() if not draw(lucky):
            return [AliasSurprise("the alias is somewhere else")]
        case TakeLook():
            requests = draw(st.integers(0, 400))
            return [look_taken(release, requests), suites_run(*draw(verdicts(Stage.SHADOW, Stage.LIVE)))]
    return calm_answers(release, action)


def look_taken(release: Release, requests: int) -> LookTaken:
    window = Window(NOW_S + release.looks, NOW_S + release.looks + 1)
    return taken(release, replace(look(release.looks + 1, requests=requests), window=window))


@st.composite
def stories(draw, purposes=(Purpose.PROMOTE, Purpose.PROMOTE, Purpose.REHEARSE, Purpose.RESTORE)):
    """A release played from its start: all is well for a while, then anything may happen, then all is well again."""
    stable = draw(st.sampled_from([STABLE, STABLE, None]))
    purpose = draw(st.sampled_from(purposes))
    policy = replace(POLICY, on_deadline=draw(st.sampled_from(list(OnDeadline))))
    first = started(stable=stable, purpose=purpose, policy=policy)
    story = Story(evolve(None, first, NOW_S), events=[(NOW_S, first)])
    stay_calm(story, steps=draw(st.integers(0, 12)))
    for _ in range(draw(st.integers(0, 8))):
        facts = draw(st.lists(WORDS, max_size=1))
        for action in plan(story.release, story.now_s):
            facts += rough_answers(draw, story.release, action)
        story.decide(facts)
        story.now_s += draw(st.sampled_from([1.0, 70.0, 70.0, 200.0, 4_000.0]))
    stay_calm(story, steps=draw(st.integers(0, 3)))
    return story


def stay_calm(story: Story, *, steps: int) -> None:
    for _ in range(steps):
        facts = [fact for action in plan(story.release, story.now_s) for fact in calm_answers(story.release, action)]
        story.decide(facts)
        story.now_s += 70


def replayed(story):
    """The states that the story went through, each with the event that led out of it."""
    state = None
    for at_s, event in story.events:
        yield state, event
        state = evolve(state, event, at_s)


@given(stories())
@PLAYED
def test_no_promotion_without_a_pass_of_every_required_gate(story):
    for state, event in replayed(story):
        promoted = isinstance(event, PhaseEntered) and event.phase is Phase.PROMOTING
        if promoted and state.purpose is Purpose.PROMOTE:
            assert state.outcome_of(*BEFORE_PROMOTION) is Outcome.PASS
            judged = {one.stage for one in state.verdicts.values() if not one.advisory}
            assert judged >= ({Stage.SUITE} if state.stable is None else {Stage.SUITE, Stage.SHADOW})
            assert not state.faults or state.stable is None


@given(stories(purposes=(Purpose.REHEARSE,)))
@PLAYED
def test_a_rehearsal_comes_to_no_user_and_waits_for_nobody(story):
    """Whatever passes, whoever promotes it and whichever freeze is lifted; it never names a champion."""
    for state, event in replayed(story):
        assert not (isinstance(event, PhaseEntered) and event.phase in EXPOSED | {Phase.HELD, Phase.PROMOTED})
        if state is not None:
            route = route_of(state)
            assert route is None or CANDIDATE.number not in route.weights_pct
            assert not [one for one in plan(state, NOW_S) if isinstance(one, MoveChampion)]


@given(stories())
@PLAYED
def test_a_release_rests_exactly_once_and_for_good(story):
    rests = [event for _, event in story.events if isinstance(event, PhaseEntered) and event.phase in TERMINAL]
    assert len(rests) == (not story.release.active)
    if rests:
        assert story.events[-1][1] is rests[0]


@given(stories())
@PLAYED
def test_the_journal_replays_to_the_same_state(story):
    """Also through JSON, as the journal stores it."""
    state = None
    for at_s, event in story.events:
        state = evolve(state, event_of(entry_of(event, at_s)), at_s)
    assert course(state) == course(story.release)
    kept = record_of(story.release, len(story.events))
    back = release_of(kept)
    assert record_of(back, len(story.events)) == kept
    memory = back.gate_state  # the gates read theirs when they look next
    assert back == replace(story.release, gate_state=memory)


@given(stories(), st.lists(WORDS, max_size=3))
@PLAYED
def test_abort_always_wins(story, others):
    if story.release.active:
        release = after(story.release, *others, Asked(command(Ask.ABORT, by="the person")), at_s=story.now_s)
        assert Phase.ABORTED in (release.phase, release.ending)


@given(stories())
@PLAYED
def test_traffic_goes_only_to_versions_that_are_kept_running(story):
    """Everything the route names is served by the same plan, so a crash between the two leaves nobody unanswered."""
    for state, _ in replayed(story):
        route = route_of(state) if state is not None and state.active else None
        if route is not None:
            served = {action.version.number for action in plan(state, NOW_S) if isinstance(action, Serve)}
            named = {*route.weights_pct, *([route.mirror.version] if route.mirror else [])}
            assert named <= served
            assert math.isclose(sum(route.weights_pct.values()), 100)


@given(stories(), st.data())
@PLAYED
def test_a_worse_verdict_never_takes_a_release_further(story, data):
    """More errors never make an outcome better, and never advance what would not have advanced without them."""
    release = story.release
    if not (release.active and release.verdicts):
        return
    gate = data.draw(st.sampled_from(sorted(release.verdicts)))
    before = release.verdicts[gate]
    if not WORSE[before.outcome]:
        return
    worse = replace(before, outcome=data.draw(st.sampled_from(WORSE[before.outcome])))
    worsened = replace(release, verdicts=release.verdicts | {gate: worse})
    facts = [Serving("6", Condition.READY), Serving("7", Condition.READY)]
    assert advances(decide(worsened, facts, story.now_s)) <= advances(decide(release, facts, story.now_s))


def advances(events):
    """The phases ahead that the events enter."""
    ahead = {Phase.SHADOW, Phase.CANARY, Phase.PROMOTING, Phase.PROBATION, Phase.PROMOTED}
    return {(e.phase, e.step) for e in events if isinstance(e, PhaseEntered) and e.phase in ahead}


@given(stories())
@PLAYED
def test_a_freeze_stops_exposure_and_nothing_else(story):
    release = story.release
    if release.purpose is Purpose.RESTORE:
        return
    facts = [Serving("6", Condition.READY), Serving("7", Condition.READY)]
    free, frozen = (decide(release, [*facts, *more], story.now_s) for more in ([], [FrozenBy(FREEZE)]))
    assert not advances(frozen) & {(Phase.CANARY, 0), (Phase.CANARY, 1)}
    left_free, left_frozen = ([e for e in events if isinstance(e, Leaving)] for events in (free, frozen))
    assert left_free == left_frozen or advances(free)


def replicas(number, conditions):
    """The version in any of the conditions."""
    return st.builds(Serving, st.just(number), st.sampled_from(sorted(conditions)))


@given(
    st.sampled_from(sorted(set(Phase) - TERMINAL - {Phase.HELD})),
    replicas("7", set(Condition) - {Condition.READY}),
    replicas("6", Condition),
    st.booleans(),
    st.sampled_from([70, 9_000, 10**6]),
)
@PLAYED
def test_nothing_goes_forward_while_the_candidate_is_not_ready(phase, candidate, stable, newer, later_s):
    """However it is down, however stable is, and although everything else is proven, routed and over."""
    release = release_in(
        phase,
        routed=True,
        champion_moved=phase in (Phase.PROMOTING, Phase.PROBATION),
        step_requests=10**6,
        deadline_at_s=NOW_S + 8_000,
    )
    facts = [candidate, stable, Routed({"7": 100.0}, 1), suites_run(verdict("suite.0", stage=Stage.SUITE))]
    facts += [NewerCandidate("8")] if newer else []
    assert not advances(decide(release, facts, NOW_S + later_s))


@given(stories())
@PLAYED
def test_a_failed_gate_is_never_left_in_the_way_of_users(story):
    """From whatever phase: what failed goes back, and never comes to be promoted."""
    for state, event in replayed(story):
        failed = state is not None and state.purpose is Purpose.PROMOTE and state.outcome_of(*Stage) is Outcome.FAIL
        if failed and isinstance(event, PhaseEntered):
            assert event.phase in TERMINAL - {Phase.PROMOTED} | {Phase.HELD}


@given(stories())
@PLAYED
def test_every_release_settles_by_its_deadline_when_nothing_answers_any_more(story):
    """It rests, waits for a person, or is on its way back, or at the end of its probation, and waits for nothing but
    the world's confirmation."""
    release, now_s = story.release, story.now_s
    for _ in range(8):
        now_s += 10_000
        release = after(release, *(Unreachable(port, "is away") for port in ("traffic", "registry")), at_s=now_s)
    restoring = release.purpose is Purpose.RESTORE and release.phase is Phase.PROMOTING
    unconfirmed = release.phase is Phase.PROBATION and "traffic" in release.faults
    assert restoring or unconfirmed or release.phase in TERMINAL | {Phase.HELD, Phase.ROLLING_BACK}


@given(stories(), st.sampled_from([Ask.ABORT, Ask.ROLLBACK]))
@PLAYED
def test_a_way_back_never_needs_more_than_the_data_plane(story, ask):
    """With traffic confirmed and the alias readable, one more decision brings the release to rest."""
    release = after(story.release, Asked(command(ask)), at_s=story.now_s)
    if release.phase is not Phase.ROLLING_BACK:
        return
    facts = [Routed({"6": 100.0}, 5)]
    for _ in range(2):
        asked = [action for action in plan(release, story.now_s) if isinstance(action, MoveChampion)]
        release = after(release, *facts, *(AliasAt(action.to.number) for action in asked), at_s=story.now_s)
    assert release.phase in TERMINAL | {Phase.HELD}


def test_the_stories_reach_every_phase():
    """A property says nothing about what no story reaches."""
    seen: set[Phase] = set()

    def all_seen(story: Story) -> bool:
        seen.update(state.phase for state, _ in replayed(story) if state is not None)
        seen.add(story.release.phase)
        return seen == set(Phase)

    once = settings(max_examples=3_000, database=None, derandomize=True, phases=[hypothesis.Phase.generate])
    assert hypothesis.find(stories(), all_seen, settings=once)


@given(st.sampled_from(sorted(set(Phase) - TERMINAL)))
@PLAYED
def test_deciding_twice_on_the_same_facts_gives_the_same_events(phase):
    release = release_in(phase, routed=True, step_requests=500)
    facts = [Routed({"6": 100.0}, 1), taken(release, look(1))]
    assert decide(release, facts, NOW_S + 100) == decide(release, facts, NOW_S + 100)
