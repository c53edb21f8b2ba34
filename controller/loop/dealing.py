"""The shares of live requests that the gateway dealt, checked against those that were written for it.

Requests are dealt one by one, so the candidate's are a binomial part of all of them. The bounds of its true share hold
at every look at once (`gates.stats.share`): watching all the time makes no false alarm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from controller.core.release import Dealt, Release
from controller.core.traffic import HUNDRED_PCT
from controller.errors import Source
from controller.loop.crosscheck import asked
from controller.ports.metrics import GatewayCounts
from gates.evidence import Fault
from gates.stats.share import ShareState
from gates.wording import pct

ALPHA: Final = 1e-6
"""The chance that a gateway that deals correctly is doubted in one step."""

_FOLLOWED_S: Final = 2.0
"""After users were first seen to be answered by the table: for clocks of other machines, and the last worker."""

_STEP_PCT: Final = 0.01  # of weights, where a release is older than what is known of its data plane


def dealt(release: Release, users: GatewayCounts | None) -> Dealt:
    """Return the sums of the phase or step that stands, with those of one more look. What was counted since a scrape of
    before its table was served is not of it."""
    before = release.cursors.dealt
    # While another table stands there than was written, or nobody can tell, what is dealt is no surprise.
    if before is None or before.since_s != release.phase_since_s or Source.TRAFFIC in release.faults:
        before = Dealt(release.phase_since_s)
    if users is None or users.since_s is None or release.stable is None:
        return before
    if users.since_s < release.served_since_s + _FOLLOWED_S:
        return before
    requests = asked(users)
    candidate, stable = (requests[f"asked {one.number}"] for one in (release.candidate, release.stable))
    total = before.total + candidate + stable
    return Dealt(before.since_s, before.candidate + candidate, total, before.doubted)


def judged(release: Release, seen: Dealt, share: float) -> tuple[Dealt, Sequence[Fault]]:
    """Return what is kept of the sums, and the fault if the gateway is in doubt.

    The requests that revealed it are not counted any longer, or it would be in doubt for the rest of the release,
    however well it deals afterwards. It is trusted again once as many others have been dealt as it was told.
    """
    found = tuple(mismatch(release, seen, share))
    if found:
        return Dealt(seen.since_s, doubted=seen.total), found
    if seen.total >= seen.doubted:
        return replace(seen, doubted=0), ()
    said = (
        f"did not split requests as it was told; of the {seen.doubted:,} live requests after which it is trusted again"
    )
    return seen, (Fault(Source.ROUTING, f"RouteNotServed: {_name(release)} {said} {seen.total:,} have come"),)


def mismatch(release: Release, seen: Dealt, share: float) -> Iterator[Fault]:
    """Yield the fault if the requests cannot have been dealt by the share (0 to 1) that was written.

    Requests that are dealt by the hash of a header are not independent draws: a few users with many requests prove
    nothing.
    """
    able = release.able
    if not seen.total or release.sticky:
        return
    rounding = (able.weight_step_pct if able is not None else _STEP_PCT) / HUNDRED_PCT / 2
    low, high = ShareState(seen.candidate, seen.total).interval(ALPHA)
    if low > share + rounding or high < share - rounding:
        found, name = seen.candidate / seen.total, _name(release)
        yield Fault(
            Source.ROUTING,
            f"RouteNotServed: {name} sent {seen.candidate:,} of {seen.total:,} live requests "
            f"({pct(found, 2)}) to version {release.candidate.number}, but was told to send {pct(share, 2)}: it "
            "does not route as it was told",
        )


def _name(release: Release) -> str:
    return release.able.name if release.able is not None else "the gateway"
