"""The difference of a backtest's candidate from stable, and whether recorded evidence allows for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from gates.evidence import LabelledPair
from gates.kind import Regression
from gates.offline.backtest.service import Service


@dataclass(frozen=True, slots=True)
class Injection:
    """The difference of a candidate from the stable version; by default there is none."""

    accuracy_points: float = 0.0  # share of all answers, in points, right in stable and wrong in the candidate
    latency_ratio: float = 1.0  # factor on every answer's time
    error_ratio: float = 1.0  # factor on the rate of server errors
    confidence_gap: float = 0.0  # how much higher confidence is on average, at equal accuracy

    @property
    def regressions(self) -> tuple[tuple[Regression, float], ...]:
        """Return what is worse, and by how much, in the unit of the gates' margins."""
        kinds = (
            (Regression.ACCURACY, self.accuracy_points, 0.0),
            (Regression.CONFIDENCE, self.confidence_gap, 0.0),
            (Regression.LATENCY, self.latency_ratio, 1.0),
            (Regression.ERRORS, self.error_ratio, 1.0),
        )
        return tuple((regression, size) for regression, size, none in kinds if size > none)


EQUAL = Injection()


def impossible(service: Service, injection: Injection) -> str | None:
    """Return why this regression cannot be put into this evidence, in one sentence; ``None`` where it can."""
    pairing = service.pairing
    if injection.error_ratio != 1 and not service.errors:
        return "no server error was recorded, and any number of times none is none"
    if injection.latency_ratio != 1 and not sum(service.latency_counts):
        return "no answer was timed"
    pairs = (*pairing.chance_pairs, *pairing.directed_pairs)
    if (injection.accuracy_points or injection.confidence_gap) and not pairs and not service.live_labelled:
        return "no answer was labelled"
    if injection.confidence_gap and not pairing.chance_pairs:
        return "no pair was labelled by chance, and nothing else shows calibration"
    room = 1 - mean_confidence(pairing.chance_pairs)
    if injection.confidence_gap >= room > 0:
        mean, more = f"{1 - room:.3f} on average", f"{injection.confidence_gap:g} more"
        return f"confidence is {mean} already and has no room for {more}: choose a smaller gap"
    return None


def mean_confidence(pairs: Sequence[LabelledPair]) -> float:
    """Return the mean confidence of both versions; 1 without pairs."""
    total = sum(pair.stable.confidence + pair.candidate.confidence for pair in pairs)
    return total / (2 * len(pairs)) if pairs else 1.0
