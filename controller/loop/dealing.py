"""The check that the gateway splits live requests by the weights that were written for it.

Requests are routed one by one, so the candidate's number is binomial. The bounds of its true share hold at every look
at once (`gates.stats.share`), so that continuous watching adds no false alarms.
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
"""The probability, in one step, that a gateway that splits requests correctly is doubted."""

_FOLLOWED_S: Final = 2.0
"""The seconds after users were first seen to be answered by the table from which requests count: other machines' clocks
may differ, and the gateway's last worker may be late."""

_STEP_PCT: Final = 0.01  # the finest step of weights, for a release that did not record its data plane's


def dealt(release: Release, users: GatewayCounts | None) -> Dealt:
    """Return the sums of the current phase or step with the counts of one more look. Counts that began before its
    traffic table was served are left out."""
    before = release.cursors.dealt
    # While the stored table differs from the written one, or cannot be read, other shares are no surprise.
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
    """Return the sums to keep, and the fault if the gateway is in doubt.

    The requests that proved the wrong shares are dropped from the sums; otherwise the gateway would stay in doubt for
    the rest of the release, even if it works correctly again. It is trusted again after the same number of further
    requests without such proof.
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
    """Yield a fault if the requests cannot have been split by the written share (0 to 1) of the candidate.

    Nothing is proven if requests are routed by the hash of a header: they are not independent, because a few users may
    send many of them.
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
