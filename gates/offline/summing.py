"""Consecutive looks as one: their counts are added up, so that the sum can be judged and reported as a look."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from functools import reduce

from gates.evidence import (
    ArmCounts,
    LabelChance,
    LabelCounts,
    LabelledPair,
    Look,
    PairProfile,
    Profile,
    Replayed,
    Resources,
    SlicePairs,
    UserCounts,
    label_counts,
)
from gates.verdict import Window

_COUNTS = ("token_counts", "class_counts", "confidence_counts")


def can_be_added(look: Look, following: Look) -> bool:
    """Return whether the two looks are of the same kind: the same exposure and measures, the same sources known and
    missing, and in ``following`` nothing of what a release is told once (``reference``, ``earlier``)."""
    return not (following.reference or following.earlier) and _shape(look) == _shape(following)


def summed(looks: Sequence[Look]) -> Look:
    """Return one look that stands for all looks, each of which can be added to the one before (`can_be_added`).

    It has the number of the last look. Counts are added up, pairs keep their order, resources are at their worst, and
    label sources and unseen slices are those found last. There has to be a look.
    """
    return reduce(_added, looks)


def _shape(look: Look) -> tuple[object, ...]:
    users = (look.users.stable, look.users.candidate, look.users.former) if look.users is not None else ()
    arms = (look.stable, look.candidate, look.shadow, look.former, *users, *look.stable_parts, *look.stable_users)
    profiles = (look.stable_profile, look.candidate_profile)
    return (
        look.candidate_share,
        look.mirrors,
        look.load_ratio,
        look.warming,
        look.sticky,
        look.latency_edges_ms,
        look.users_edges_ms,
        len(look.stable_parts),
        look.token_edges,
        look.classes,
        look.tokenizer_pinned,
        look.tokens_max,
        {fault.source for fault in look.faults},
        look.users is None,
        look.users.latency_edges_ms if look.users else (),
        tuple(arm and (len(arm.latency_counts), arm.error_clusters is None) for arm in arms),
        tuple(part and (part.tokenizer, *(len(getattr(part, name)) for name in _COUNTS)) for part in profiles),
        look.pair_profile and tuple(len(getattr(look.pair_profile, one.name)) for one in fields(PairProfile)),
        tuple(part is None for part in (look.stable_labels, look.candidate_labels)),
        tuple(part is None for part in (look.stable_resources, look.candidate_resources)),
    )


def _added(one: Look, two: Look) -> Look:
    return replace(
        two,
        window=Window(one.window.start_s, two.window.end_s),
        stable=_arms(one.stable, two.stable),
        candidate=_arms(one.candidate, two.candidate),
        shadow=_arms(one.shadow, two.shadow),
        pairs=_earlier(one.pairs, two.window.end_s - one.window.end_s) + two.pairs,
        pairs_agreed=one.pairs_agreed + two.pairs_agreed,
        pairs_disagreed=one.pairs_disagreed + two.pairs_disagreed,
        slice_pairs=_slices((*one.slice_pairs, *two.slice_pairs)),
        pair_profile=_pair_profiles(one.pair_profile, two.pair_profile),
        stable_labels=_labels(one.stable_labels, two.stable_labels),
        candidate_labels=_labels(one.candidate_labels, two.candidate_labels),
        stable_profile=_profiles(one.stable_profile, two.stable_profile),
        candidate_profile=_profiles(one.candidate_profile, two.candidate_profile),
        stable_resources=_resources(one.stable_resources, two.stable_resources),
        candidate_resources=_resources(one.candidate_resources, two.candidate_resources),
        reference=one.reference,
        earlier=one.earlier,
        label_sources=two.label_sources or one.label_sources,
        least_likely=two.least_likely or one.least_likely,
        users=_users(one.users, two.users),
        replayed=_replayed(one.replayed, two.replayed),
        former=_arms(one.former, two.former),
        stable_parts=_parts(one.stable_parts, two.stable_parts),
        stable_users=_parts(one.stable_users, two.stable_users),
    )


def _parts(one: Sequence[ArmCounts], two: Sequence[ArmCounts]) -> tuple[ArmCounts, ...]:
    return tuple(map(_both, one, two))


def _earlier(pairs: Sequence[LabelledPair], by_s: float) -> tuple[LabelledPair, ...]:
    """Return the pairs as a look ``by_s`` later has them: ``waited_s`` grows, the times of the answers stay."""
    return tuple(replace(pair, waited_s=pair.waited_s + by_s) for pair in pairs)


def _pair_profiles(one: PairProfile | None, two: PairProfile | None) -> PairProfile | None:
    if one is None or two is None:
        return None
    return PairProfile(*(_sums(getattr(one, part.name), getattr(two, part.name)) for part in fields(PairProfile)))


def _sums(one: Sequence[int], two: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(int.__add__, one, two))


def _arms(one: ArmCounts | None, two: ArmCounts | None) -> ArmCounts | None:
    return None if one is None or two is None else _both(one, two)


def _both(one: ArmCounts, two: ArmCounts) -> ArmCounts:
    known = one.error_clusters is not None and two.error_clusters is not None
    return ArmCounts(
        one.requests + two.requests,
        one.errors + two.errors,
        _sums(one.latency_counts, two.latency_counts),
        (one.error_clusters or 0) + (two.error_clusters or 0) if known else None,
    )


def _users(one: UserCounts | None, two: UserCounts | None) -> UserCounts | None:
    if one is None or two is None:
        return None
    stable, candidate = _arms(one.stable, two.stable), _arms(one.candidate, two.candidate)
    return (
        None
        if stable is None or candidate is None
        else replace(two, stable=stable, candidate=candidate, former=_arms(one.former, two.former))
    )


def _replayed(one: Replayed | None, two: Replayed | None) -> Replayed | None:
    if one is None or two is None:
        return one or two
    return Replayed(one.requests + two.requests, one.agreed + two.agreed, one.disagreed + two.disagreed)


def _slices(parts: Iterable[SlicePairs]) -> tuple[SlicePairs, ...]:
    found: dict[str, SlicePairs] = {}
    for part in parts:
        before = found.get(part.slice, SlicePairs(part.slice, 0, 0))
        found[part.slice] = SlicePairs(part.slice, before.agreed + part.agreed, before.disagreed + part.disagreed)
    return tuple(found.values())


def _labels(one: LabelCounts | None, two: LabelCounts | None) -> LabelCounts | None:
    if one is None or two is None:
        return None
    found: dict[float, LabelChance] = {}
    for counts in (one, two):
        for part in counts.chances or (LabelChance(1.0, counts.labelled, counts.wrong),):
            before = found.get(part.inclusion_probability, LabelChance(part.inclusion_probability, 0, 0))
            found[part.inclusion_probability] = replace(
                before, labelled=before.labelled + part.labelled, wrong=before.wrong + part.wrong
            )
    return label_counts(part for part in found.values() if part.labelled or len(found) == 1)


def _profiles(one: Profile | None, two: Profile | None) -> Profile | None:
    if one is None or two is None:
        return None
    return Profile(
        token_counts=_sums(one.token_counts, two.token_counts),
        class_counts=_sums(one.class_counts, two.class_counts),
        confidence_counts=_sums(one.confidence_counts, two.confidence_counts),
        tokens=one.tokens + two.tokens,
        unknown_tokens=one.unknown_tokens + two.unknown_tokens,
        truncated=one.truncated + two.truncated,
        requests=one.requests + two.requests,
        tokenizer=two.tokenizer,
    )


def _resources(one: Resources | None, two: Resources | None) -> Resources | None:
    """Return the resources of both windows: the worst of each, but the sum of cold starts and of costs, which are
    counted by window. (Restarts are counted since the release started.)"""
    if one is None or two is None:
        return None
    found: dict[str, float | None] = {}
    for name in (field.name for field in fields(Resources)):
        values = [value for value in (getattr(one, name), getattr(two, name)) if value is not None]
        if not values:
            found[name] = None
        elif name in ("cold_starts", "cost"):
            found[name] = sum(values)
        else:
            found[name] = min(values) if name == "requests_per_busy_s" else max(values)
    return Resources(**found)  # type: ignore[arg-type]  # of two whole numbers, sum and larger are whole
