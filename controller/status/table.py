"""The live table of `serin status`: where each model's release stands, and what every gate still needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from controller.core.commands import ANY_MODEL, Freeze
from controller.core.parts import Grade
from controller.core.release import Phase, Purpose, Release
from controller.core.traffic import TrafficTable
from controller.overview import Overview, Shown, opened
from controller.report.awaited import Awaited, awaited
from controller.report.words import clock, duration, frozen_by, phase_title, shortened, until
from controller.status.facts import Facts, shares, weights
from controller.status.gates import gate_rows
from serving.text.printable import printable

_PHASE_STYLES: Final = {
    Phase.PROMOTED: "green",
    Phase.PROBATION: "green",
    Phase.ROLLING_BACK: "bold red",
    Phase.ROLLED_BACK: "bold red",
    Phase.REJECTED: "bold red",
    Phase.HELD: "bold",
}
_GRADE_STYLES: Final = {Grade.DOWN: "bold red", Grade.STANDS_STILL: "bold magenta", Grade.IMPAIRED: "bold magenta"}
_SUMMARY_REASON_MAX: Final = 80
_BAR: Final = 20  # cells
_INDENT: Final = 2


def status_table(seen: Overview, *, every: bool = False) -> RenderableType:
    """One block or line for each release, by model; a model without one shows its weights. Above them, whether anything
    is down, what is wrong with the installation itself, and the freezes in force. ``every``: each gate has its row.

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
        blocks.append(_Block(release, seen, every))
    without = "  no release  " if seen.records is not None else "  its release is unknown now  "
    blocks.extend(
        Text.assemble((printable(model), "bold"), without, weights(seen.traffic[model], None))
        for model in sorted(seen.traffic.keys() - {record.model for record in seen.records or ()})
    )
    if not blocks and seen.records is not None:
        blocks = [Text("No release yet. Set the alias candidate on a version, or: serin release start MODEL VERSION")]
    return Group(
        *_standing(seen),
        *(_Sentence(trouble, "bold magenta") for trouble in troubles),
        *(_frozen(freeze, seen.now_s) for freeze in seen.freezes),
        *blocks,
    )


def _standing(seen: Overview) -> Iterator[RenderableType]:
    """Yield what does not answer, and of which time the rest is where nobody decides."""
    standing = seen.standing
    if standing.grade is Grade.UP:
        return
    yield _Sentence(f"{standing.grade}  {standing.sentence}", _GRADE_STYLES[standing.grade])
    if not seen.is_live:
        at_s = seen.written_at_s
        age = "" if at_s is None else f" {clock(at_s, seen.now_s)}, {duration(seen.now_s - at_s)} ago"
        yield _Sentence(f"The rest is what was recorded last:{age or ' nothing yet'}.", "bold")
    yield Text()


def _summary(record: Shown, table: TrafficTable | None, now_s: float) -> RenderableType:
    phase = Phase(record.phase)
    return _Line(
        (
            (printable(record.model), "bold"),
            (f"  version {printable(record.version)}  ", ""),
            (phase_title(phase, None), _PHASE_STYLES.get(phase, "bold")),
            (f" for {duration(now_s - record.phase_since_s)}  ", ""),
            *shares(table, None),
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


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence, broken into lines where somebody watches; in a pipe it is one line, which `grep` finds whole."""

    words: str
    style: str = ""
    indent: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        words = printable(self.words)
        if options.is_terminal:
            yield Padding(Text(words, self.style), (0, 0, 0, self.indent))
            return
        yield Segment(" " * self.indent + words, console.get_style(self.style))
        yield Segment.line()


def _frozen(freeze: Freeze, now_s: float) -> _Sentence:
    return _Sentence(f"{freeze.model}  frozen by {freeze.by} because {freeze.reason}{until(freeze, now_s)}", "bold red")


@dataclass(frozen=True, slots=True)
class _Block:
    """One release. Rich asks it to draw itself, and tells the width then, and whether anybody watches."""

    release: Release
    seen: Overview
    every: bool

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Sequence[RenderableType]:
        width, whole = options.max_width, not options.is_terminal
        parts: list[RenderableType] = [_heading(self.release), self._awaited(), self._facts(width, whole=whole)]
        if self.release.verdicts:
            rows = gate_rows(self.release.verdicts.values(), width, whole=whole, every=self.every)
            parts.append(Padding(Group(*rows), (1, 0, 0, _INDENT)))
        return (*parts, Text())

    def _awaited(self) -> RenderableType:
        """The sentence that decides, and beneath it how much of what is awaited is there."""
        seen, release = self.seen, self.release
        frozen = [frozen_by(one, seen.now_s) for one in seen.freezes if one.model in (release.model, ANY_MODEL)]
        found = awaited(release, seen.now_s, asked=seen.asking.get(release.model, ()), frozen=frozen)
        if not seen.is_live and release.active:
            return _Sentence(f"Nothing is decided now. Last state: {found.sentence}", indent=_INDENT)
        lines: list[RenderableType] = [_Sentence(found.sentence, "bold", _INDENT)]
        lines += [Padding(line, (0, 0, 0, _INDENT)) for line in _progress(found, seen.now_s)]
        lines += [_Sentence(f"Way on: {found.way_on}", indent=_INDENT)] if found.way_on else []
        return Group(*lines)

    def _facts(self, width: int, *, whole: bool) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column()
        for name, value in Facts.of(self.release, self.seen).rows(width, whole=whole):
            grid.add_row(name, value)
        return Padding(grid, (0, 0, 0, _INDENT))


def _progress(found: Awaited, now_s: float) -> Iterator[Text]:
    """Yield a bar, how much is there, and when it is settled at this rate."""
    if found.there is None:
        return
    full = int(found.there * _BAR)
    bar = f"{'█' * full}{'░' * (_BAR - full)} {100 * found.there:.0f} %"
    at_s = found.settled_at_s
    if at_s is None:
        told = "; too early to say when"
    elif at_s <= now_s:
        told = ", about now"
    else:
        told = f", at this rate in {duration(at_s - now_s)}, at {clock(at_s, now_s)}"
    late = (" - after its deadline", "bold") if found.too_late else ""
    yield Text.assemble(bar, told, late)


def _heading(release: Release) -> Text:
    weight = release.canary_step.weight_pct if release.phase is Phase.CANARY else None
    title = phase_title(release.phase, weight, release.purpose)
    if release.phase is Phase.CANARY:
        title += f", step {release.step + 1} of {len(release.policy.steps)}"
    verb = {Purpose.RESTORE: "restore", Purpose.REHEARSE: "rehearsal"}.get(release.purpose, "release")
    return Text.assemble(
        (printable(release.model), "bold"),
        f"  {verb} of version ",
        (printable(release.candidate.number), "bold"),
        "  ",
        (title, _PHASE_STYLES.get(release.phase, "bold")),
    )
