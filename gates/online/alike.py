"""Texts that are alike (`gates.stats.alike`), read from a look: by the times of the labelled requests, and with what
earlier releases found."""

import math
from collections.abc import Sequence
from dataclasses import replace

from gates.evidence import LabelledPair, Look
from gates.online.noise import as_begun
from gates.stats.alike import Alike


def expected(alike: Alike, look: Look, gate: str) -> Alike:
    """Return ``alike`` as a gate begins a release: expecting what earlier releases found, if the look says."""
    return as_begun(alike, look, gate, "spread")


def seen(alike: Alike, values: Sequence[float], pairs: Sequence[LabelledPair], look: Look, incident_s: float) -> Alike:
    """Return ``alike`` with the values of labelled pairs, in parts as long as a look; where a look is longer than an
    incident (``incident_s``), in parts as long as an incident.

    Labels of many hours may come in one file, and one look may cover an hour in which the controller was away.
    """
    waited_s, length_s = [pair.waited_s for pair in pairs], max(look.window.length_s, 1e-3)
    spells = round(length_s / incident_s) if incident_s else 1
    if spells < 2 and len(set(waited_s)) == 1:  # the usual case
        return alike.add(len(values), math.fsum(values), math.fsum(value * value for value in values))
    parts: dict[int, tuple[int, float, float]] = {}
    for place, value in zip(_places(waited_s, look.window.end_s, length_s, max(spells, 1)), values, strict=True):
        count, total, squares = parts.get(place, (0, 0.0, 0.0))
        parts[place] = count + 1, total + value, squares + value * value
    for place in sorted(parts):
        alike = alike.add(*parts[place])
    return alike


def _places(waited_s: Sequence[float], end_s: float, length_s: float, spells: int) -> list[int]:
    """Return the number of the part that each label belongs to, in a look that is divided into ``spells`` parts. If all
    labels of a long look came about equally long after their requests, their order tells the times of these."""
    if spells > 1 and waited_s and max(waited_s) - min(waited_s) < length_s / 2:
        return [number * spells // len(waited_s) for number in range(len(waited_s))]
    part_s = length_s / spells
    return [int((end_s - waited) // part_s) for waited in waited_s]


def with_times(alike: Alike, pairs: Sequence[LabelledPair], look: Look, incident_s: float) -> Alike:
    """Return ``alike`` with the number of incidents' times that the labels of a look cover, which is at least the look
    itself. Where ``incident_s`` is 0, nothing is held back at first."""
    if not incident_s:
        return replace(alike, spells=math.inf)
    if not pairs:
        return alike
    waited_s = [pair.waited_s for pair in pairs]
    covered_s = max(max(waited_s) - min(waited_s), look.window.length_s)
    return replace(alike, spells=alike.spells + covered_s / incident_s)
