"""What is played: a candidate, the weather, and how the evidence comes."""

from dataclasses import dataclass, field, replace

from controller.core.policy import ReleasePolicy, Step
from gates.policy import GatePolicy, LiveErrorsPolicy, ShadowErrorsPolicy
from tests.bench.world.answers import Skill
from tests.bench.world.weather import Forecast, bursts, changing_mix, diurnal, incident, scarce, steady


@dataclass(frozen=True, slots=True)
class Candidate:
    """How the candidate differs from stable."""

    skill: Skill = field(default_factory=Skill)
    slow: float = 1.0  # its latency, times stable's
    error_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Labels:
    """Shares of the requests whose truth is learnt, and how many looks later."""

    chance: float = 0.1
    directed: float = 0.0  # of the disagreements that chance did not choose
    delay_looks: int = 10
    by_doubt: bool = False  # chosen where stable is unsure (``answers.DOUBTS``), not each with probability ``chance``


BY_CHANCE = Labels()
BY_DOUBT = Labels(by_doubt=True)
# As many labels as BY_CHANCE asks for, half of them where the versions disagree.
HALF_DIRECTED = Labels(chance=0.05, directed=0.7)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way for a release to go. Without ``steps`` the candidate has ``share`` from the first look on.

    ``watch_on``: go on looking after the promotion, as if it had never come: no later alarm is missed.
    """

    name: str
    candidate: Candidate = field(default_factory=Candidate)
    forecast: Forecast = steady
    labels: Labels = BY_CHANCE
    share: float = 0.05
    share_factor: float = 1.0  # realised over configured
    steps: tuple[Step, ...] = ()
    warm_up_s: float = ReleasePolicy("any").warm_up_s  # after each new share
    cluster: float = 1.0  # mean number of errors that come together
    looks: int = 120
    look_s: float = 60.0
    paired_per_look: int | None = None  # only mirrored pairs, all labelled by chance or all by disagreement
    watch_on: bool = False
    policy: GatePolicy = field(default_factory=GatePolicy)


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

DOUBTED = {
    name: replace(RELEASED, name=f"{name}, labels by doubt", candidate=candidate, labels=BY_DOUBT, looks=240)
    for name, candidate in {"equal": Candidate(), "accuracy -2": LOSES_TWO}.items()
}

HARDER = (
    Scenario("shared incident", forecast=incident, watch_on=True),
    Scenario("0.1 requests/s", forecast=scarce, watch_on=True),
    Scenario("bursts", forecast=bursts, watch_on=True),
    Scenario("diurnal ramps", forecast=diurnal, watch_on=True),
    Scenario("labels three hours late", labels=Labels(delay_looks=180), looks=300, watch_on=True),
    Scenario("changing mix", forecast=changing_mix, watch_on=True),
    Scenario("share 6 % for 5 %", share_factor=1.2, watch_on=True),
    Scenario("share 10 % for 5 %", share_factor=2.0, watch_on=True),
    Scenario("errors in clusters of 2", cluster=2.0, watch_on=True),
    Scenario("errors in clusters of 5", cluster=5.0, watch_on=True),
    Scenario("errors in clusters of 5, counted by session", cluster=5.0, policy=BY_SESSION, watch_on=True),
)


def exposed(name: str, candidate: Candidate) -> Scenario:
    """``candidate`` at 5 % of the traffic from the first look on, watched until a gate fails or time is up."""
    return Scenario(f"{name}, 5 %", candidate, watch_on=True)


def released(name: str, candidate: Candidate) -> Scenario:
    """``candidate`` on the default path: shadow first, then the steps."""
    return replace(RELEASED, name=f"{name}, default steps", candidate=candidate)


def stepped(name: str, candidate: Candidate) -> Scenario:
    """``candidate`` in shadow first, as any release is, and then at 5 % of the traffic."""
    return replace(RELEASED, name=f"{name}, shadow, then 5 %", candidate=candidate, steps=(Step(5.0),))


def paired(name: str, candidate: Candidate, *, directed: bool = False) -> Scenario:
    """Only mirrored pairs, a look every ten seconds: how many labels a loss takes to be found."""
    labels = Labels(chance=0.0, directed=1.0, delay_looks=0) if directed else Labels(chance=1.0, delay_looks=0)
    suffix = "directed" if directed else "by chance"
    return Scenario(
        f"{name}, pairs {suffix}", candidate, labels=labels, paired_per_look=20, look_s=10.0, looks=2000, share=0.0
    )
