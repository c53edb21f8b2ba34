"""The share of a model's requests that its replicas sample: what is known of the service that it follows from, what
gates need, and when it changes."""

from dataclasses import dataclass
from typing import Final

ALL: Final = 1.0
_LOWERED_BY: Final = 4.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labels of a model's sampled answers, at the time when the last ones came: how many of the answers had one,
    and how long after the answer half of them were there."""

    ratio: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """The traffic of a model, in requests a second: on average over the last hour, and over the last day. ``labels``:
    None where none ever came."""

    hour_per_s: float
    day_per_s: float
    labels: Labelled | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """The share that gates need, and why, in a part of a sentence."""

    ratio: float
    reason: str


def kept_between(present: float, needed: float) -> float:
    """Return the share between two releases: more as soon as it is needed, but less only if a quarter would do, so that
    traffic that comes and goes changes nothing."""
    return needed if needed > present or needed * _LOWERED_BY <= present else present
