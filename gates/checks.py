"""The checks that the evidence of a look is usable. Bad evidence is an error that names the field; never a pass, never
a crash."""

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass

from gates.evidence import (
    PAIR_CONFIDENCE_EDGES,
    Answer,
    ArmCounts,
    LabelCounts,
    LabelledPair,
    LabelSource,
    Look,
    PairProfile,
    Profile,
)
from gates.wording import pct

LOOK = "look"  # a problem of the look itself concerns every gate
METRICS = "metrics"
GATEWAY = "gateway"  # the answers that users got
GATEWAY_TIMES = "gateway times"  # how long users waited for their answers
LABELS = "labels"
PREDICTIONS = "predictions"
PROFILES = "profiles"  # what requests and answers look like; read by warnings and by checks of the experiment

# Counters of one process are read one after another: a few requests may be in the histogram and not yet in the count.
_COUNTER_SLACK = 1.01
_ROUNDING = 1e-6  # of numbers in single precision
_ROUNDING_S = 1e-3  # of times that were moved because somebody set the clock; every window is longer


@dataclass(frozen=True, slots=True)
class Problem:
    """A source whose evidence cannot be used at this look, and why, in words that name the field."""

    source: str
    reason: str


Odd = list[tuple[int, LabelledPair]]  # pairs that need a closer look, with their places


def problems(look: Look, *, last_sequence: int, last_end_s: float | None) -> tuple[Problem, ...]:
    """Return the problems of ``look``, given the sequence number and window end of the look accepted before.

    ``last_end_s``: unix seconds; None before the first look. Where the look itself is wrong, nothing else is checked.
    """
    found = [Problem(LOOK, reason) for reason in _order(look, last_sequence, last_end_s)]
    if found:
        return tuple(found)
    found += [Problem(fault.source, f"{fault.source}: {fault.reason}") for fault in look.faults]
    found += [Problem(METRICS, reason) for reason in _counts(look)]
    found += [Problem(GATEWAY, reason) for reason in _users(look, found)]
    odd = _odd(look.pairs)
    found += [Problem(LABELS, reason) for reason in _labels(look, odd)]
    found += [Problem(PREDICTIONS, reason) for reason in _predictions(look, odd)]
    found += [Problem(PROFILES, reason) for reason in _profiles(look)]
    return tuple(found)


def _order(look: Look, last_sequence: int, last_end_s: float | None) -> Iterator[str]:
    if not _is_count(look.sequence):
        yield f"sequence: {look.sequence!r} is not a whole number"
    elif look.sequence == last_sequence:
        yield f"sequence: look {look.sequence} was judged already"
    elif look.sequence < last_sequence:
        yield f"sequence: look {look.sequence} comes after look {last_sequence}"
    if last_end_s is not None and look.window.start_s < last_end_s - _ROUNDING_S:
        yield f"window: starts at {look.window.start_s:.3f} s, before the last one ended ({last_end_s:.3f} s)"
    if not (is_number(look.candidate_share) and 0 <= look.candidate_share <= 1):
        yield f"candidate_share: {look.candidate_share!r} is not between 0 and 1"
    if not (is_number(look.load_ratio) and look.load_ratio >= 0):
        yield f"load_ratio: {look.load_ratio!r} is no ratio"
    for one in look.earlier:
        if not (is_number(one.effect) and one.effect >= 1):
            yield f"earlier[{one.gate}].effect: {one.effect!r} is not at least 1"


def _counts(look: Look) -> Iterator[str]:
    edges = look.latency_edges_ms
    yield from _edges("latency_edges_ms", edges)
    if not any(fault.source == METRICS for fault in look.faults):
        if look.candidate_share > 0 and look.candidate is None:
            yield f"candidate: no counts, though it served {pct(look.candidate_share, 0)} of the traffic"
        if 0 < look.candidate_share < 1 and look.stable is None:
            yield "stable: no counts to compare with"
    arms = (("stable", look.stable), ("candidate", look.candidate), ("shadow", look.shadow), ("former", look.former))
    parts = ((f"stable_parts[{place}]", arm) for place, arm in enumerate(look.stable_parts))
    for name, arm in (*arms, *parts):
        if arm is not None:
            yield from _arm(name, arm, len(edges))
    yield from _edges("users_edges_ms", look.users_edges_ms)
    for place, arm in enumerate(look.stable_users):
        yield from _arm(f"stable_users[{place}]", arm, len(look.users_edges_ms))


def _users(look: Look, found: list[Problem]) -> Iterator[str]:
    """Yield the problems of the answers that users got. Where the gateway was not read, the replicas' counts stand for
    them, so the problems of those counts (in ``found``) are yielded again."""
    if look.users is not None:
        yield from _edges("users.latency_edges_ms", look.users.latency_edges_ms)
        for name, arm in (("users.stable", look.users.stable), ("users.candidate", look.users.candidate)):
            yield from _arm(name, arm, len(look.users.latency_edges_ms), counted_at_once=False)
        if look.users.former is not None:
            yield from _arm("users.former", look.users.former, 0)
    elif not any(problem.source == GATEWAY for problem in found):
        yield from (problem.reason for problem in found if problem.source == METRICS)


def _edges(name: str, edges: tuple[float, ...]) -> Iterator[str]:
    if not _are_increasing(edges):
        what = "the edges do not increase"
        if not all(is_number(edge) and edge > 0 for edge in edges):
            what = "an edge is not a positive number"
        yield f"{name}: {what}"


def _arm(name: str, arm: ArmCounts, edges: int, *, counted_at_once: bool = True) -> Iterator[str]:
    """Yield the problems of one version's counts, for this number of latency edges. ``counted_at_once``: no answer is
    timed in a later window than the one that counts it."""
    bad = [field for field in ("requests", "errors") if not _is_count(getattr(arm, field))]
    if bad:
        yield f"{name}.{bad[0]}: {getattr(arm, bad[0])!r} is not a count"
        return
    if arm.errors > arm.requests:
        yield f"{name}.errors: {arm.errors} errors of {arm.requests} requests"
    if arm.error_clusters is not None and not (_is_count(arm.error_clusters) and arm.error_clusters <= arm.errors):
        yield f"{name}.error_clusters: {arm.error_clusters!r} of {arm.errors} errors"
    if not _are_counts(arm.latency_counts):
        yield f"{name}.latency_counts: an entry is not a count"
    elif len(arm.latency_counts) != edges + 1:
        yield f"{name}.latency_counts: {len(arm.latency_counts)} entries for {edges} edges, expected {edges + 1}"
    elif counted_at_once and sum(arm.latency_counts) > _COUNTER_SLACK * arm.requests + 2:
        yield f"{name}.latency_counts: {sum(arm.latency_counts)} timed answers of {arm.requests} requests"


def _labels(look: Look, odd: Odd) -> Iterator[str]:
    arms = (("stable_labels", look.stable_labels), ("candidate_labels", look.candidate_labels))
    for name, labels in arms:
        if labels is not None:
            yield from _label_counts(name, labels)
    for place, pair in odd:
        if not isinstance(pair.truth, str) or not pair.truth:
            yield f"pairs[{place}].truth: {pair.truth!r} is not a class"
    for place, source in enumerate(look.label_sources):
        yield from _label_source(f"label_sources[{place}]", source)
    if look.least_likely is not None:
        probability = look.least_likely.inclusion_probability
        if not (is_number(probability) and 0 < probability <= 1):
            yield f"least_likely.inclusion_probability: {probability!r} is not in (0, 1]"


def _label_source(name: str, source: LabelSource) -> Iterator[str]:
    contradictions = ("contradicts_itself", "contradicts_others", "corrected_late", "others_labels")
    for field in ("labelled", "settled", *contradictions):
        if not _is_count(getattr(source, field)):
            yield f"{name}.{field}: {getattr(source, field)!r} is not a count"
            return
    for field, whole in (("unknown", source.labelled), ("unmatched", source.settled)):
        part = getattr(source, field)
        if not (_is_count(part) and part <= whole):
            yield f"{name}.{field}: {part!r} of {whole} labels"
    if not (is_number(source.expected_matched) and 0 <= source.expected_matched <= source.settled):
        yield f"{name}.expected_matched: {source.expected_matched!r} of {source.settled} labels"
    if not all(_is_count(one.labels) for one in source.unknown_names):
        yield f"{name}.unknown_names: an entry is not a count"


def _label_counts(name: str, labels: LabelCounts) -> Iterator[str]:
    if not (_is_count(labels.labelled) and _is_count(labels.wrong)):
        yield f"{name}: {labels.labelled!r} labelled, {labels.wrong!r} wrong are not counts"
    elif labels.wrong > labels.labelled:
        yield f"{name}.wrong: {labels.wrong} wrong of {labels.labelled} labelled"
    elif labels.chances:
        yield from _label_chances(name, labels)


def _label_chances(name: str, labels: LabelCounts) -> Iterator[str]:
    for part in labels.chances:
        probability = part.inclusion_probability
        if not (is_number(probability) and 0 < probability <= 1):
            yield f"{name}.chances.inclusion_probability: {probability!r} is not in (0, 1]"
        elif not (_is_count(part.labelled) and _is_count(part.wrong) and part.wrong <= part.labelled):
            yield f"{name}.chances: {part.wrong!r} wrong of {part.labelled!r} labelled with probability {probability:g}"
    if sum(part.labelled for part in labels.chances) != labels.labelled:
        yield f"{name}.chances: they do not add up to {labels.labelled} labelled"
    elif sum(part.wrong for part in labels.chances) != labels.wrong:
        yield f"{name}.chances: they do not add up to {labels.wrong} wrong"


def _predictions(look: Look, odd: Odd) -> Iterator[str]:
    for field in ("pairs_agreed", "pairs_disagreed"):
        if not _is_count(getattr(look, field)):
            yield f"{field}: {getattr(look, field)!r} is not a count"
    for part in look.slice_pairs:
        if not (_is_count(part.agreed) and _is_count(part.disagreed)):
            yield f"slice_pairs[{part.slice}]: {part.agreed!r} agreed, {part.disagreed!r} disagreed are not counts"
    if look.pair_profile is not None:
        yield from _pair_profile(look.pair_profile, look)
    yield from _replayed(look)
    for place, pair in odd:
        yield from _pair(f"pairs[{place}]", pair)


def _pair_profile(profile: PairProfile, look: Look) -> Iterator[str]:
    bins = len(PAIR_CONFIDENCE_EDGES) + 1
    lengths = (
        ("stable_confidence", bins),
        ("candidate_confidence", bins),
        ("stable_classes", len(look.classes)),
        ("stable_by_class", bins * len(look.classes)),
        ("candidate_by_class", bins * len(look.classes)),
        ("stable_agreed", len(look.classes)),
    )
    for field, length in lengths:
        counts = getattr(profile, field)
        if counts and len(counts) != length:
            yield f"pair_profile.{field}: {len(counts)} entries, expected {length}"
        elif not _are_counts(counts):
            yield f"pair_profile.{field}: an entry is not a count"
            return
    more = [agreed > every for every, agreed in zip(profile.stable_classes, profile.stable_agreed, strict=False)]
    if any(more):
        yield f"pair_profile.stable_agreed[{more.index(True)}]: more than there are pairs of the class"


def _replayed(look: Look) -> Iterator[str]:
    if look.replayed is None:
        return
    if not _is_count(look.replayed.requests):
        yield f"replayed.requests: {look.replayed.requests!r} is not a count"
    for field in ("agreed", "disagreed"):
        part, whole = getattr(look.replayed, field), getattr(look, f"pairs_{field}")
        if not (_is_count(part) and _is_count(whole) and part <= whole):
            yield f"replayed.{field}: {part!r} of {whole!r} pairs"


def _profiles(look: Look) -> Iterator[str]:
    profiles = [("stable_profile", look.stable_profile), ("candidate_profile", look.candidate_profile)]
    profiles += [(f"reference[{place}]", block) for place, block in enumerate(look.reference)]
    for name, profile in profiles:
        if profile is not None:
            yield from _profile(name, profile, look)
    sizes = {len(profile.confidence_counts) for _, profile in profiles if profile is not None}
    if len(sizes - {0}) > 1:
        yield "confidence_counts: the profiles have different bins"


def _profile(name: str, profile: Profile, look: Look) -> Iterator[str]:
    bins = (("token_counts", len(look.token_edges) + 1), ("class_counts", len(look.classes)))
    for field, length in bins:
        if getattr(profile, field) and len(getattr(profile, field)) != length:
            yield f"{name}.{field}: {len(getattr(profile, field))} entries, expected {length}"
    for field in ("token_counts", "class_counts", "confidence_counts"):
        if not _are_counts(getattr(profile, field)):
            yield f"{name}.{field}: an entry is not a count"
    totals = (profile.tokens, profile.unknown_tokens, profile.truncated, profile.requests)
    if not all(_is_count(total) for total in totals):
        yield f"{name}: tokens, unknown_tokens, truncated, requests {totals} are not counts"
    elif profile.unknown_tokens > profile.tokens or profile.truncated > profile.requests:
        yield f"{name}: unknown_tokens or truncated exceed what they are part of"


def _odd(pairs: tuple[LabelledPair, ...]) -> Odd:
    """Return the pairs that a quick test does not clear: as a rule none. ``_pair`` and ``_labels`` then find out what,
    if anything, is wrong with them.

    The test is one expression because it reads every number of every pair at every look.
    """
    found = []
    for place, pair in enumerate(pairs):
        stable, candidate, chance, waited_s = pair.stable, pair.candidate, pair.inclusion_probability, pair.waited_s
        sure, sure_too, brier, brier_too = stable.confidence, candidate.confidence, stable.brier, candidate.brier
        if not (
            type(sure) is type(sure_too) is type(brier) is type(brier_too) is type(chance) is type(waited_s) is float
            and 0.0 <= sure <= 1.0
            and 0.0 <= sure_too <= 1.0
            and 0.0 <= brier <= 2.0
            and 0.0 <= brier_too <= 2.0
            and 0.0 < chance <= 1.0
            and 0.0 <= waited_s < math.inf
            and type(pair.truth) is str
            and pair.truth
            and not (pair.directed and stable.label == candidate.label)
        ):
            found.append((place, pair))
    return found


def _pair(name: str, pair: LabelledPair) -> Iterator[str]:
    yield from _answer(f"{name}.stable", pair.stable)
    yield from _answer(f"{name}.candidate", pair.candidate)
    probability = pair.inclusion_probability
    if not (is_number(probability) and 0 < probability <= 1):
        yield f"{name}.inclusion_probability: {probability!r} is not in (0, 1]"
    if not (is_number(pair.waited_s) and pair.waited_s >= 0):
        yield f"{name}.waited_s: {pair.waited_s!r} is no time"
    if pair.directed and pair.stable.label == pair.candidate.label:
        yield f"{name}.directed: labelled for a disagreement, but both versions said {pair.stable.label!r}"


def _answer(name: str, answer: Answer) -> Iterator[str]:
    if not is_within(answer.confidence, 1.0):
        yield f"{name}.confidence: {answer.confidence!r} is not between 0 and 1"
    if not is_within(answer.brier, 2.0):
        yield f"{name}.brier: {answer.brier!r} is not between 0 and 2"


def is_within(value: object, high: float) -> bool:
    """Return whether the value is a number from 0 to ``high``, up to the rounding of single precision."""
    return isinstance(value, float | int) and not isinstance(value, bool) and -_ROUNDING <= value <= high + _ROUNDING


def _are_increasing(edges: tuple[float, ...]) -> bool:
    """Return whether the edges are positive finite numbers, each above the one before; no edges at all are."""
    if not edges:
        return True
    numbers = set(map(type, edges)) == {float} or all(map(is_number, edges))
    return numbers and edges[0] > 0 and edges[-1] < math.inf and all(map(operator.lt, edges, edges[1:]))


def _are_counts(values: tuple[int, ...]) -> bool:
    if set(map(type, values)) == {int}:
        return min(values) >= 0
    return all(map(_is_count, values))


def _is_count(value: object) -> bool:
    if type(value) is int:
        return value >= 0
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_number(value: object) -> bool:
    """Return whether the value is a finite number and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
