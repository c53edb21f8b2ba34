"""The parts of a version's live requests, by which stable is compared with itself: by the replica that answered, and by
the user who asked."""

from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from typing import Final

from controller.adapters.prometheus.cursor import Mark
from controller.adapters.prometheus.targets import Counter, Targets
from gates.evidence import ArmCounts
from serving.contract import FAILED, REFUSED, TOOK_LONGER, USER_EDGES_MS, USER_PARTS, USERS_METRIC

REPLICA_PARTS_MAX: Final = 8
"""The most parts that a version's replicas are divided into. If there are more replicas, several share a part."""
_TIMED: Final = (*(f"{edge / 1000:g}" for edge in USER_EDGES_MS), TOOK_LONGER)


def placed(versions: Sequence[str], targets: Targets, left: Mapping[str, Mark | None]) -> dict[str, int]:
    """Return the part of each target, by its key. A target keeps its part, however many others come or go. A new one
    gets the part that has the fewest. A target that was always alone has none."""
    found: dict[str, int] = {}
    for version in versions:
        keys = sorted(target.key for target in targets.of(version))
        known = {key: mark.part for key in keys if (mark := left.get(key)) is not None and mark.part is not None}
        taken = Counts(known.values())
        for key in keys if len(keys) > 1 else ():
            if key not in known:
                known[key] = min(range(REPLICA_PARTS_MAX), key=lambda part: (taken[part], part))
                taken[known[key]] += 1
        found |= known
    return found


def by_users(gained: Mapping[Counter, float]) -> tuple[ArmCounts, ...]:
    """Return the requests of each part of the users; empty if the replicas do not know who asks."""
    if not any(counter.metric == USERS_METRIC for counter in gained):
        return ()
    return tuple(_of_part(gained, str(part)) for part in range(USER_PARTS))


def _of_part(gained: Mapping[Counter, float], part: str) -> ArmCounts:
    timed = tuple(int(gained.get(Counter(USERS_METRIC, part, took), 0.0)) for took in _TIMED)
    failed, refused = (int(gained.get(Counter(USERS_METRIC, part, how), 0.0)) for how in (FAILED, REFUSED))
    return ArmCounts(sum(timed) + failed + refused, failed, timed)
