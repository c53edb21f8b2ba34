"""Texts that are alike, as a look tells of them: by the times of their requests, and what earlier releases found."""

import math
from collections.abc import Sequence
from dataclasses import replace

from gates.evidence import LabelledPair, Look
from gates.online.noise import as_begun
from gates.stats.alike import Alike


def expected(alike: Alike, look: Look, gate: str) -> Alike:
    """As a gate begins a release: with what earlier ones found, where the look tells it."""
    return as_begun(alike, look, gate, "spread")


def seen(alike: Alike, values: Sequence[float], pairs: Sequence[LabelledPair], look: Look) -> Alike:
    """With the values of labelled pairs, in parts as long as a look: labels of many hours may come in a file."""
    if len({pair.waited_s for pair in pairs}) == 1:  # as mostly
        return alike.add(len(values), math.fsum(values), math.fsum(value * value for value in values))
    parts: dict[int, tuple[int, float, float]] = {}
    end_s, length_s = look.window.end_s, max(look.window.length_s, 1e-3)
    for value, pair in zip(values, pairs, strict=True):
        place = int((end_s - pair.waited_s) // length_s)
        count, total, squares = parts.get(place, (0, 0.0, 0.0))
        parts[place] = count + 1, total + value, squares + value * value
    for place in sorted(parts):
        alike = alike.add(*parts[place])
    return alike


def with_times(alike: Alike, pairs: Sequence[LabelledPair], look: Look, incident_s: float) -> Alike:
    """With how many incidents' times the labels of a look are of: of as much time as the look at least. Where nobody
    says how long an incident lasts, nothing is held back at first."""
    if not incident_s:
        return replace(alike, spells=math.inf)
    if not pairs:
        return alike
    waited_s = [pair.waited_s for pair in pairs]
    covered_s = max(max(waited_s) - min(waited_s), look.window.length_s)
    return replace(alike, spells=alike.spells + covered_s / incident_s)
