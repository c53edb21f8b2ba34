"""What is played: a candidate, the weather, and how the evidence comes."""

from dataclasses import dataclass, field, replace
from functools import partial

from controller.core.policy import ReleasePolicy, Step
from gates.policy import GatePolicy, LiveErrorsPolicy, ShadowErrorsPolicy
from tests.bench.world import errors, latency
from tests.bench.world.answers import Skill
from tests.bench.world.demand import Crowd
from tests.bench.world.errors import ErrorsOf
from tests.bench.world.latency import LatencyOf
from tests.bench.world.requests import ALIKE, Kind, Labels, Mix, changing, harder
from tests.bench.world.texts import OneByOne, TextsOf
from tests.bench.world.weather import Forecast, bursts, diurnal, incident, scarce, steady


@dataclass(frozen=True, slots=True)
class Candidate:
    """How the candidate differs from stable, from the look ``onset`` on.

    ``latency``: how its answers come; those of stable come independently of each other.
    """

    skill: Skill = field(default_factory=Skill)
    slow: float = 1.0  # its latency, times stable's
    error_factor: float = 1.0
    onset: int = 1
    latency: LatencyOf = latency.Independent
    errors: ErrorsOf = errors.Independent


BY_CHANCE = Labels()
# As many labels as BY_CHANCE asks for, half of them where the versions disagree.
HALF_DIRECTED = Labels(chance=0.05, directed=0.75)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way for a release to go. Without ``steps`` the candidate has ``share`` from the first look on.

    ``kinds``: of requests, beside those that the candidate's skill tells of, which are the first; ``mix`` says which
    come when. ``watch_on``: go on looking after the promotion, as if it had never come: no later alarm is missed.
    ``probation``: what the weather is like after the promotion, for ``probation_looks``, while the candidate serves
    everybody; without one a release ends with it. ``away``: looks that nobody takes, whose evidence the next one has.
    """

    name: str
    candidate: Candidate = field(default_factory=Candidate)
    forecast: Forecast = steady
    labels: Labels = BY_CHANCE
    kinds: tuple[Kind, ...] = ()
    mix: Mix = ALIKE
    crowd: Crowd | None = None
    texts: TextsOf = OneByOne
    stable_errors: ErrorsOf = errors.Independent
    stable_latency: LatencyOf = latency.Independent
    share: float = 0.05
    share_factor: float = 1.0  # realised over configured
    steps: tuple[Step, ...] = ()
    warm_up_s: float = ReleasePolicy("any").warm_up_s  # after each new share
    looks: int = 120
    look_s: float = 60.0
    paired_per_look: int | None = None  # only mirrored pairs, all labelled by chance or all by disagreement
    replayed: int = 0  # recorded requests that both versions answer in the first look
    away: range = range(0)
    watch_on: bool = False
    probation: Forecast | None = None
    probation_looks: int = 60
    policy: GatePolicy = field(default_factory=GatePolicy)

    @property
    def all_kinds(self) -> tuple[Kind, ...]:
        return (Kind(self.candidate.skill), *self.kinds)


LOSES_ONE = Candidate(Skill(both_wrong=0.05, lost=0.04, won=0.03))
LOSES_TWO = Candidate(Skill(both_wrong=0.055, lost=0.045, won=0.025))
LOSES_FIVE = Candidate(Skill(both_wrong=0.07, lost=0.06, won=0.01))
SLOWER_10 = Candidate(slow=1.1)
SLOWER_20 = Candidate(slow=1.2)
FAILING = Candidate(error_factor=5.0)
FAILING_TEN = Candidate(error_factor=10.0)
OVERCONFIDENT = Candidate(Skill(sharpness=2.0))
HARMFUL = {
    "accuracy -2": LOSES_TWO,
    "accuracy -5": LOSES_FIVE,
    "P95 +20 %": SLOWER_20,
    "errors x5": FAILING,
    "overconfident": OVERCONFIDENT,
}

# For services whose errors come in bursts.
BY_SESSION = GatePolicy(
    errors_shadow=ShadowErrorsPolicy(count_clusters=True), errors_live=LiveErrorsPolicy(count_clusters=True)
)

EQUAL = Scenario("equal", watch_on=True)
STEPS = ReleasePolicy("any").steps
RELEASED = Scenario("equal, default steps, half the labels directed", labels=HALF_DIRECTED, steps=STEPS)


def clustered(name: str, mean: float, candidate: Candidate, policy: GatePolicy | None = None) -> Scenario:
    """Errors of both versions in clusters."""
    both = partial(errors.Clusters, mean=mean)
    return replace(
        EQUAL, name=name, candidate=replace(candidate, errors=both), stable_errors=both,
        policy=policy or EQUAL.policy,
    )  # fmt: skip


HARDER = (
    Scenario("shared incident", forecast=incident, watch_on=True),
    Scenario("0.1 requests/s", forecast=scarce, watch_on=True),
    Scenario("bursts", forecast=bursts, watch_on=True),
    Scenario("diurnal ramps", forecast=diurnal, watch_on=True),
    Scenario("labels three hours late", labels=Labels(delay_looks=180), looks=300, watch_on=True),
    Scenario("changing mix", kinds=(harder(Skill()),), mix=changing, watch_on=True),
    Scenario("share 6 % for 5 %", share_factor=1.2, watch_on=True),
    Scenario("share 10 % for 5 %", share_factor=2.0, watch_on=True),
    clustered("errors in clusters of 5, counted by session", 5.0, Candidate(), BY_SESSION),
)


def exposed(name: str, candidate: Candidate) -> Scenario:
    """``candidate`` at 5 % of the traffic from the first look on, watched until a gate fails or time is up."""
    return Scenario(f"{name}, 5 %", candidate, watch_on=True)


def released(name: str, candidate: Candidate) -> Scenario:
    """``candidate`` on the default path: shadow first, then the steps."""
    return replace(RELEASED, name=f"{name}, default steps", candidate=candidate)


def paired(name: str, candidate: Candidate, *, directed: bool = False) -> Scenario:
    """Only mirrored pairs, a look every ten seconds: how many labels a loss takes to be found."""
    labels = Labels(chance=0.0, directed=1.0, delay_looks=0) if directed else Labels(chance=1.0, delay_looks=0)
    suffix = "directed" if directed else "by chance"
    return Scenario(
        f"{name}, pairs {suffix}", candidate, labels=labels, paired_per_look=20, look_s=10.0, looks=2000, share=0.0
    )
