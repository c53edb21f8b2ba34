"""The forecast of budget.burn."""

from gates.forecast.candidate import Candidate
from gates.forecast.growths import Blur, of_share, of_watch
from gates.forecast.race import Minimum, Proof, Race, is_beyond
from gates.forecast.traffic import PlannedStep, Traffic
from gates.gate import ALONE_SHARE
from gates.kind import Asked
from gates.online.budget.policy import BudgetPolicy
from gates.stats.growth import Growth
from gates.stats.share import ShareTest, below
from gates.stats.watch import LEARNING
from gates.verdict import Stage


def race(asked: Asked[BudgetPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race. A failure needs both: the candidate burns ``rollback_burn`` times too fast, and is worse than
    stable."""
    policy, level = asked.section, asked.levels
    error, failing = traffic.error_ratio, candidate.error_ratio_on(traffic)
    allowed = 1 - policy.objective_ratio
    burning, effect = min(allowed * policy.rollback_burn, 1.0), traffic.error_effect

    def compared(step: PlannedStep) -> list[Growth]:
        counts = traffic.to_candidate(step) * failing, traffic.to_stable(step) * error, step.share_ratio
        return Blur(traffic.error_apart, effect, threshold).over(of_watch(*counts, policy.guard_ratio, effect), counts)

    threshold = level.harm_before_deadline(1 / (1 - ALONE_SHARE)) + LEARNING
    burning_test = ShareTest(burning, (max(failing, burning),))
    burns = Proof(lambda step: of_share(traffic.to_candidate(step), failing, burning_test, effect), threshold)
    safe = Proof(lambda step: of_share(traffic.to_candidate(step), failing, below(burning), effect), level.safe())
    enough = Minimum(traffic.to_candidate, policy.requests_min)
    blamed = is_beyond(failing, burning) and is_beyond(failing, policy.guard_ratio * error)
    return Race(
        gate="budget.burn",
        stage=Stage.LIVE,
        required=False,
        safe=((safe,),),
        safe_samples=enough,
        harm=(burns, Proof(compared, threshold)) if blamed else (),
        harm_samples=enough,
        harm_at_guard=False,
        margin=Candidate(error_ratio=min(allowed * policy.freeze_burn, 1.0)),
        advice="give the candidate a larger share for longer",
    )
