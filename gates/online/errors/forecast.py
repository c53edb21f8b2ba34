"""The forecast of errors.shadow and errors.live."""

from gates.forecast.candidate import Candidate
from gates.forecast.growths import CERTIFIED, Blur, of_ratio, of_share, of_watch
from gates.forecast.race import Minimum, Proof, Race, is_beyond
from gates.forecast.traffic import PlannedStep, Traffic
from gates.kind import Asked
from gates.online.errors.gate import SAFER
from gates.online.errors.policy import LiveErrorsPolicy, ShadowErrorsPolicy
from gates.stats.growth import Growth
from gates.stats.share import below
from gates.stats.watch import LEARNING
from gates.verdict import Stage


def in_shadow(asked: Asked[ShadowErrorsPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race of mirrored requests."""
    return _race(asked, Stage.SHADOW, traffic, candidate)


def live(asked: Asked[LiveErrorsPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race of live requests, with mirrored ones as evidence for its certificates."""
    return _race(asked, Stage.LIVE, traffic, candidate)


def _race(
    asked: Asked[ShadowErrorsPolicy] | Asked[LiveErrorsPolicy], stage: Stage, traffic: Traffic, candidate: Candidate
) -> Race:
    policy, level = asked.section, asked.levels
    error, failing, margin = traffic.error_ratio, candidate.error_ratio_on(traffic), policy.margin_ratio
    own = traffic.to_candidate if stage is Stage.LIVE else traffic.mirrored

    def all_own(step: PlannedStep) -> float:
        """Return the candidate's requests per second that may certify: mirrored ones certify live ones too."""
        return traffic.mirrored(step) + (traffic.to_candidate(step) if stage is Stage.LIVE else 0.0)

    effect = traffic.error_effect

    def compared(step: PlannedStep, requests: float) -> tuple[float, float, float]:
        """Return the errors per second of the candidate and of stable, and the candidate's share of the requests."""
        stable = traffic.to_stable(step)
        share = requests / (requests + stable) if requests + stable else 0.0
        return requests * failing, stable * error, share

    def harmful(step: PlannedStep) -> list[Growth]:
        counts = compared(step, own(step))
        return Blur(traffic.error_apart, effect, harm_at).over(of_watch(*counts, policy.guard_ratio, effect), counts)

    def below_margin(step: PlannedStep) -> list[Growth]:
        counts, cautious = compared(step, all_own(step)), CERTIFIED * effect
        return Blur(traffic.error_apart, cautious, level.safe(2)).over(
            of_ratio(*counts, margin, lower, cautious), counts
        )

    def below_ceiling(step: PlannedStep) -> list[Growth]:
        return of_share(all_own(step), failing, below(policy.error_ratio_max), CERTIFIED * effect)

    harm_at = level.harm_before_deadline() + LEARNING
    harm = Proof(harmful, harm_at)
    enough = Minimum(own, policy.requests_min)
    lower = [margin * factor for factor in SAFER]
    return Race(
        gate=f"errors.{stage}",
        stage=stage,
        required=True,
        safe=(
            (
                Proof(below_margin, level.safe(2)),
                Proof(below_ceiling, level.safe(2)),
            ),
        ),
        safe_samples=enough,
        harm=(harm,) if is_beyond(failing, policy.guard_ratio * error) else (),
        harm_samples=enough,
        harm_at_guard=False,
        margin=Candidate(error_ratio=min(error * margin, 1.0)),
        advice="mirror more traffic, or state an absolute objective (error_ratio_max) that clean traffic can certify",
    )
