"""The forecast of accuracy.slices: a loss everywhere, or in a slice of the policy, is judged as one slice of a usual
size."""

import math

from gates.forecast.candidate import Candidate
from gates.forecast.growths import of_losses
from gates.forecast.race import Minimum, Proof, Race
from gates.forecast.traffic import PlannedStep, Traffic
from gates.kind import Asked
from gates.online.accuracy_slices.policy import WatchedSlicesPolicy
from gates.stats.growth import Growth
from gates.verdict import Stage


def race(asked: Asked[WatchedSlicesPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race of one slice, which certifies nothing. The margin is a loss of twice the guard: a loss at the
    guard is measured below it as often as above it."""
    policy, loss = asked.section, candidate.loss_ratio
    seen = traffic.slice_named(candidate.slice)
    apart = max(seen.disagreement_ratio, loss)
    guard = policy.guard_points / 100

    def labelled(step: PlannedStep) -> float:
        asked_for = traffic.label_ratio + (1 - traffic.label_ratio) * traffic.directed_ratio
        return traffic.mirrored(step) * seen.share_ratio * asked_for

    def growth(step: PlannedStep) -> list[Growth]:
        return of_losses(labelled(step), apart, loss, policy.bets, traffic.pair_effect)

    enough = Minimum(lambda step: traffic.mirrored(step) * seen.share_ratio, policy.pairs_min)
    return Race(
        gate="accuracy.slices",
        stage=Stage.SHADOW,
        required=False,
        safe=((),),
        safe_samples=enough,
        harm=(Proof(growth, asked.levels.harm(policy.slices_max), labelled=True),) if 0 < loss >= guard else (),
        harm_samples=enough,
        harm_at_guard=math.isclose(loss, guard),
        margin=Candidate(loss_ratio=2 * guard),
        advice="ask for labels where the versions disagree, or mirror more traffic",
    )
