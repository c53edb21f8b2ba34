"""The forecast of cost.shadow: every mistake is taken to cost as much as the dearest, which takes the longest to
settle."""

import math
from collections.abc import Sequence

from gates.forecast.candidate import Candidate
from gates.forecast.growths import of_outcomes
from gates.forecast.race import Minimum, Proof, Race
from gates.forecast.traffic import PlannedStep, Traffic
from gates.kind import Asked
from gates.online.costs.policy import CostPolicy
from gates.stats.growth import Growth
from gates.stats.uneven import Span, log_capitals
from gates.stats.weighted import Drawn
from gates.verdict import Stage

_SPAN = Span(-1.0, 1.0)


def race(asked: Asked[CostPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race of the labelled disagreements."""
    policy, level, loss = asked.section, asked.levels, candidate.loss_of_all(traffic)
    apart = max(traffic.disagreement_ratio, loss)
    margin, guard = policy.margin_points / 100, policy.guard_points / 100

    def growth(step: PlannedStep, null: float, sign: int) -> list[Growth]:
        directed = traffic.label_ratio + (1 - traffic.label_ratio) * traffic.directed_ratio
        labelled = traffic.mirrored(step) * directed
        chances = ((apart + loss) / 2, (apart - loss) / 2)
        jumps: list[Sequence[float]] = [
            log_capitals(Drawn().add(sign * value, 1.0), 1.0, null, _SPAN, policy.bets) for value in (1.0, -1.0)
        ]
        return of_outcomes(labelled, chances, jumps, traffic.pair_effect)

    among = min(margin / apart, 0.999) if apart else 0.999
    safe = Proof(lambda step: growth(step, -among, -1), level.safe(1 / 0.9), labelled=True)
    harm = Proof(lambda step: growth(step, 0.0, 1), level.harm(), labelled=True)
    enough = Minimum(traffic.mirrored, policy.pairs_min)
    return Race(
        gate="cost.shadow",
        stage=Stage.SHADOW,
        required=policy.required,
        safe=((safe,),),
        safe_samples=enough,
        harm=(harm,) if 0 < loss >= guard else (),
        harm_samples=enough,
        harm_at_guard=math.isclose(loss, guard),
        margin=Candidate(loss_ratio=margin),
        advice="ask for labels where the versions disagree, mirror more traffic, or widen margin_points",
    )
