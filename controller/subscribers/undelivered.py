"""The notices that did not arrive, in sentences: for whoever looks at the installation instead."""

from collections.abc import Iterator, Sequence
from typing import Final

from controller.ports.notices import Standing
from controller.report.words import duration

LATE_S: Final = 60.0
"""So long a notice may be on its way without anybody being told of that."""


def undelivered(standings: Sequence[Standing], now_s: float) -> Iterator[str]:
    """Yield a sentence for each target that does not take its notices, and the way out."""
    for one in standings:
        late_s = now_s - one.oldest_s if one.oldest_s is not None else 0.0
        why = f": {one.trouble}" if one.trouble else ""
        check = f"to try it: `serin notify test {one.target}`"
        if one.waiting and late_s > LATE_S and one.trouble:
            since = f"{one.waiting:,} notices to {one.target} wait, the first for {duration(late_s)}"
            yield f"{since}{why}; they are tried again, {check}"
        elif one.waiting and late_s > LATE_S:
            since = f"{one.waiting:,} notices to {one.target} wait, the first for {duration(late_s)}"
            yield f"{since}: no controller tells them"
        if one.given_up:
            yield f"{one.given_up:,} notices to {one.target} were given up, and nobody is told of them{why}; {check}"
