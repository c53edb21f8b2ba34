"""drift.classes and drift.confidence: does the candidate answer differently from stable?"""

from collections.abc import Iterator

from gates.online.distance import DistanceGate
from gates.online.drift.policy import DriftPolicy


def prediction_gates(policy: DriftPolicy) -> Iterator[DistanceGate]:
    """Yield the gates of predicted classes and of confidences, version against version: they warn and ask for
    labels."""
    rows = (("classes", "class_counts", "Predicted classes"), ("confidence", "confidence_counts", "Confidences"))
    for name, field, what in rows:
        alarm = "label some of the requests to learn whether that is for the better"
        yield DistanceGate(
            f"drift.{name}", field, what, alarm, policy.alpha, policy.guard, policy.samples_min, holds=False
        )
