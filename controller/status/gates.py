"""The gates of a release as rows: failures first, then what is required and not settled; what passes shares a line."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.text import Text

from controller.report.words import SYMBOLS, is_idle, measures, shortened
from gates.outcome import Outcome
from gates.verdict import Verdict
from serving.text.printable import printable

STYLES: Final = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.INCONCLUSIVE: "bold",  # yellow cannot be read on white, nor blue on black
    Outcome.ERROR: "magenta",
}
_SENTENCE: Final = 40  # columns: with less room beside its numbers, a gate's sentence stands beneath them
_ORDER: Final = (Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.PASS)
_HEADER: Final = ("gate", "outcome", "value", "limit", "samples")


def gate_rows(verdicts: Iterable[Verdict], width: int, *, whole: bool, every: bool = False) -> list[RenderableType]:
    """The rows, of at most ``width`` columns where that is enough for a gate's name and outcome. ``whole``: sentences
    are not cut. ``every``: no row is folded away."""
    ordered = sorted(verdicts, key=_order)
    rows = [one for one in ordered if every or not _is_folded(one)]
    folded = [one for one in ordered if one not in rows]
    return [*(_drawn(rows, width, whole=whole) if rows else ()), *_folded(folded)]


@dataclass(frozen=True, slots=True)
class DrawnGates:
    """Each of the gates as a row, with its sentence in whole where it does not stand in the text above. Rich tells the
    width."""

    verdicts: Sequence[Verdict]
    above: str

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        ordered = sorted(self.verdicts, key=_order)
        yield from _drawn(ordered, options.max_width, whole=True, above=self.above)


def stands_in(reason: str, above: str) -> bool:
    """Return whether the text above says it already: a reason may be ten lines long."""
    return reason.removesuffix(".").lower() in above.lower()


def _order(verdict: Verdict) -> tuple[int, bool]:
    return _ORDER.index(verdict.outcome), verdict.advisory


def _is_folded(verdict: Verdict) -> bool:
    quiet = verdict.advisory and verdict.outcome is Outcome.INCONCLUSIVE
    return (verdict.outcome is Outcome.PASS or quiet) and not verdict.breach


def _folded(verdicts: Sequence[Verdict]) -> Iterator[Text]:
    passed = [one.gate for one in verdicts if one.outcome is Outcome.PASS]
    idle = [one.gate for one in verdicts if is_idle(one)]
    open_ = [one.gate for one in verdicts if one.outcome is not Outcome.PASS and not is_idle(one)]
    if passed:
        symbol = f"{SYMBOLS[Outcome.PASS]} {Outcome.PASS}"
        yield Text.assemble((symbol, STYLES[Outcome.PASS]), printable(f"  {len(passed)}: {', '.join(passed)}"))
    for words, names in (("advisory, not settled", open_), ("advisory, without data", idle)):
        if names:
            yield Text(printable(f"{words}: {', '.join(names)}"), "dim")


def _drawn(verdicts: Sequence[Verdict], width: int, *, whole: bool, above: str = "") -> Iterator[RenderableType]:
    """One line a gate with its sentence at the end, or, where the terminal is narrow, on a line of its own. What stands
    ``above`` has none."""
    header = tuple(Text(name, "dim") for name in _HEADER)
    rows = [_cells(verdict) for verdict in verdicts]
    sizes = [max(cell.cell_len for cell in column) for column in zip(header, *itertools.chain(*rows), strict=True)]
    across = sum(sizes) + 2 * len(sizes)
    wide = width - across >= _SENTENCE and not whole
    room = width - 2 - (across if wide else 2)
    if across > width:
        yield from _narrow(rows, verdicts, room, whole=whole, above=above)
        return
    yield _line(header, sizes)
    for (cells, *more), verdict in zip(rows, verdicts, strict=True):
        said, units = _sentence(verdict), [one.unit for one in measures(verdict)]
        said = f"{units[0]}: {said}" if units[0] and verdict.value is not None else said
        sentence = Text(printable(said) if whole else shortened(said, room), "" if wide else "dim")
        first, *others = (_line(one, sizes) for one in (cells, *more))
        yield Text.assemble(first, sentence) if wide else first
        for other, unit in zip(others, units[1:], strict=True):
            yield Text.assemble(Text(other.plain.rstrip()), "  ", Text(printable(unit), "dim"))
        if not wide and not stands_in(verdict.reason, above):
            yield Padding(sentence, (0, 0, 0, 2))


def _narrow(
    rows: Sequence[Sequence[tuple[Text, ...]]], verdicts: Sequence[Verdict], room: int, *, whole: bool, above: str
) -> Iterator[RenderableType]:
    """Where a row has no room: a gate and its outcome, its numbers beneath, and its sentence."""
    for (cells, *more), verdict in zip(rows, verdicts, strict=True):
        gate, outcome, _, _, samples = cells
        yield Text.assemble(outcome, "  ", gate)
        units = [one.unit for one in measures(verdict)]
        for (_, _, value, limit, _), unit in zip((cells, *more), units, strict=True):
            if value.plain != limit.plain:  # of what has neither there is nothing to say
                yield Text.assemble("  ", value, "  ", limit, "  ", Text(printable(unit), "dim"))
        yield Text.assemble("  ", samples, " samples")
        if not stands_in(verdict.reason, above):
            said = _sentence(verdict)
            yield Padding(Text(printable(said) if whole else shortened(said, room), "dim"), (0, 0, 0, 2))


def _cells(verdict: Verdict) -> Sequence[tuple[Text, ...]]:
    """One row, and one more for each further limit that matters."""
    first, *others = measures(verdict)
    outcome = Text(f"{SYMBOLS[verdict.outcome]} {verdict.outcome}", STYLES[verdict.outcome])
    row = (Text(printable(verdict.gate)), outcome, Text(first.value), Text(first.limit), Text(_samples(verdict)))
    return [row, *((Text(), Text(), Text(one.value), Text(one.limit), Text()) for one in others)]


def _line(cells: tuple[Text, ...], sizes: Sequence[int]) -> Text:
    """The first two columns to the left, the numbers to the right, two spaces after each."""
    line = Text()
    for place, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
        space = " " * (size - cell.cell_len)
        line.append_text(Text.assemble(cell, space, "  ") if place < 2 else Text.assemble(space, cell, "  "))
    return line


def _sentence(verdict: Verdict) -> str:
    return f"(advisory) {verdict.reason}" if verdict.advisory else verdict.reason


def _samples(verdict: Verdict) -> str:
    needed = f" of {verdict.samples_needed:,}" if verdict.samples_needed else ""
    return f"{verdict.samples:,}{needed}"
