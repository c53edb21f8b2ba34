"""The pace at which replicas are asked suites, so that nobody else who asks them, or shares their machine, feels it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from suites.runner import Predict

REST_MAX_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """``texts`` in one question, and the share of the time in which one is asked: the rest of it the replica rests.

    By the time that answers take rather than by a number a second: what is slow, or slowed down by its users, is asked
    less.
    """

    texts: int
    busy_ratio: float


BESIDE_USERS: Final = Pace(texts=1, busy_ratio=0.05)
"""Of a replica that answers users: one of them waits for one text at most, and few of them at all."""
ALONE: Final = Pace(texts=4, busy_ratio=0.25)
"""Of a replica without traffic, which may share its machine with one that has some."""


def paced(
    predict: "Predict",
    pace: Pace,
    *,
    now_s: Callable[[], float] = time.monotonic,
    rest: Callable[[float], None] = time.sleep,
) -> "Predict":
    """``predict``, asked in small parts with rests between them."""

    def answers(texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        found: list[Mapping[str, float]] = []
        for start in range(0, len(texts), pace.texts):
            part = texts[start : start + pace.texts]
            began_s = now_s()
            found += predict(part)
            took_s = now_s() - began_s
            rest(min(took_s * (1 / pace.busy_ratio - 1), REST_MAX_S))
        return found

    return answers
