"""The traffic that a forecast is made for. Each number is given, observed in evidence, set by the policy, or
assumed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from controller.core.policy import ReleasePolicy
from controller.errors import UsageError
from gates.evidence import Look
from gates.forecast.traffic import PlannedSlice, Traffic
from gates.offline.backtest.service import Service
from gates.offline.noise import found_in
from gates.policy import GatePolicy


@dataclass(frozen=True, slots=True)
class ReleaseTraffic(Traffic):
    """The traffic of a release, with the texts that its policy replays."""

    suite_texts: int = 0  # texts of shadow_replay.suites that no release has asked before; each has its label


SLICE: Final = "slice"
"""The first word in the name of a number that is a slice's share of the requests."""


@dataclass(frozen=True, slots=True)
class Known:
    """One number about the traffic. ``source``: given, observed, policy or assumed."""

    name: str
    value: float
    source: str


APART: Final = "_apart"
"""The end of the name of a number that says by which ratio, less 1, two parts of stable or of its users differ."""

SUITE_TEXTS: Final = "suite_texts"
"""The name of the number of suite texts that are replayed."""

_NUMBERS: Final = tuple(field.name for field in fields(Traffic) if field.name not in ("steps", "slices", "slice_ratio"))


def traffic_known(
    policy: ReleasePolicy,
    given: dict[str, float | None],
    service: Service | None,
    releases: Sequence[Sequence[Look]] = (),
    suite_texts: Known | None = None,
) -> tuple[ReleaseTraffic, tuple[Known, ...]]:
    """Return the traffic, and each of its numbers with its source. A given number is preferred to an observed one, and
    that to an assumed one.

    ``releases``: the looks of each release behind ``service``, from which the gates compute some numbers.
    ``suite_texts``: the number of suite texts that are replayed.

    Raises:
        UsageError: the rate of requests is neither given nor observed, or a given number is not finite.
    """
    for name, value in given.items():
        if value is not None and not math.isfinite(value):
            raise UsageError(f"{name} must be a finite number, got {value:g}")
    noise = found_in(policy.gates, releases)
    observed = _observed(service) if service is not None else {}
    observed |= {f"{events}_effect": one.effect for events, one in noise.items()}
    observed |= {f"{events}{APART}": one.apart for events, one in noise.items() if one.apart is not None}
    assumed = {field.name: field.default for field in fields(Traffic)}
    found: dict[str, Known] = {}
    for name in _NUMBERS:
        asked = given.get(name)
        if asked is not None:
            found[name] = Known(name, asked, "given")
        elif name == "mirror_ratio":
            found[name] = Known(name, policy.mirror_pct / 100, "policy")
        elif name in observed:
            found[name] = Known(name, observed[name], "observed")
        elif name == "requests_per_s":
            raise UsageError("how many requests a second are there? Say --requests-per-s, or name recorded evidence")
        elif name == "live_label_ratio":  # labels of live answers and of pairs come from the same people
            found[name] = Known(name, found["label_ratio"].value, "assumed")
        else:
            found[name] = Known(name, float(str(assumed[name])), "assumed")
    slices, told = _slices(policy.gates, service, found["disagreement_ratio"].value)
    numbers: dict[str, Any] = {name: known.value for name, known in found.items()}
    traffic = ReleaseTraffic(steps=(), slices=slices, **numbers)
    if suite_texts is None:
        return traffic, (*found.values(), *told)
    return replace(traffic, suite_texts=int(suite_texts.value)), (*found.values(), suite_texts, *told)


def suite_texts_known(given: int | None, in_files: int) -> Known | None:
    """Return the number of suite texts that are replayed: as given, else all texts in the files; None if there are
    none."""
    if given is not None:
        return Known(SUITE_TEXTS, given, "given")
    return Known(SUITE_TEXTS, in_files, "policy") if in_files else None


def _slices(
    policy: GatePolicy, service: Service | None, disagreement: float
) -> tuple[tuple[PlannedSlice, ...], list[Known]]:
    """Return the slices that the policy judges, and their shares. A slice that no evidence shows gets a usual share."""
    observed = {part.name: part for part in service.pairing.slices} if service is not None else {}
    slices, told = [], []
    for part in policy.slices:
        seen = observed.get(part.name)
        planned = PlannedSlice(part.name, disagreement_ratio=disagreement)
        if seen is not None:
            planned = PlannedSlice(part.name, seen.share, seen.disagreement)
        slices.append(planned)
        told.append(Known(f"{SLICE} {part.name}", planned.share_ratio, "assumed" if seen is None else "observed"))
    return tuple(slices), told


def _observed(service: Service) -> dict[str, float]:
    """Return the numbers that the evidence shows, by name. Rates of pairs are per mirrored request."""
    pairing = service.pairing
    found = {"requests_per_s": service.requests / service.seconds}
    if service.stable_requests:
        found["error_ratio"] = service.errors / service.stable_requests
    if sum(service.latency_counts) and len(service.edges_ms) > 1:
        median_ms, found["latency_spread"] = _latency(service)
        found["latency_median_ms"] = median_ms
    if pairing.per_request and service.mirrored:
        captured = min(pairing.per_request / service.mirrored, 1.0)
        found["disagreement_ratio"] = pairing.disagreement
        found["label_ratio"] = captured * pairing.labelled
        found["directed_ratio"] = captured * pairing.directed
    if pairing.labelled or pairing.directed or service.live_labelled:
        found["label_delay_s"] = service.label_delay_s
    if service.live_labelled:
        found["live_label_ratio"], found["wrong_ratio"] = service.live_labelled, service.live_wrong
    if len(pairing.chance_pairs) > 1:
        changes = [
            (pair.candidate.confidence - (pair.candidate.label == pair.truth))
            - (pair.stable.confidence - (pair.stable.label == pair.truth))
            for pair in pairing.chance_pairs
        ]
        found["gap_spread"] = float(np.std(changes))
        found["brier_spread"] = float(np.std([p.candidate.brier - p.stable.brier for p in pairing.chance_pairs]))
    return found


def _latency(service: Service) -> tuple[float, float]:
    """Return the median latency in ms and the standard deviation of its logarithm, with each answer taken at the middle
    of its bucket."""
    edges = np.log(np.array(service.edges_ms))
    middles = np.concatenate((edges, edges[-1:])) - (edges[1] - edges[0]) / 2
    counts = np.array(service.latency_counts)
    mean = np.average(middles, weights=counts)
    spread = max(float(math.sqrt(np.average((middles - mean) ** 2, weights=counts))), 0.01)
    reached = np.cumsum(counts)
    return math.exp(middles[int(np.searchsorted(reached, reached[-1] / 2))]), spread
