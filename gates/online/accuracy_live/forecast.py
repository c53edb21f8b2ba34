"""The forecast of accuracy.live."""

from gates.forecast.candidate import Candidate
from gates.forecast.growths import of_difference, of_watch
from gates.forecast.race import Minimum, Proof, Race, is_beyond
from gates.forecast.traffic import PlannedStep, Traffic
from gates.kind import Asked
from gates.online.accuracy_live.gate import GUESSES
from gates.online.accuracy_live.policy import LiveAccuracyPolicy
from gates.stats.difference import DifferenceTest
from gates.stats.growth import Growth
from gates.stats.watch import LEARNING
from gates.verdict import Stage


def race(asked: Asked[LiveAccuracyPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race. The versions answer different requests, so the certificate is of a difference, and harm of a
    ratio of the rates of wrong answers."""
    policy, level, loss = asked.section, asked.levels, candidate.loss_of_all(traffic)
    margin, guard, wrong = policy.margin_points / 100, policy.guard_points / 100, traffic.wrong_ratio
    worse = min(wrong + loss, 1.0)
    lower = DifferenceTest(margin, tuple(margin * guess for guess in GUESSES))

    def labelled(step: PlannedStep) -> tuple[float, float]:
        return traffic.to_candidate(step) * traffic.live_label_ratio, traffic.to_stable(step) * traffic.live_label_ratio

    def compared(step: PlannedStep) -> list[Growth]:
        candidate, stable = labelled(step)
        return of_watch(candidate * worse, stable * wrong, step.share_ratio, 1 + guard / wrong, traffic.wrong_effect)

    def certified(step: PlannedStep) -> list[Growth]:
        return of_difference(*labelled(step), (worse, wrong), lower, traffic.wrong_effect)

    safe = Proof(certified, level.safe(), labelled=True)
    harm = Proof(compared, level.harm_before_deadline() + LEARNING, labelled=True)
    enough = Minimum(lambda step: min(labelled(step)), policy.labels_min, labelled=True)
    return Race(
        gate="accuracy.live",
        stage=Stage.LIVE,
        required=policy.required,
        safe=((safe,),),
        safe_samples=enough,
        harm=(harm,) if wrong and is_beyond(loss, guard) else (),
        harm_samples=enough,
        harm_at_guard=False,
        margin=Candidate(loss_ratio=margin),
        advice="label more live answers, give the candidate a larger share for longer, or widen margin_points",
    )
