"""The slices that are watched, by the requests that there are: a rule that is fixed before the release begins."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from gates.online.accuracy_slices.policy import LENGTHS, WatchedSlicesPolicy
from gates.online.slices import CLASS, TOKENS, Attributes, membership

ANSWERS_MIN: Final = 200
"""Answers of stable without which nothing is chosen yet."""


def chosen(
    seen: Sequence[Attributes], policy: WatchedSlicesPolicy, named: Collection[str] = ()
) -> tuple[str, ...] | None:
    """The slices by what stable's last answers have; without those that the policy names, which are judged by
    themselves. None where there are too few answers to choose by."""
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
    """The most frequent first; one that nearly all requests belong to is no part of them."""
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
    """By length, in about as many requests each; fewer where many have one length."""
    if len(lengths) < LENGTHS:
        return
    cuts = sorted({lengths[len(lengths) * part // LENGTHS - 1] for part in range(1, LENGTHS)} - {lengths[-1]})
    starts = [0, *(cut + 1 for cut in cuts)]
    if len(starts) > 1:
        yield from (f"{TOKENS}:{low}-{high}" for low, high in zip(starts, [*cuts, ""], strict=True))
