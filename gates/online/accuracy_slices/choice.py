"""The choice of the slices to watch, by stable's last answers: the rule is fixed before the release begins."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from gates.online.accuracy_slices.policy import LENGTHS, WatchedSlicesPolicy
from gates.online.slices import CLASS, TOKENS, Attributes, membership

ANSWERS_MIN: Final = 200
"""Answers of stable that are needed to choose."""


def chosen(
    seen: Sequence[Attributes], policy: WatchedSlicesPolicy, named: Collection[str] = ()
) -> tuple[str, ...] | None:
    """Return the names of the slices to watch, by stable's last answers, without those in ``named``, which the policy
    names and which are judged by themselves. None where there are too few answers to choose by."""
    if len(seen) < ANSWERS_MIN:
        return None
    classes = Counter(f"{CLASS}:{request.stable_label}" for request in seen)
    tags = Counter(f"{key}:{value}" for request in seen for key, value in request.tags.items())
    found = (
        *_frequent(classes, len(seen), policy.share_min, policy.classes_max),
        *_thirds(sorted(request.tokens for request in seen if request.tokens is not None)),
        *_frequent(tags, len(seen), policy.share_min, policy.tags_max),
    )
    return tuple(name for name in found if name not in named)


def _frequent(counts: Counter[str], requests: int, share_min: float, most: int) -> list[str]:
    """Return at most ``most`` of the names, the most frequent first: those that at least ``share_min`` of the requests
    have, and at least as many have not."""
    least, largest = share_min * requests, (1 - share_min) * requests
    usual = [name for name, count in counts.items() if least <= count <= largest and _is_name(name)]
    return sorted(usual, key=lambda name: (-counts[name], name))[:most]


def _is_name(name: str) -> bool:
    try:
        membership(name)
    except ValueError:
        return False
    return True


def _thirds(lengths: Sequence[int]) -> Iterator[str]:
    """Yield slices by length, with about as many requests each; fewer than three where many texts have the same
    length."""
    if len(lengths) < LENGTHS:
        return
    cuts = sorted({lengths[len(lengths) * part // LENGTHS - 1] for part in range(1, LENGTHS)} - {lengths[-1]})
    starts = [0, *(cut + 1 for cut in cuts)]
    if len(starts) > 1:
        yield from (f"{TOKENS}:{low}-{high}" for low, high in zip(starts, [*cuts, ""], strict=True))
