"""One release: its state, which only events change (`controller.core.events`)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from controller.core.abilities import TrafficAbilities, copied_back_pct
from controller.core.origin import Origin
from controller.core.policy import ReleasePolicy, Step
from controller.core.serving import ServingPolicy, differences
from controller.core.traffic import HUNDRED_PCT
from gates.evidence import LabelSource, LeastLikely
from gates.outcome import Outcome, combine
from gates.verdict import Stage, Verdict


class Phase(StrEnum):
    """The phase of a release. The phases in ``TERMINAL`` are final; ``HELD`` waits for a person."""

    PENDING = "pending"
    PREFLIGHT = "preflight"
    SUITE = "suite"
    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTING = "promoting"
    PROBATION = "probation"  # promoted; the former version is warm and late labels still count
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"  # on the way out, for any reason: `Release.ending` is the phase that follows
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"  # failed before it got any traffic
    HELD = "held"
    SUPERSEDED = "superseded"
    ABORTED = "aborted"


TERMINAL = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.REJECTED, Phase.SUPERSEDED, Phase.ABORTED})
OBSERVED = frozenset({Phase.SHADOW, Phase.CANARY, Phase.PROBATION})  # evidence is gathered and judged
SERVED = (Phase.PROMOTED, Phase.PROBATION)  # the candidate answers all users
EXPOSED = frozenset({Phase.CANARY, Phase.PROMOTING, Phase.PROBATION})  # users may get the candidate's answers


class Purpose(StrEnum):
    PROMOTE = "promote"  # a new version, which has to pass its gates
    REHEARSE = "rehearse"  # a version is judged, and no user gets its answers: it ends in shadow at the latest
    RESTORE = "restore"  # a former version comes back because a person asks for it: no gates, no steps


@dataclass(frozen=True, slots=True)
class Version:
    """A version and what identifies it. The registry's number alone does not, because a number can be reused."""

    number: str
    source_id: str = ""  # the registry's logged model
    fingerprint: str = ""  # SHA-256 of the manifest, once verified


@dataclass(frozen=True, slots=True)
class Dealt:
    """The live requests that the gateway routed in one phase or step, which began at ``since_s`` (unix time): ``total``
    of them, ``candidate`` to the candidate. ``doubted``: the number of earlier requests, no longer counted, that showed
    shares other than the table's; the gateway is trusted again after as many further ones. 0: it is not in doubt."""

    since_s: float
    candidate: int = 0
    total: int = 0
    doubted: int = 0


@dataclass(frozen=True, slots=True)
class Cursors:
    """The places up to which the evidence has been read. They are stored in the transaction of the look that read them,
    so that nothing is counted twice after a restart."""

    counters: dict[str, float] | None = None  # None: not yet read at all
    counters_at_s: float = 0.0
    first_pair: int | None = None  # the newest pair before the release; None: samples are not yet read at all
    pair: int = 0
    labelled_pair: int = 0
    labelled_answer: int = 0
    prediction: int | None = None
    reference_read: bool = False
    worker_restarts: int | None = None  # of the candidate, since the first look
    restarts_before: int | None = None  # of the candidate's deployment, at the first look
    first_labelled_answer: int | None = None  # these three: the newest before the release, as `first_pair`
    first_label: int | None = None
    first_dispute: int | None = None
    label_names: dict[str, str] | None = None  # `NamesRead.aliases` of the looks so far
    label_names_away: dict[str, tuple[int, int]] = field(default_factory=dict)  # `NamesRead.away`
    least_likely: LeastLikely | None = None  # of the labels that were read
    gateway: dict[str, float] | None = None  # the gateway's counters of what users got, as `counters`
    gateway_at_s: float = 0.0
    arrived: dict[str, int] = field(default_factory=dict)  # sums by which sources are compared with each other
    dealt: Dealt | None = None
    started_again_s: float | None = None  # time of the last look before which Serin restarted a version
    watched_slices: tuple[str, ...] | None = None  # chosen once; None: not yet


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's order to expose no more users for now. ``since_s``: unix time."""

    by: str
    reason: str
    since_s: float


@dataclass(frozen=True, slots=True)
class GateState:
    """The memory of the gates between looks, either as the gates hold it or as JSON values that the next look reads.
    ``schema`` is the version of that JSON."""

    schema: int
    document: Any  # a `gates.gate_set.GateSetState`, or JSON values as `gates.gate_set.document_of` writes them


@dataclass(frozen=True, slots=True)
class Release:
    """The state of one release: everything that decides what happens next. Times are unix seconds."""

    id: str
    model: str
    purpose: Purpose
    candidate: Version
    stable: Version | None  # None: the model's first version, judged by absolute floors
    fallback: Version | None  # the known good version when the release began: a rollback from `stable` goes there
    policy: ReleasePolicy
    started_at_s: float
    started_by: str
    phase: Phase = Phase.PENDING
    phase_since_s: float = 0.0
    deadline_at_s: float | None = None
    step: int = 0  # index into policy.steps in CANARY; 1 at the end of PROBATION, once no more copies are made
    step_requests: int = 0  # the candidate's live requests since the step began
    routed: bool = False  # users have been answered by this phase's traffic table
    routed_at_s: float | None = None  # since when; None also in a state that an older version of Serin stored
    champion_moved: bool = False  # Serin has moved the registry's alias to the candidate
    verdicts: dict[str, Verdict] = field(default_factory=dict)  # the latest of each gate
    gate_state: GateState | None = None  # in the snapshot only: no event carries it
    looks: int = 0
    looked_at_s: float | None = None
    cursors: Cursors = field(default_factory=Cursors)  # in the snapshot only
    faults: dict[str, str] = field(default_factory=dict)  # source -> why it cannot be read now
    faults_changed_s: dict[str, float] = field(default_factory=dict)  # source -> when its fault last began or ended
    label_sources: tuple[LabelSource, ...] = ()  # as the last look that could read labels found them
    ending: Phase | None = None  # the phase that ROLLING_BACK leads to
    reason: str = ""  # why the release entered its phase, or is ending, in words
    blamed: tuple[str, ...] = ()  # the gates that failed
    serving: dict[str, ServingPolicy] = field(default_factory=dict)  # version number -> the settings it is served with
    origin: Origin | None = None  # of the candidate, once verified; None: its manifest does not say
    able: TrafficAbilities | None = None  # of the data plane; None: not recorded by older versions, can do all
    replaced: Version | None = None  # the version that cannot run, if the candidate is to take its place
    pause: Pause | None = None  # until the release is resumed, or enters another phase or step

    @property
    def active(self) -> bool:
        return self.phase not in TERMINAL

    @property
    def canary_step(self) -> Step:
        return self.policy.steps[self.step]

    @property
    def champion(self) -> Version | None:
        """The version that the registry's alias points at until the candidate is promoted; None if there is none."""
        return self.stable if self.stable is not None else self.replaced

    @property
    def former(self) -> Version | None:
        """The version that users go back to; None if there is none. A release that replaced a version that cannot run
        goes back to that version only when it is aborted or rolled back, not when it is held."""
        gives_back = self.phase is Phase.ROLLING_BACK and self.ending in (Phase.ABORTED, Phase.ROLLED_BACK)
        return self.stable if self.stable is not None or not gives_back else self.replaced

    @property
    def mirrors(self) -> bool:
        """Return whether users' requests can be copied to the candidate."""
        return self.able is None or self.able.mirrors

    @property
    def mirrors_both_ways(self) -> bool:
        """Return whether the candidate's requests can be copied to stable as well."""
        return self.able is None or self.able.mirrors_both_ways

    @property
    def sticky(self) -> bool:
        """Return whether users stay on the version that they were assigned to."""
        return self.able is not None and self.able.sticky_header is not None

    @property
    def copied_back_pct(self) -> float:
        """The share of users' requests, in percent, that is copied to the former version while the candidate serves
        them all; otherwise 0."""
        alone = self.phase is Phase.PROMOTING or (self.phase is Phase.PROBATION and self.step == 0)
        alone = alone or (self.phase is Phase.CANARY and self.canary_step.weight_pct >= HUNDRED_PCT)
        if not alone or self.stable is None or self.purpose is not Purpose.PROMOTE:
            return 0.0
        return copied_back_pct(self.policy, self.able)

    @property
    def step_over_at_s(self) -> float:
        """The unix time at which the canary step's minimum time is over; that time begins after the warm-up."""
        return self.served_since_s + self.policy.warm_up_s + self.canary_step.min_s

    @property
    def warm_at_s(self) -> float | None:
        """The unix time from which the candidate counts as warm at its share; None outside canary and probation."""
        if self.phase not in (Phase.CANARY, Phase.PROBATION):
            return None
        started_s = self.cursors.started_again_s
        since_s = self.served_since_s if started_s is None else max(self.served_since_s, started_s)
        return since_s + self.policy.warm_up_s

    @property
    def had_a_table(self) -> bool:
        """Return whether a traffic table has sent the candidate requests, or copies of them, before this release was
        decided."""
        undecided = self.phase in (Phase.SHADOW, Phase.CANARY, Phase.PROMOTING)
        return undecided and self.purpose is not Purpose.RESTORE and self.stable is not None and self.looks > 0

    @property
    def served_since_s(self) -> float:
        """The unix time at which users were first answered by the traffic table of this phase or step; the beginning of
        the phase if that time is not known."""
        return self.phase_since_s if self.routed_at_s is None else self.routed_at_s

    def served_with(self, version: Version) -> ServingPolicy:
        """Return the settings of the version's replicas; the defaults if the release recorded none."""
        return self.serving.get(version.number, ServingPolicy())

    def outcome_of(self, *stages: Stage) -> Outcome:
        """Return the combined outcome of all gates of these stages that are not advisory."""
        return combine(v.outcome for v in self.verdicts.values() if v.stage in stages and not v.advisory)


def serves_all(release: Release) -> Version | None:
    """Return the version that serves all users, or all except the canary's; None if no version was ever promoted."""
    return release.candidate if release.phase in SERVED else release.stable


def pending_settings(release: Release, policy: ReleasePolicy) -> str:
    """Return the differences between the settings in use, or about to be, and the policy's ``serving``, in words:
    ``workers 1 → 2``. Empty if no change waits for the next release."""
    promotes = release.purpose is Purpose.PROMOTE and release.active
    serves = release.candidate if promotes or release.phase in SERVED else release.stable
    return differences(release.served_with(serves), policy.serving) if serves is not None else ""
