"""The live table of `serin status`: where each model's release stands, and what every gate still needs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from controller.core.commands import Freeze
from controller.core.condition import Condition
from controller.core.release import TERMINAL, Phase, Purpose, Release
from controller.core.traffic import TrafficTable
from controller.journal.codec import release_of
from controller.journal.notes import SamplingSet
from controller.overview import Overview, Shown, opened
from controller.ports.journal import ReleaseSummary
from controller.ports.recordings import ReplayProgress
from controller.ports.runtime import DeploymentStatus
from controller.ports.suites import SuiteProgress
from controller.report.words import (
    SYMBOLS,
    duration,
    exact,
    figure,
    is_idle,
    is_signed,
    oddities,
    phase_title,
    shortened,
    utc,
)
from gates.evidence import LabelSource
from gates.outcome import Outcome
from gates.verdict import Verdict
from serving.text.printable import printable, shown

EXIT_PASS: Final = 0
EXIT_FAIL: Final = 1
EXIT_USAGE: Final = 2
EXIT_INCONCLUSIVE: Final = 3
EXIT_ERROR: Final = 4
EXIT_TIMEOUT: Final = 5

_EXITS = {
    Phase.PROMOTED: EXIT_PASS,
    Phase.PROBATION: EXIT_PASS,  # promoted; a late rollback makes it a failure
    Phase.ROLLING_BACK: EXIT_FAIL,
    Phase.ROLLED_BACK: EXIT_FAIL,
    Phase.REJECTED: EXIT_FAIL,
    Phase.HELD: EXIT_INCONCLUSIVE,
    Phase.SUPERSEDED: EXIT_INCONCLUSIVE,
    Phase.ABORTED: EXIT_INCONCLUSIVE,
}
_STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow", Outcome.ERROR: "magenta"}
_PHASE_STYLES = {
    Phase.PROMOTED: "green",
    Phase.PROBATION: "green",
    Phase.ROLLING_BACK: "bold red",
    Phase.ROLLED_BACK: "bold red",
    Phase.REJECTED: "bold red",
    Phase.HELD: "yellow",
}
_SUMMARY_REASON_MAX = 80
_WIDE = 110  # columns: below, a gate's sentence stands beneath its numbers
_DECIDED = frozenset({Phase.PROBATION, Phase.HELD}) | TERMINAL


def exit_code(record: Shown) -> int:
    """0 promoted; 1 rolled back or rejected, or on the way to it; 3 held, superseded, aborted, or still going on.

    A release that is going back already answers by where it is going. One that could not be judged is 4: it is held
    or going on with a source that does not answer.
    """
    if isinstance(record, ReleaseSummary):
        return _EXITS.get(Phase(record.phase), EXIT_INCONCLUSIVE)
    release = release_of(record)
    phase = release.ending if release.phase is Phase.ROLLING_BACK and release.ending else release.phase
    code = _EXITS.get(phase, EXIT_INCONCLUSIVE)
    if code == EXIT_INCONCLUSIVE and phase not in TERMINAL and _unjudged(release):
        return EXIT_ERROR
    return code


def is_settled(record: Shown) -> bool:
    """Return whether waiting for the release is over: it was decided, or waits for a person."""
    return Phase(record.phase) in _DECIDED


def _unjudged(release: Release) -> bool:
    errors = any(v.outcome is Outcome.ERROR and not v.advisory for v in release.verdicts.values())
    return bool(release.faults) or errors


# --- the table --------------------------------------------------------------------------------------------------------
def status_table(seen: Overview) -> RenderableType:
    """One block or line for each release, by model; a model without one shows its weights. Above them, what is wrong
    with the installation itself, and the freezes in force.

    Fits any width; colour only repeats what words and symbols say.
    """
    blocks: list[RenderableType] = []
    troubles = list(seen.troubles)
    for record in seen.records or ():
        release, why = opened(record)
        if release is None:
            troubles += [why] if why else []
            blocks.append(_summary(record, seen.traffic.get(record.model), seen.now_s))
            continue
        running = seen.deployments.get(release.model, {})
        waits, asked = seen.waiting.get(release.model, ""), seen.asking.get(release.model, ())
        table, sampled = seen.traffic.get(release.model), seen.sampling.get(release.model)
        replay = seen.replays.get(release.model)
        blocks.append(_Block(release, table, running, seen.now_s, waits, asked, sampled, replay))
    without = "  no release  " if seen.records is not None else "  its release is not known now  "
    blocks.extend(
        Text.assemble((printable(model), "bold"), without, _weights(seen.traffic[model], None))
        for model in sorted(seen.traffic.keys() - {record.model for record in seen.records or ()})
    )
    if not blocks and seen.records is not None:
        blocks = [Text("No release yet. Set the alias candidate on a version, or: serin release start MODEL VERSION")]
    return Group(*map(_trouble, troubles), *map(_frozen, seen.freezes), *blocks)


def _summary(record: Shown, table: TrafficTable | None, now_s: float) -> RenderableType:
    phase = Phase(record.phase)
    return _Line(
        (
            (printable(record.model), "bold"),
            (f"  version {printable(record.version)}  ", ""),
            (phase_title(phase, None), _PHASE_STYLES.get(phase, "bold blue")),
            (f" for {duration(now_s - record.phase_since_s)}  ", ""),
            *_shares(table, None),
            (f"  {shortened(record.reason, _SUMMARY_REASON_MAX)}", "dim"),
        )
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of words and their styles, cut at the width. Of hundreds, Rich's own text takes five times as long."""

    parts: tuple[tuple[str, str], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        left = options.max_width
        for words, style in self.parts:
            cells = cell_len(words)
            if left <= 0:
                break
            if cells > left:
                words = set_cell_size(words, left - 1) + "…"  # noqa: PLW2901 - the end of it is cut off
            yield Segment(words, console.get_style(style) if style else None)
            left -= cells
        yield Segment.line()


def _trouble(sentence: str) -> Text:
    return Text(printable(sentence), "bold magenta")


def _frozen(freeze: Freeze) -> Text:
    return Text(printable(f"{freeze.model}  frozen by {freeze.by} because {freeze.reason}"), "bold red")


@dataclass(frozen=True, slots=True)
class _Block:
    """One release. Rich asks it to draw itself, and tells the width then."""

    release: Release
    table: TrafficTable | None
    running: Mapping[str, DeploymentStatus]
    now_s: float
    waiting: str  # what the policy's serving block says now, and no replica yet
    asked: Sequence[SuiteProgress]
    sampled: SamplingSet | None
    replay: ReplayProgress | None

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Sequence[RenderableType]:
        width = options.max_width
        parts: list[RenderableType] = [_heading(self.release), self._facts(width)]
        if self.release.verdicts:
            parts.append(Padding(Group(*_gates(self.release, width)), (1, 0, 0, 2)))
        return (*parts, Text())

    def _facts(self, width: int) -> RenderableType:
        facts = [("versions", _versions(self.release)), ("traffic", _weights(self.table, self.release))]
        facts += [("mirror", Text(printable(words), "yellow"))] if (words := _mirroring(self.release)) else []
        facts.append(("phase", _phase(self.release, self.now_s)))
        facts += [("warm-up", Text(words, "yellow"))] if (words := _warming(self.release, self.now_s)) else []
        facts += [("replica", _replica(status)) for status in self.running.values() if not status.ready]
        facts += [
            (f"no {source}", Text(printable(reason), "magenta"))
            for source, reason in sorted(self.release.faults.items())
        ]
        facts += [("breach", Text(printable(verdict.reason), "yellow")) for verdict in _breaches(self.release)]
        facts += [("labels", _labels_of(source)) for source in self.release.label_sources if oddities(source)]
        facts += [("suite", _asked(progress)) for progress in self.asked]
        facts += [("replay", _replayed(self.replay))] if self.replay is not None else []
        facts += [("samples", _sampled(self.sampled))] if self.sampled is not None else []
        if self.waiting:
            how = f"serin release again {self.release.model}"
            facts.append(("serving", Text(printable(f"{self.waiting}, with the next release, or: {how}"), "yellow")))
        facts.append(("last", Text(shortened(self.release.reason, 2 * (width - 14)))))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column()
        for name, value in facts:
            grid.add_row(name, value)
        return Padding(grid, (0, 0, 0, 2))


def _heading(release: Release) -> Text:
    weight = release.canary_step.weight_pct if release.phase is Phase.CANARY else None
    title = phase_title(release.phase, weight)
    if release.phase is Phase.CANARY:
        title += f", step {release.step + 1} of {len(release.policy.steps)}"
    verb = "restore" if release.purpose is Purpose.RESTORE else "release"
    return Text.assemble(
        (printable(release.model), "bold"),
        f"  {verb} of version ",
        (printable(release.candidate.number), "bold"),
        "  ",
        (title, _PHASE_STYLES.get(release.phase, "bold blue")),
    )


def _versions(release: Release) -> Text:
    champion = f"version {release.stable.number}" if release.stable else "none yet"
    if release.champion_moved:
        champion = f"version {release.candidate.number} (was {release.stable.number if release.stable else 'none'})"
    return Text(f"champion {champion}, candidate version {release.candidate.number}")


def _weights(table: TrafficTable | None, release: Release | None) -> Text:
    return Text.assemble(*_shares(table, release))


def _shares(table: TrafficTable | None, release: Release | None) -> tuple[tuple[str, str], ...]:
    if table is None:
        was_routed = release is not None and (release.stable is not None or release.champion_moved)
        return (("none can be seen now", "yellow"),) if was_routed else (("not routed yet", "dim"),)
    shares = ", ".join(f"version {version} {pct:g} %" for version, pct in table.weights_pct.items())
    mirrored = f"; {table.mirror.pct:g} % mirrored to version {table.mirror.version}" if table.mirror else ""
    moving = "  (not served yet)" if release is not None and release.active and not release.routed else ""
    by_hand = printable(f"  set by {table.override.by}: {table.override.reason}") if table.override else ""
    return (shares + mirrored, ""), (moving, "dim"), (by_hand, "yellow")


def _mirroring(release: Release) -> str:
    """Return what the data plane cannot copy; empty where it copies everything both ways."""
    able = release.able
    if release.phase is Phase.PROBATION and release.step == 0 and not release.copied_back_pct:
        return "nothing is copied to the former version: what goes wrong in probation is told, and blames nobody"
    if able is None or not release.active or able.mirrors_both_ways:
        return ""
    if not able.mirrors:
        return f"no mirror here ({able.name}): no shadow phase, and nothing is judged on copies"
    return f"one way ({able.name}): what the candidate serves is not copied to stable"


def _phase(release: Release, now_s: float) -> Text:
    words = f"for {duration(now_s - release.phase_since_s)}"
    if release.phase in TERMINAL:
        return Text(f"settled {duration(now_s - release.phase_since_s)} ago")
    if release.deadline_at_s is None or release.phase in (Phase.ROLLING_BACK, Phase.HELD):
        return Text(words)
    left_s = release.deadline_at_s - now_s
    end = "ends" if release.phase is Phase.PROBATION else "deadline"
    left = f"{end} in {duration(left_s)}" if left_s >= 0 else f"{end} passed {duration(-left_s)} ago"
    return Text.assemble(words, ", ", (left, "" if left_s > 300 else "yellow"))


def _breaches(release: Release) -> Iterator[Verdict]:
    return (verdict for verdict in release.verdicts.values() if verdict.breach)


def _warming(release: Release, now_s: float) -> str:
    """Return until when a version warms up at its share; empty where none does, or users are not answered yet."""
    warm_at_s = release.warm_at_s if release.routed else None
    if warm_at_s is None or now_s >= warm_at_s:
        return ""
    return f"warming up until {utc(warm_at_s)}; how long its answers take is not held against it"


def _asked(progress: SuiteProgress) -> Text:
    names = ", ".join(shown(name) for name in progress.suites)
    return Text(printable(f"{names} {progress.asked:,} of {progress.cases:,}, version {progress.version}"))


def _replayed(told: ReplayProgress) -> Text:
    if not told.chosen and told.trouble:
        return Text(printable(f"nothing is asked again: {told.trouble}"), "yellow")
    words = f"{told.asked:,} of {told.chosen:,} recorded requests asked again of both versions"
    others = {
        "that the candidate refused": told.refused,
        "that it failed": told.failed,
        "whose text cannot be asked any more": told.unreadable,
    }
    words += "".join(f", {number:,} {what}" for what, number in others.items() if number)
    return Text.assemble(words, (printable(f"; it waits: {told.trouble}") if told.trouble else "", "yellow"))


def _sampled(told: SamplingSet) -> Text:
    return Text(printable(f"{100 * told.ratio:.3g} % of the requests: {told.reason}"))


def _labels_of(source: LabelSource) -> Text:
    return Text(printable(f"{shown(source.source)}: {'; '.join(oddities(source))}"), "yellow")


def _replica(status: DeploymentStatus) -> Text:
    failed = status.condition is Condition.FAILED
    detail = f": {status.detail}" if status.detail else ""
    return Text(printable(f"version {status.version} {status.condition}{detail}"), "bold red" if failed else "yellow")


def _gates(release: Release, width: int) -> list[Text]:
    """One line a gate with its sentence at the end, or, where the terminal is narrow, on a line of its own."""
    header = tuple(Text(name, "dim") for name in ("gate", "outcome", "value", "limit", "samples"))
    idle = [verdict for verdict in release.verdicts.values() if is_idle(verdict)]
    verdicts = [verdict for verdict in release.verdicts.values() if not is_idle(verdict)]
    rows = [header, *(_cells(verdict) for verdict in verdicts)]
    sizes = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    lines = [_line(cells, sizes) for cells in rows]
    wide = width >= _WIDE
    room = width - 2 - (sum(sizes) + 2 * len(sizes) if wide else 2)
    drawn = [lines[0]]
    for line, verdict in zip(lines[1:], verdicts, strict=True):
        sentence = Text(shortened(_sentence(verdict), room), "" if wide else "dim")
        drawn += [Text.assemble(line, sentence)] if wide else [line, Text.assemble("  ", sentence)]
    if idle:
        names = f"advisory, without data: {', '.join(verdict.gate for verdict in idle)}"
        drawn.append(Text(shortened(names, width - 2), "dim"))
    return drawn


def _cells(verdict: Verdict) -> tuple[Text, ...]:
    value = figure(verdict.value, signed=is_signed(verdict.unit))
    return (
        Text(printable(verdict.gate)),
        _outcome(verdict),
        Text(value),
        Text(exact(verdict.threshold)),
        Text(_samples(verdict)),
    )


def _line(cells: tuple[Text, ...], sizes: Sequence[int]) -> Text:
    """The first two columns to the left, the numbers to the right, two spaces after each."""
    line = Text()
    for place, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
        space = " " * (size - cell.cell_len)
        line.append_text(Text.assemble(cell, space, "  ") if place < 2 else Text.assemble(space, cell, "  "))
    return line


def _outcome(verdict: Verdict) -> Text:
    return Text(f"{SYMBOLS[verdict.outcome]} {verdict.outcome}", _STYLES[verdict.outcome])


def _sentence(verdict: Verdict) -> str:
    return f"(advisory) {verdict.reason}" if verdict.advisory else verdict.reason


def _samples(verdict: Verdict) -> str:
    needed = f" of {verdict.samples_needed:,}" if verdict.samples_needed else ""
    return f"{verdict.samples:,}{needed}"
