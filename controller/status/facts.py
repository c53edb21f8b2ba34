"""The facts of one release besides its gates: versions, traffic, phase, what is away or odd."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from controller.core.condition import Condition
from controller.core.notes import READ_BY_LOOKS
from controller.core.release import TERMINAL, Phase, Release
from controller.core.traffic import TrafficTable
from controller.journal.notes import SamplingSet
from controller.overview import Overview
from controller.ports.recordings import ReplayProgress
from controller.ports.runtime import DeploymentStatus
from controller.ports.suites import SuiteProgress
from controller.report.words import clock, duration, oddities, shortened, utc
from gates.evidence import LabelSource
from serving.text.printable import printable, shown

_BEFORE_TRAFFIC: Final = frozenset({Phase.PENDING, Phase.PREFLIGHT, Phase.SUITE})  # no table is of the release yet

_SOON_S = 300.0  # a deadline that is nearer stands out


@dataclass(frozen=True, slots=True)
class Facts:
    """The things known of a release beside its state. ``live``: somebody decides, so that faults are those of now."""

    release: Release
    table: TrafficTable | None
    running: Mapping[str, DeploymentStatus]
    now_s: float
    waiting: str  # what the policy's serving block says now, and no replica yet
    asked: Sequence[SuiteProgress]
    sampled: SamplingSet | None
    replay: ReplayProgress | None
    watched: str = ""  # what is known of the version that serves
    live: bool = True

    @classmethod
    def of(cls, release: Release, seen: Overview) -> "Facts":
        model = release.model
        return cls(
            release,
            seen.traffic.get(model),
            seen.deployments.get(model, {}),
            seen.now_s,
            seen.waiting.get(model, ""),
            seen.asking.get(model, ()),
            seen.sampling.get(model),
            seen.replays.get(model),
            seen.watched.get(model, ""),
            seen.is_live,
        )

    def rows(self, width: int, *, whole: bool) -> Iterator[tuple[str, Text]]:
        """Yield names and what stands beside them. ``whole``: nothing is cut."""
        yield from self._standing()
        yield from self._troubles()
        yield from self._beside()
        release = self.release
        if release.phase not in TERMINAL and release.phase is not Phase.HELD:  # those say it in their first sentence
            reason = release.reason
            yield "last", Text(printable(reason) if whole else shortened(reason, 2 * (width - 14)))

    def _standing(self) -> Iterator[tuple[str, Text]]:
        release = self.release
        yield "versions", _versions(release)
        yield "traffic", weights(self.table, release)
        if words := _mirroring(release):
            yield "mirror", Text(printable(words), "bold")
        yield "phase", _phase(release, self.now_s)
        if words := _warming(release, self.now_s):
            yield "warm-up", Text(words, "bold")

    def _troubles(self) -> Iterator[tuple[str, Text]]:
        release = self.release
        for status in self.running.values():
            if not status.ready:
                yield "replica", _replica(status)
        yield from self._faults()
        for verdict in release.verdicts.values():
            if verdict.breach:
                yield "breach", Text(printable(verdict.reason), "bold")
        for source_of_labels in release.label_sources:
            if oddities(source_of_labels):
                yield "labels", _labels_of(source_of_labels)

    def _faults(self) -> Iterator[tuple[str, Text]]:
        """Yield what is away; of an ended release nothing, and of a held one as it was at its last look."""
        release = self.release
        for source, reason in sorted(release.faults.items()) if release.active else ():
            past = "" if self.live else " (as recorded; nobody checks now)"
            if self.live and release.phase is Phase.HELD and source in READ_BY_LOOKS:
                past = f" (at its last look, {clock(release.looked_at_s or release.phase_since_s, self.now_s)})"
            yield f"no {source}", Text(printable(reason + past), "dim" if past else "magenta")

    def _beside(self) -> Iterator[tuple[str, Text]]:
        for progress in self.asked:
            yield "suite", _asked(progress)
        if self.replay is not None:
            yield "replay", _replayed(self.replay)
        if self.sampled is not None:
            yield "samples", _sampled(self.sampled)
        if self.watched:
            yield "watch", Text(printable(self.watched))
        if self.waiting:
            how = f"serin release again {self.release.model}"
            yield "serving", Text(printable(f"{self.waiting}, with the next release, or: {how}"), "bold")


def weights(table: TrafficTable | None, release: Release | None) -> Text:
    return Text.assemble(*shares(table, release))


def shares(table: TrafficTable | None, release: Release | None) -> tuple[tuple[str, str], ...]:
    """Return who is answered by what, in words and their styles."""
    if table is None:
        was_routed = release is not None and (release.stable is not None or release.champion_moved)
        return (("none visible now", "bold"),) if was_routed else (("not routed yet", "dim"),)
    parts = ", ".join(f"version {version} {pct:g} %" for version, pct in table.weights_pct.items())
    mirrored = f"; {table.mirror.pct:g} % mirrored to version {table.mirror.version}" if table.mirror else ""
    moving = "  (not served yet)" if release is not None and _is_moving(release) else ""
    by_hand = printable(f"  set by {table.override.by}: {table.override.reason}") if table.override else ""
    return (parts + mirrored, ""), (moving, "dim"), (by_hand, "bold")


def _is_moving(release: Release) -> bool:
    return release.active and not release.routed and release.phase not in _BEFORE_TRAFFIC


def _versions(release: Release) -> Text:
    champion = f"version {release.stable.number}" if release.stable else "none yet"
    if release.champion_moved:
        champion = f"version {release.candidate.number} (was {release.stable.number if release.stable else 'none'})"
    return Text(f"champion {champion}, candidate version {release.candidate.number}")


def _mirroring(release: Release) -> str:
    """Return what the data plane cannot copy; empty where it copies everything both ways."""
    able = release.able
    if release.phase is Phase.PROBATION and release.step == 0 and not release.copied_back_pct:
        return "nothing is mirrored to the former version: faults in probation are reported, and nothing is rolled back"
    if able is None or not release.active or able.mirrors_both_ways:
        return ""
    if not able.mirrors:
        return f"no mirror here ({able.name}): no shadow phase, and nothing is judged on mirrored requests"
    return f"one way ({able.name}): what the candidate serves is not mirrored to stable"


def _phase(release: Release, now_s: float) -> Text:
    since = f"{duration(now_s - release.phase_since_s)}"
    began = clock(release.phase_since_s, now_s)
    if release.phase in TERMINAL:
        return Text(f"settled {since} ago, at {began}")
    words = f"for {since}, since {began}"
    if release.deadline_at_s is None or release.phase in (Phase.ROLLING_BACK, Phase.HELD):
        return Text(words)
    left_s, at = release.deadline_at_s - now_s, clock(release.deadline_at_s, now_s)
    end = "ends" if release.phase is Phase.PROBATION else "deadline"
    left = f"{end} in {duration(left_s)}, at {at}" if left_s >= 0 else f"{end} passed {duration(-left_s)} ago, at {at}"
    return Text.assemble(words, "; ", (left, "" if left_s > _SOON_S else "bold"))


def _warming(release: Release, now_s: float) -> str:
    """Return until when a version warms up at its share; empty where none does, or users are not answered yet."""
    warm_at_s = release.warm_at_s if release.routed else None
    if warm_at_s is None or now_s >= warm_at_s:
        return ""
    return f"warming up until {utc(warm_at_s)}; until then latency does not count"


def _asked(progress: SuiteProgress) -> Text:
    names = ", ".join(shown(name) for name in progress.suites)
    return Text(printable(f"{names} {progress.asked:,} of {progress.cases:,}, version {progress.version}"))


def _replayed(told: ReplayProgress) -> Text:
    if not told.chosen and told.trouble:
        return Text(printable(f"nothing is replayed: {told.trouble}"), "bold")
    words = f"{told.asked:,} of {told.chosen:,} recorded requests replayed to both versions"
    others = {
        "refused by the candidate": told.refused,
        "on which it failed": told.failed,
        "whose text can no longer be read": told.unreadable,
    }
    words += "".join(f", {number:,} {what}" for what, number in others.items() if number)
    return Text.assemble(words, (printable(f"; it waits: {told.trouble}") if told.trouble else "", "bold"))


def _sampled(told: SamplingSet) -> Text:
    return Text(printable(f"{100 * told.ratio:.3g} % of the requests: {told.reason}"))


def _labels_of(source: LabelSource) -> Text:
    return Text(printable(f"{shown(source.source)}: {'; '.join(oddities(source))}"), "bold")


def _replica(status: DeploymentStatus) -> Text:
    failed = status.condition is Condition.FAILED
    detail = f": {status.detail}" if status.detail else ""
    return Text(printable(f"version {status.version} {status.condition}{detail}"), "bold red" if failed else "bold")
