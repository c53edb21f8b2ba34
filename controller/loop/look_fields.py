"""The fields of a look, computed from the answers of its sources."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from controller.core.release import Release
from controller.ports.metrics import GatewayCounts, MetricCounts, Usage
from controller.ports.samples import AnswerCounts, PairCounts, SampleEvidence
from gates.evidence import PAIR_CONFIDENCE_EDGES, ArmCounts, PairProfile, Profile, Resources, UserCounts
from gates.verdict import Window
from serving.contract import USER_EDGES_MS
from serving.package.artifact import Manifest

_HOUR_S: Final = 3600.0


def classes_of(stable: Manifest | None, candidate: Manifest | None) -> tuple[str, ...]:
    """Return the classes of both versions, sorted; empty unless both manifests are known, because the order must stay
    the same in all looks."""
    if stable is None or candidate is None:
        return ()
    return tuple(sorted({*stable.labels, *candidate.labels}))


def counted(counts: MetricCounts, stable: str, candidate: str) -> Mapping[str, Any]:
    none = ArmCounts(0, 0, (0,) * (len(counts.latency_edges_ms) + 1))
    return {
        "latency_edges_ms": counts.latency_edges_ms,
        "stable": counts.live.get(stable, none),
        "candidate": counts.live.get(candidate, none),
        "shadow": counts.shadow.get(candidate, none),
        "stable_parts": counts.parts.get(stable, ()),
        "token_edges": counts.token_edges,
    }


def by_users(counts: MetricCounts, stable: str) -> Mapping[str, Any]:
    """Return the fields with stable's counts by part of its users; empty if the gateway does not tell users apart."""
    parts = counts.users.get(stable, ())
    return {"stable_users": parts, "users_edges_ms": USER_EDGES_MS} if parts else {}


def users_of(
    users: GatewayCounts, counts: MetricCounts | None, stable: str, candidate: str, *, copied_back: bool
) -> UserCounts:
    def arm(version: str) -> ArmCounts:
        return _with_causes(users.live[version], counts.live[version] if counts is not None else None)

    former = None
    if copied_back and stable in users.copies_failed:
        copies = ArmCounts(users.copies[stable], users.copies_failed[stable], (0,))
        former = _with_causes(copies, counts.shadow[stable] if counts is not None else None)
    return UserCounts(arm(stable), arm(candidate), users.latency_edges_ms, former)


def _with_causes(got: ArmCounts, own: ArmCounts | None) -> ArmCounts:
    """Return the gateway's counts with the number of causes of errors: those that the replicas counted (``own``), and
    one more for requests that never reached a replica."""
    if own is None:
        return replace(got, error_clusters=min(got.errors, 1))
    if own.error_clusters is None:
        return got
    causes = own.error_clusters + (got.errors > own.errors)
    return replace(got, error_clusters=min(causes, got.errors))


def sampled(found: SampleEvidence, labelled: float) -> Mapping[str, Any]:
    """Return the fields that come from samples. ``labelled``: the smallest share (0 to 1) at which a labelled request
    may have been sampled. At least this share of a source's labels should meet a sample, even if their requests came
    before the release, when a smaller share was sampled."""
    sources = (
        replace(one, expected_matched=min(one.expected_matched, labelled * one.settled)) for one in found.label_sources
    )
    return {
        "pairs": found.pairs,
        "pairs_agreed": found.pairs_agreed,
        "pairs_disagreed": found.pairs_disagreed,
        "slice_pairs": found.slice_pairs,
        "replayed": found.replayed,
        "stable_labels": found.stable_labels,
        "candidate_labels": found.candidate_labels,
        "label_sources": tuple(sources),
    }


def pair_profile(counts: PairCounts | None, classes: Sequence[str]) -> PairProfile | None:
    if counts is None:
        return None
    none = (0,) * (len(PAIR_CONFIDENCE_EDGES) + 1)

    def in_all(side: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
        return tuple(map(sum, zip(none, *side.values(), strict=True)))

    def by_class(side: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
        return tuple(count for name in classes for count in side.get(name, none))

    return PairProfile(
        stable_confidence=in_all(counts.stable),
        candidate_confidence=in_all(counts.candidate),
        stable_classes=tuple(sum(counts.stable.get(name, none)) for name in classes),
        stable_by_class=by_class(counts.stable),
        candidate_by_class=by_class(counts.candidate),
        stable_agreed=tuple(counts.agreed.get(name, 0) for name in classes),
    )


def profile(usage: Usage | None, answers: AnswerCounts | None, classes: Sequence[str]) -> Profile:
    """Return one version's profile. Answers with a class that neither version has are left out: they cannot be
    genuine."""
    used = usage or Usage(replicas=0)
    sampled = answers or AnswerCounts({}, ())
    return Profile(
        token_counts=used.token_counts if usage is not None else sampled.token_counts,
        class_counts=tuple(sampled.classes.get(name, 0) for name in classes) if answers is not None else (),
        confidence_counts=sampled.confidence_counts,
        tokens=used.tokens or 0,
        unknown_tokens=used.unknown_tokens or 0,
        truncated=used.truncated or 0,
        requests=used.texts or 0,
        tokenizer=used.tokenizer,
    )


def resources(release: Release, counts: MetricCounts, number: str, window: Window, restarts: int | None) -> Resources:
    usage, arms = counts.usage[number], (counts.live.get(number), counts.shadow.get(number))
    answered = sum(sum(arm.latency_counts) for arm in arms if arm is not None)
    limits = release.policy.gates.limits
    price = limits.replica_hour_price if limits is not None else None
    counted = release.cursors.counters is not None  # the first look counts no requests, so it has no cost
    return replace(
        usage.resources,
        restarts=restarts,
        requests_per_busy_s=answered / usage.busy_s if usage.busy_s else None,
        cost=price * usage.replicas * window.length_s / _HOUR_S if price is not None and counted else None,
    )
