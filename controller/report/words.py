"""Numbers, times and outcomes in words, the same in the report, the status table and the CI step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.core.commands import Freeze
from controller.core.counted import agreed, counted
from controller.core.release import Phase, Purpose, Release
from gates.evidence import LabelSource
from gates.outcome import Outcome
from gates.verdict import Limit, Rule, Verdict

_MINUS, _NOTHING = "\N{MINUS SIGN}", "\N{EN DASH}"
SYMBOLS = {Outcome.PASS: "✓", Outcome.FAIL: "✕", Outcome.INCONCLUSIVE: "…", Outcome.ERROR: "!"}

PHASE_WORDS = {
    Phase.PENDING: "waits for its turn",
    Phase.PREFLIGHT: "is in preflight",
    Phase.SUITE: "is answering the suites",
    Phase.SHADOW: "answers mirrored traffic",
    Phase.CANARY: "serves a canary share",
    Phase.PROMOTING: "is being promoted",
    Phase.PROBATION: "was promoted and is on probation",
    Phase.PROMOTED: "was promoted",
    Phase.ROLLING_BACK: "is being rolled back",
    Phase.ROLLED_BACK: "was rolled back",
    Phase.REJECTED: "was rejected before it got traffic",
    Phase.HELD: "is held until a person decides",
    Phase.SUPERSEDED: "was superseded by a newer version",
    Phase.ABORTED: "was aborted",
}

_RESTORE_WORDS = {Phase.PROMOTING: "is being restored", Phase.PROMOTED: "was restored"}
_RESTORE_TITLES = {Phase.PROMOTING: "Being restored", Phase.PROMOTED: "Restored"}

_UNITS_S = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0))


def phase_title(phase: Phase, weight_pct: float | None = None, purpose: Purpose = Purpose.PROMOTE) -> str:
    """Return the title of a phase: its name, or ``Canary 5 %`` for a step. A restore is not called a promotion."""
    if purpose is Purpose.RESTORE and phase in _RESTORE_TITLES:
        return _RESTORE_TITLES[phase]
    name = phase.value.replace("_", " ").capitalize()
    return name if weight_pct is None else f"{name} {weight_pct:g} %"


def became(release: Release) -> str:
    """Return what has happened to the release's version so far, in words; in a restore it ``was restored``."""
    words = PHASE_WORDS[release.phase]
    return _RESTORE_WORDS.get(release.phase, words) if release.purpose is Purpose.RESTORE else words


def oddities(source: LabelSource) -> tuple[str, ...]:
    """Return what is wrong with a source of labels, in a few words each; empty if nothing is. Labels without a sampled
    request count only if they are more than the share of samples explains."""
    too_few_match = source.settled - source.unmatched < source.expected_matched / 2
    found = (
        (source.unknown, f"of {counted(source.labelled, 'label')} {agreed(source.unknown, 'name')} no class"),
        (
            source.unmatched if too_few_match else 0,
            f"of {source.settled:,} {agreed(source.unmatched, 'match')} no sampled request",
        ),
        (source.contradicts_itself, f"{agreed(source.contradicts_itself, 'contradict')} its earlier labels"),
        (source.contradicts_others, f"{agreed(source.contradicts_others, 'contradict')} another source"),
        (source.corrected_late, f"{'correction' if source.corrected_late == 1 else 'corrections'} came too late"),
    )
    return tuple(f"{number:,} {words}" for number, words in found if number)


def duration(seconds: float) -> str:
    """Return the duration in at most two units: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``1 h 5 min``, ``2 d``."""
    if seconds < 0:
        return _MINUS + duration(-seconds)
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for (name, size), (below, below_size) in zip(_UNITS_S, (*_UNITS_S[1:], ("s", 1.0)), strict=True):
        if whole >= size:
            first, rest = divmod(whole, size)
            second = round(rest / below_size)
            if second * below_size == size:
                first, second = first + 1, 0
            return f"{first:.0f} {name}" + (f" {second} {below}" if second else "")
    return f"{whole} s"


def utc(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at_s: float, now_s: float) -> str:
    """Return the time of day, ``22:58 UTC``, with the date if it is not today's."""
    at, now = datetime.fromtimestamp(at_s, UTC), datetime.fromtimestamp(now_s, UTC)
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def frozen_by(freeze: Freeze, now_s: float) -> str:
    """Return who made the freeze and why, and its end if it ends by itself."""
    return f"{freeze.by}: {freeze.reason}{until(freeze, now_s)}"


def until(freeze: Freeze, now_s: float) -> str:
    """Return `` (until 22:58 UTC, in 1 h 5 min)`` with its leading space; empty if only a person ends the freeze."""
    if freeze.ends_at_s is None:
        return ""
    left = "its time is over" if freeze.is_over(now_s) else f"in {duration(freeze.ends_at_s - now_s)}"
    return f" (until {clock(freeze.ends_at_s, now_s)}, {left})"


def figure(value: float | None, *, signed: bool = False) -> str:
    """Return a measured value with three significant digits, grouped thousands and a real minus sign; a dash for None
    or NaN."""
    if value is None or math.isnan(value):
        return _NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    sign = _MINUS if value < 0 else "+" if signed and value > 0 else ""
    size = abs(value)
    if size >= 1000 or size == 0:
        return f"{sign}{size:,.0f}"
    digits = max(0, min(4, 2 - math.floor(math.log10(size))))
    return f"{sign}{size:.{digits}f}"


def exact(value: float | None) -> str:
    """Return a number without rounding: ``0.8``, ``1.15``, ``1,000``; a dash for None."""
    return _NOTHING if value is None else f"{value:,.10g}".replace("-", _MINUS)


@dataclass(frozen=True, slots=True)
class Measure:
    """A value with its unit and its limit, as a row shows them: ``0.87``, ``accuracy``, ``≥ 0.8 floor``."""

    value: str
    unit: str
    limit: str


def measures(verdict: Verdict) -> tuple[Measure, ...]:
    """Return the measures that decided the verdict, one for each limit; if its limits were not recorded, its value and
    threshold."""
    signed = is_signed(verdict.unit)
    if not verdict.limits:
        return (Measure(figure(verdict.value, signed=signed), verdict.unit, threshold(verdict.threshold)),)
    return tuple(
        Measure(figure(one.measured, signed=is_signed(one.unit)), one.unit, _limit(one)) for one in verdict.limits
    )


def _limit(limit: Limit) -> str:
    sign = "≥" if limit.at_least else "≤" if limit.rule is Rule.CEILING else "<"
    return f"{sign} {exact(round(limit.value, 4))} {limit.rule}"


def threshold(value: float | None) -> str:
    """Return a threshold with at most four significant digits, because some are computed; a dash if there is none."""
    return exact(None if value is None or not math.isfinite(value) else float(f"{value:.4g}"))


def is_signed(unit: str) -> bool:
    """Return whether the unit is that of a difference, which is shown with its sign."""
    return unit.startswith("points") or unit.endswith("gap")


def is_idle(verdict: Verdict) -> bool:
    """Return whether the verdict is that of an advisory gate without evidence, which is shown briefly."""
    return verdict.advisory and verdict.outcome is Outcome.INCONCLUSIVE and not verdict.samples


def compact(count: int) -> str:
    """Return the count in short form: ``940``, ``1.2k``, ``34k``, ``5.1M``."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return (
                f"{count / size:.1f}".removesuffix(".0") + letter if count < 10 * size else f"{count // size}{letter}"
            )
    return str(count)


def listed(names: Iterable[str]) -> str:
    """Return the names as a list in words: ``a``, ``a and b``, ``a, b and c``."""
    *most, last = list(names) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def shortened(text: str, width: int) -> str:
    """Return the text on one line of at most ``width`` characters, cut after a word if possible."""
    flat = " ".join(text.split())
    if len(flat) <= width:
        return flat
    cut = flat[: max(width - 1, 1)]
    at_word = cut.rsplit(" ", 1)[0] if " " in cut[width // 2 :] else cut
    return at_word.rstrip(" ,;:") + "…"
