"""The share of a model's requests that its replicas sample: the figures of the service that the share is computed
from, the share that the gates need, and when the share changes."""

from dataclasses import dataclass
from typing import Final

ALL: Final = 1.0
_LOWERED_BY: Final = 4.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labels of a model's sampled answers, when the latest labels arrived. ``ratio``: the share of answers that
    had a label, 0 to 1. ``delay_s``: the median time from an answer to its label, in seconds."""

    ratio: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """The traffic of a model: the mean requests per second over the last hour and over the last day. ``labels``: None
    if no label has ever arrived."""

    hour_per_s: float
    day_per_s: float
    labels: Labelled | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """The share of requests, 0 to 1, that the gates need. ``reason`` is a part of a sentence."""

    ratio: float
    reason: str


def kept_between(present: float, needed: float) -> float:
    """Return the share to sample between two releases, 0 to 1. The share rises as soon as more is needed, but falls
    only if a quarter of it is enough, so that a passing change of traffic changes nothing."""
    return needed if needed > present or needed * _LOWERED_BY <= present else present
