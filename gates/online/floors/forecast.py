"""The forecast of a floor of a class: the candidate is taken to make half of the mistakes that are allowed, plus its
loss."""

from gates.forecast.candidate import Candidate
from gates.forecast.growths import of_losses, of_share
from gates.forecast.race import Minimum, Proof, Race
from gates.forecast.traffic import PlannedStep, Traffic
from gates.kind import Asked
from gates.online.floors.policy import FloorPolicy
from gates.online.slices import CLASS
from gates.stats.growth import Growth
from gates.stats.share import ShareTest, above, below
from gates.verdict import Stage

_USUAL = 0.5  # of what is allowed: a floor that the service keeps well


def race(asked: Asked[FloorPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race of a floor. A failure needs both: the floor is missed, and stable does better."""
    policy, level = asked.section, asked.levels
    share = traffic.slice_named(f"{CLASS}:{policy.label}").share_ratio
    part = share if policy.is_recall else 1 - share
    loss = candidate.loss_ratio
    mistakes = min(_USUAL * policy.ceiling + loss, 0.999)

    def labelled(step: PlannedStep) -> float:
        return traffic.mirrored(step) * traffic.label_ratio * part

    def worse(step: PlannedStep) -> list[Growth]:
        apart = max(traffic.disagreement_ratio, loss)
        return of_losses(labelled(step), apart, loss, policy.bets, traffic.pair_effect)

    def of_mistakes(step: PlannedStep, test: ShareTest) -> list[Growth]:
        return of_share(labelled(step), mistakes, test, traffic.pair_effect)

    missed, kept = above(policy.ceiling, policy.grid), below(policy.ceiling)
    proofs = (
        Proof(lambda step: of_mistakes(step, missed), level.harm(), labelled=True),
        Proof(worse, level.harm(), labelled=True),
    )
    safe = Proof(lambda step: of_mistakes(step, kept), level.safe(), labelled=True)
    enough = Minimum(labelled, policy.labels_min, labelled=True)
    return Race(
        gate=policy.name,
        stage=Stage.SHADOW,
        required=policy.required,
        safe=((safe,),),
        safe_samples=enough,
        harm=proofs if missed.alternatives and mistakes > policy.ceiling else (),
        harm_samples=enough,
        harm_at_guard=False,
        margin=Candidate(loss_ratio=policy.ceiling),
        advice="label more requests by chance, mirror more traffic, or ask for a lower floor",
    )
