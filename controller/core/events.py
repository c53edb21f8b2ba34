"""The events of a release, which the journal keeps. Only `evolve` changes a release."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce

from controller.core.abilities import TrafficAbilities
from controller.core.facts import LookTaken
from controller.core.judging import shifted
from controller.core.origin import Origin
from controller.core.policy import ReleasePolicy
from controller.core.release import Pause, Phase, Purpose, Release, Version
from controller.core.serving import ServingPolicy
from gates.evidence import Look
from gates.suite_evidence import SuiteEvidence
from gates.verdict import Verdict

Reading = tuple[float | None, float | None, float | None]
"""A gate's value and the lower and upper bound of its interval, in the gate's unit; None: there is none."""


@dataclass(frozen=True, slots=True)
class Started:
    """A release begins. The event holds the whole policy: a later change of the policy does not change the release."""

    id: str
    model: str
    purpose: Purpose
    candidate: Version
    stable: Version | None
    fallback: Version | None
    policy: ReleasePolicy
    by: str
    reason: str
    serving: dict[str, ServingPolicy] = field(default_factory=dict)  # version number -> the settings it is served with
    able: TrafficAbilities | None = None  # the abilities of the data plane at that time
    replaced: Version | None = None  # the version that cannot run, whose place the candidate takes without a comparison


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    phase: Phase
    reason: str
    deadline_at_s: float | None = None
    step: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """Preflight was judged on the running candidate: ``candidate`` is its identity as verified, ``origin`` its origin
    (None: the manifest does not say)."""

    candidate: Version
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Identified:
    """A version was seen for the first time, and is compared with this identity from now on. ``tagged``: the registry's
    tag confirms the fingerprint; without a tag the fingerprint that was found is taken as true."""

    version: Version
    tagged: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """Verdicts that need no traffic: on preflight, on suites (with the evidence in ``suites``), or on a failure."""

    verdicts: tuple[Verdict, ...]
    suites: SuiteEvidence | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """One look: the evidence, and the gates' answers.

    ``verdicts`` holds those that changed, or all of them if the release moved at this look. ``readings``: the reading
    of each gate that has one. The gates' memory and the cursors are in the snapshot only (`carry`): judging the looks
    again gives the same memory.
    """

    look: Look
    verdicts: tuple[Verdict, ...]
    readings: dict[str, Reading] = field(default_factory=dict)
    deadline_s: float | None = None  # of the gates, in unix time


@dataclass(frozen=True, slots=True)
class GatesRestarted:
    """The memory of these gates could not be read, for these reasons: they began anew, and may spend their level
    twice."""

    reasons: dict[str, str]


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """The wall clock was set forward or (negative) back by ``by_s`` seconds. The times of the release move with it, so
    that no interval or deadline becomes longer or shorter."""

    by_s: float


@dataclass(frozen=True, slots=True)
class TrafficConfirmed:
    """The data plane shows that users are answered by the weights of this phase."""

    weights_pct: dict[str, float]
    generation: int


@dataclass(frozen=True, slots=True)
class TrafficRestored:
    """A traffic table that somebody (``by``) had edited without Serin was replaced. ``what``: what was found there."""

    by: str
    what: str


@dataclass(frozen=True, slots=True)
class ChampionMoved:
    """The registry's champion alias was moved to the version and read back there."""

    version: str


@dataclass(frozen=True, slots=True)
class FaultNoted:
    """A source stopped answering. This says something about us and nothing about the candidate."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class FaultCleared:
    source: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """The release goes back to the stable version. ``ending`` is the phase that follows `ROLLING_BACK`."""

    ending: Phase
    reason: str
    blamed: tuple[str, ...] = ()
    by: str = "serin"


@dataclass(frozen=True, slots=True)
class CommandTaken:
    """A command of a person or a pipeline was taken up; the events that follow from it come after this one.
    ``command_id`` is empty if the command never waited, such as a table that a person wrote without the controller."""

    command_id: str
    ask: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The release was paused: no more users are exposed until a person resumes it, or it enters another phase or
    step."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unpaused:
    by: str
    reason: str


Event = (
    Started
    | PhaseEntered
    | Verified
    | Identified
    | Judged
    | Looked
    | GatesRestarted
    | ClockStepped
    | TrafficConfirmed
    | TrafficRestored
    | ChampionMoved
    | FaultNoted
    | FaultCleared
    | Leaving
    | CommandTaken
    | Paused
    | Unpaused
)


def evolve(release: Release | None, event: Event, at_s: float) -> Release:  # noqa: C901, PLR0911, PLR0912 - one branch an event
    """Return the release after the event, which happened at ``at_s`` (unix time). Pure: folding a journal gives the
    same state on any machine, at any time.

    Raises:
        ValueError: the first event is not ``Started``, or a later one is.
    """
    if isinstance(event, Started):
        if release is not None:
            raise ValueError(f"release {release.id} was started already")
        return _begin(event, at_s)
    if release is None:
        raise ValueError(f"a release begins with Started, not with {type(event).__name__}")
    match event:
        case PhaseEntered():
            return _enter(release, event, at_s)
        case Verified():
            return replace(release, candidate=event.candidate, origin=event.origin)
        case Identified():
            return _identify(release, event.version)
        case Judged():
            return _with_verdicts(release, event.verdicts)
        case Looked():
            return _look(release, event, at_s)
        case ClockStepped():
            return _shifted(release, event.by_s)
        case TrafficConfirmed():
            return replace(release, routed=True, routed_at_s=at_s)
        case ChampionMoved():
            return replace(release, champion_moved=event.version == release.candidate.number)
        case FaultNoted():
            new = {} if event.source in release.faults else {event.source: at_s}
            faults = {**release.faults, event.source: event.reason}
            return replace(release, faults=faults, faults_changed_s={**release.faults_changed_s, **new})
        case FaultCleared():
            faults = {k: v for k, v in release.faults.items() if k != event.source}
            changed_s = {**release.faults_changed_s, event.source: at_s}
            return replace(release, faults=faults, faults_changed_s=changed_s)
        case Leaving():
            return _leave(release, event, at_s)
        case Paused():
            return replace(release, pause=Pause(event.by, event.reason, at_s))
        case Unpaused():
            return replace(release, pause=None)
        case CommandTaken() | GatesRestarted() | TrafficRestored():
            return release


def fold(release: Release | None, events: Iterable[Event], at_s: float) -> Release:
    """Return the release after all events, which happened at ``at_s`` (unix time).

    Raises:
        ValueError: there are no events and no release, or as `evolve`.
    """
    after = reduce(lambda state, event: evolve(state, event, at_s), events, release)
    if after is None:
        raise ValueError("no events: there is no release")
    return after


def carry(release: Release, taken: LookTaken) -> Release:
    """Return the release with the parts of the look that only its snapshot holds: all verdicts, the gates' memory and
    the cursors."""
    judged = taken.judgement
    return replace(_with_verdicts(release, judged.verdicts), gate_state=judged.state, cursors=taken.cursors)


def _begin(event: Started, at_s: float) -> Release:
    return Release(
        id=event.id,
        model=event.model,
        purpose=event.purpose,
        candidate=event.candidate,
        stable=event.stable,
        fallback=event.fallback,
        policy=event.policy,
        started_at_s=at_s,
        started_by=event.by,
        phase_since_s=at_s,
        reason=event.reason,
        serving=event.serving,
        able=event.able,
        replaced=event.replaced,
    )


def _enter(release: Release, event: PhaseEntered, at_s: float) -> Release:
    return replace(
        release,
        phase=event.phase,
        phase_since_s=at_s,
        deadline_at_s=event.deadline_at_s if event.deadline_at_s is not None else release.deadline_at_s,
        step=event.step,
        step_requests=0,
        routed=False,
        routed_at_s=None,
        # A move of the alias in an earlier attempt does not count in this one.
        champion_moved=release.champion_moved and event.phase in (Phase.PROBATION, Phase.PROMOTED),
        reason=event.reason,
        ending=None,
        pause=None,
    )


def _leave(release: Release, event: Leaving, at_s: float) -> Release:
    """Return the release on its way back. A promotion in progress may have moved the alias without a record, so the
    alias counts as moved."""
    promoting = release.phase is Phase.PROMOTING and release.routed
    return replace(
        release,
        phase=Phase.ROLLING_BACK,
        phase_since_s=at_s,
        routed=False,
        routed_at_s=None,
        champion_moved=release.champion_moved or promoting,
        ending=event.ending,
        reason=event.reason,
        blamed=event.blamed,
        pause=None,
    )


def _look(release: Release, event: Looked, at_s: float) -> Release:
    served = event.look.candidate.requests if event.look.candidate is not None else 0
    return replace(
        _with_verdicts(release, event.verdicts),
        looks=event.look.sequence,
        looked_at_s=at_s,
        step_requests=release.step_requests + served,
        label_sources=event.look.label_sources or release.label_sources,
    )


def _shifted(release: Release, by_s: float) -> Release:
    cursors = release.cursors
    return replace(
        release,
        phase_since_s=release.phase_since_s + by_s,
        faults_changed_s={source: at_s + by_s for source, at_s in release.faults_changed_s.items()},
        routed_at_s=release.routed_at_s + by_s if release.routed_at_s is not None else None,
        deadline_at_s=release.deadline_at_s + by_s if release.deadline_at_s is not None else None,
        looked_at_s=release.looked_at_s + by_s if release.looked_at_s is not None else None,
        gate_state=shifted(release.gate_state, by_s) if release.gate_state is not None else None,
        cursors=replace(
            cursors,
            counters_at_s=cursors.counters_at_s + by_s,
            gateway_at_s=cursors.gateway_at_s + by_s,
            started_again_s=cursors.started_again_s + by_s if cursors.started_again_s is not None else None,
        ),
    )


def _identify(release: Release, version: Version) -> Release:
    def known(one: Version | None) -> Version | None:
        same = one is not None and one.number == version.number and one.source_id in ("", version.source_id)
        return version if same else one

    candidate = known(release.candidate) or release.candidate
    return replace(
        release,
        candidate=candidate,
        stable=known(release.stable),
        fallback=known(release.fallback),
        replaced=known(release.replaced),
    )


def _with_verdicts(release: Release, verdicts: Iterable[Verdict]) -> Release:
    return replace(release, verdicts={**release.verdicts, **{v.gate: v for v in verdicts}})
