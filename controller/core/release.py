"""One release: where it stands and what it knows. Changed only by events (`controller.core.events`)."""

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
    """The phase of a release. Those in ``TERMINAL`` are final; ``HELD`` waits for a person."""

    PENDING = "pending"
    PREFLIGHT = "preflight"
    SUITE = "suite"
    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTING = "promoting"
    PROBATION = "probation"  # promoted; the former version is warm and late labels still count
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"  # on the way out, whatever for: `Release.ending` says to which phase
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"  # never got traffic
    HELD = "held"
    SUPERSEDED = "superseded"
    ABORTED = "aborted"


TERMINAL = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.REJECTED, Phase.SUPERSEDED, Phase.ABORTED})
OBSERVED = frozenset({Phase.SHADOW, Phase.CANARY, Phase.PROBATION})  # evidence is gathered and judged
SERVED = (Phase.PROMOTED, Phase.PROBATION)  # all users got the candidate's answers
EXPOSED = frozenset({Phase.CANARY, Phase.PROMOTING, Phase.PROBATION})  # users may get the candidate's answers


class Purpose(StrEnum):
    PROMOTE = "promote"  # a new version, which has to prove itself
    REHEARSE = "rehearse"  # a version is judged, and no user gets its answers: it ends in shadow at the latest
    RESTORE = "restore"  # a former version comes back by a person's word: no gates, no steps


@dataclass(frozen=True, slots=True)
class Version:
    """A version and what identifies it: the registry's number alone does not, because it can be reused."""

    number: str
    source_id: str = ""  # the registry's logged model
    fingerprint: str = ""  # SHA-256 of the manifest, once verified


@dataclass(frozen=True, slots=True)
class Dealt:
    """The live requests that the gateway dealt in one phase or step, which began at ``since_s``: all of them, and the
    candidate's. ``doubted``: by how many before these it was last seen to deal otherwise than it was told; 0: it is not
    in doubt."""

    since_s: float
    candidate: int = 0
    total: int = 0
    doubted: int = 0


@dataclass(frozen=True, slots=True)
class Cursors:
    """The places up to which the evidence has been read. Stored together with its look, so that a restart counts
    nothing twice."""

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
    first_labelled_answer: int | None = None  # the newest ones before the release, as `first_pair` is
    first_label: int | None = None
    first_dispute: int | None = None
    label_names: dict[str, str] | None = None  # what the looks before took names for
    label_names_away: dict[str, tuple[int, int]] = field(default_factory=dict)  # of those that mean nothing now
    least_likely: LeastLikely | None = None  # of the labels that were read
    gateway: dict[str, float] | None = None  # as the counters, of what users got
    gateway_at_s: float = 0.0
    arrived: dict[str, int] = field(default_factory=dict)  # sums that sources are held against each other by
    dealt: Dealt | None = None
    started_again_s: float | None = None  # at the last look for which a version was, by us
    watched_slices: tuple[str, ...] | None = None  # chosen once; None: not yet


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's order to expose no more users for now."""

    by: str
    reason: str
    since_s: float


@dataclass(frozen=True, slots=True)
class GateState:
    """The memory of the gates between looks: as they hold it, or as it was stored, until the next look reads it.
    ``schema`` says how it is written."""

    schema: int
    document: Any  # a `gates.gate_set.GateSetState`, or JSON values as `gates.gate_set.document_of` writes them


@dataclass(frozen=True, slots=True)
class Release:
    """Everything that decides what happens next."""

    id: str
    model: str
    purpose: Purpose
    candidate: Version
    stable: Version | None  # None: the model's first version, judged by absolute floors
    fallback: Version | None  # what a rollback from `stable` would go to, while this release is not promoted
    policy: ReleasePolicy
    started_at_s: float
    started_by: str
    phase: Phase = Phase.PENDING
    phase_since_s: float = 0.0
    deadline_at_s: float | None = None
    step: int = 0  # of policy.steps, while in CANARY; 1 at the end of PROBATION, once nothing is to be copied any more
    step_requests: int = 0  # the candidate's live requests since the step began
    routed: bool = False  # users were answered by this phase's traffic table
    routed_at_s: float | None = None  # since then; None also in the state of an older release of the software
    champion_moved: bool = False  # the registry's alias points at the candidate because of us
    verdicts: dict[str, Verdict] = field(default_factory=dict)  # the latest of each gate
    gate_state: GateState | None = None  # of the snapshot alone: no event carries it
    looks: int = 0
    looked_at_s: float | None = None
    cursors: Cursors = field(default_factory=Cursors)  # of the snapshot alone
    faults: dict[str, str] = field(default_factory=dict)  # source -> why it could not be read; while it lasts
    faults_changed_s: dict[str, float] = field(default_factory=dict)  # by source: when one last came, or went
    label_sources: tuple[LabelSource, ...] = ()  # as the last look that could read labels found them
    ending: Phase | None = None  # where ROLLING_BACK leads
    reason: str = ""  # why the release ended, or is ending, in one sentence
    blamed: tuple[str, ...] = ()  # gates that failed
    serving: dict[str, ServingPolicy] = field(default_factory=dict)  # by number: what each version is served with
    origin: Origin | None = None  # of the candidate, once verified; None: its manifest does not say
    able: TrafficAbilities | None = None  # of the data plane; None: begun when there was only one, which can do all
    replaced: Version | None = None  # what serves and cannot run, where a person has the candidate take its place
    pause: Pause | None = None  # until it is resumed, or enters another phase or step

    @property
    def active(self) -> bool:
        return self.phase not in TERMINAL

    @property
    def canary_step(self) -> Step:
        return self.policy.steps[self.step]

    @property
    def champion(self) -> Version | None:
        """The version at which the registry's alias stands until this one is promoted."""
        return self.stable if self.stable is not None else self.replaced

    @property
    def former(self) -> Version | None:
        """The version that users go back to. Where there is no stable one, a release that took the place of a version
        gives it back when a person aborts it. One that is held leaves users where they are: that version failed."""
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
        """The share of users' requests that is copied to the former version, now that the candidate serves them all."""
        alone = self.phase is Phase.PROMOTING or (self.phase is Phase.PROBATION and self.step == 0)
        alone = alone or (self.phase is Phase.CANARY and self.canary_step.weight_pct >= HUNDRED_PCT)
        if not alone or self.stable is None or self.purpose is not Purpose.PROMOTE:
            return 0.0
        return copied_back_pct(self.policy, self.able)

    @property
    def step_over_at_s(self) -> float:
        """When the least time of the canary step is over, which begins once the warm-up is."""
        return self.served_since_s + self.policy.warm_up_s + self.canary_step.min_s

    @property
    def warm_at_s(self) -> float | None:
        """When the candidate counts as warm at its share; None if users get none of its answers."""
        if self.phase not in (Phase.CANARY, Phase.PROBATION):
            return None
        started_s = self.cursors.started_again_s
        since_s = self.served_since_s if started_s is None else max(self.served_since_s, started_s)
        return since_s + self.policy.warm_up_s

    @property
    def had_a_table(self) -> bool:
        """Return whether, before this was decided, a traffic table sent requests to the candidate, even if only
        copies."""
        undecided = self.phase in (Phase.SHADOW, Phase.CANARY, Phase.PROMOTING)
        return undecided and self.purpose is not Purpose.RESTORE and self.stable is not None and self.looks > 0

    @property
    def served_since_s(self) -> float:
        """When users were first answered by the traffic table of this phase or step."""
        return self.phase_since_s if self.routed_at_s is None else self.routed_at_s

    def served_with(self, version: Version) -> ServingPolicy:
        """The settings of the version's replicas; the defaults, if the release is older than these settings."""
        return self.serving.get(version.number, ServingPolicy())

    def outcome_of(self, *stages: Stage) -> Outcome:
        """The combined outcome of every gate of these stages that is not advisory."""
        return combine(v.outcome for v in self.verdicts.values() if v.stage in stages and not v.advisory)


def serves_all(release: Release) -> Version | None:
    """Return the version that serves all users, or all but the canary's; None before the first one was promoted."""
    return release.candidate if release.phase in SERVED else release.stable


def pending_settings(release: Release, policy: ReleasePolicy) -> str:
    """Return what the policy's serving block says otherwise than what serves, or is about to: ``workers 1 → 2``; empty
    where nothing waits for the next release."""
    promotes = release.purpose is Purpose.PROMOTE and release.active
    serves = release.candidate if promotes or release.phase in SERVED else release.stable
    return differences(release.served_with(serves), policy.serving) if serves is not None else ""
