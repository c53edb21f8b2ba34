"""Parts of a version's live requests, which stable is held against itself by: the replicas that answered, and the users
who asked."""

from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from typing import Final

from controller.adapters.prometheus.cursor import Mark
from controller.adapters.prometheus.targets import Counter, Targets
from gates.evidence import ArmCounts
from serving.contract import FAILED, REFUSED, TOOK_LONGER, USER_EDGES_MS, USER_PARTS, USERS_METRIC

REPLICA_PARTS_MAX: Final = 8
"""Parts that the replicas of a version are in at the most: of more, several are taken as one."""
_TIMED: Final = (*(f"{edge / 1000:g}" for edge in USER_EDGES_MS), TOOK_LONGER)


def placed(versions: Sequence[str], targets: Targets, left: Mapping[str, Mark | None]) -> dict[str, int]:
    """The part that each target is, by its key: the one that it was, however many others came or went. A new one
    becomes the part that the fewest are; one that was always alone is none."""
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
    """The requests of each part of the users; none where the gateway does not tell who asks."""
    if not any(counter.metric == USERS_METRIC for counter in gained):
        return ()
    return tuple(_of_part(gained, str(part)) for part in range(USER_PARTS))


def _of_part(gained: Mapping[Counter, float], part: str) -> ArmCounts:
    timed = tuple(int(gained.get(Counter(USERS_METRIC, part, took), 0.0)) for took in _TIMED)
    failed, refused = (int(gained.get(Counter(USERS_METRIC, part, how), 0.0)) for how in (FAILED, REFUSED))
    return ArmCounts(sum(timed) + failed + refused, failed, timed)
