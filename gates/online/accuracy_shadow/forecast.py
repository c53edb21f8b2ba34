"""The forecast of accuracy.shadow: how fast labels and agreement settle it, for all requests and for a slice."""

import math
from dataclasses import replace

from gates.forecast.candidate import Candidate
from gates.forecast.growths import of_outcomes, of_share
from gates.forecast.race import Minimum, Proof, Race
from gates.forecast.traffic import PlannedStep, Traffic
from gates.kind import Asked, Levels
from gates.online.accuracy_shadow.gate import AGREEMENT_WEIGHT
from gates.online.accuracy_shadow.policy import PairedAccuracyPolicy, SlicePolicy
from gates.stats.betting import Trinomial, log_capitals
from gates.stats.growth import Growth
from gates.stats.restarts import SHARE
from gates.stats.share import below
from gates.verdict import Stage


def of_all(asked: Asked[PairedAccuracyPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race of all requests."""
    margin = Candidate(loss_ratio=asked.section.margin_points / 100)
    race = _race("accuracy.shadow", asked.section, asked.levels, traffic, candidate.loss_of_all(traffic), margin)
    # Replayed pairs count only beside enough of today's pairs.
    return replace(race, safe_samples=replace(race.safe_samples, rate=traffic.mirrored))


def of_slice(asked: Asked[SlicePolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race of one slice, by its share of the requests."""
    name, policy = asked.section.name, asked.section.accuracy
    seen = traffic.slice_named(name)
    narrowed = replace(
        traffic,
        mirror_ratio=traffic.mirror_ratio * seen.share_ratio,
        slice_ratio=seen.share_ratio,
        disagreement_ratio=seen.disagreement_ratio,
    )
    loss = candidate.loss_ratio if candidate.slice in ("", name) else 0.0
    margin = Candidate(loss_ratio=policy.margin_points / 100, slice=name)
    return _race(f"accuracy.shadow[{name}]", policy, asked.levels, narrowed, loss, margin)


def _race(
    gate: str, policy: PairedAccuracyPolicy, level: Levels, traffic: Traffic, loss: float, margin: Candidate
) -> Race:
    """Return the race. ``loss``: the candidate's loss as a share of the requests that the gate judges."""
    excluded, guard = policy.margin_points / 100, policy.guard_points / 100
    apart = max(traffic.disagreement_ratio, loss)

    def by_labels(step: PlannedStep, null: float, sign: int) -> list[Growth]:
        pairs = traffic.labelled(step, traffic.directed_ratio)
        chances = ((apart + loss) / 2, (apart - loss) / 2, 1 - apart)
        outcomes = (Trinomial(1, 0, 0), Trinomial(0, 1, 0), Trinomial(0, 0, 1))
        sizes = [log_capitals(one if sign > 0 else one.mirrored, null, policy.bets) for one in outcomes]
        return of_outcomes(pairs, chances, sizes, traffic.pair_effect)

    labels = Proof(lambda step: by_labels(step, -excluded, -1), level.safe(1 / (1 - AGREEMENT_WEIGHT)), labelled=True)
    agreement = Proof(
        lambda step: of_share(traffic.pairs(step), apart, below(excluded)), level.safe(1 / AGREEMENT_WEIGHT)
    )
    harm = Proof(lambda step: by_labels(step, 0.0, 1), level.harm_before_deadline(1 / (1 - SHARE)), labelled=True)
    helps = "mirror more traffic" if traffic.directed_ratio else "ask for labels where the versions disagree"
    return Race(
        gate=gate,
        stage=Stage.SHADOW,
        required=policy.required,
        safe=((labels, agreement),),
        safe_samples=Minimum(traffic.pairs, policy.pairs_min),
        harm=(harm,) if 0 < loss >= guard else (),
        harm_samples=Minimum(
            lambda step: traffic.labelled(step, traffic.directed_ratio), policy.pairs_min, labelled=True
        ),
        harm_at_guard=math.isclose(loss, guard),
        margin=margin,
        advice=f"{helps}, extend the deadline, or widen margin_points",
    )
