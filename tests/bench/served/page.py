"""``docs/benchmarks/serving.md``: what was measured, in tables, and what falls short."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.bench._table import Bar
from tests.bench.served.models import Models, Subject
from tests.bench.served.plots import Times, draw
from tests.bench.served.rivals import RIVALS

_PLOT: Final = "serving-rivals.svg"

_INTRODUCTION = """# Serving, measured

Written by `make bench-serving`; do not edit. Two models answer the same texts: a full-size DistilBERT (6 layers, 768
wide, 66 M parameters; **random weights**, so only its speed means anything) and the demo's model (2 layers). Texts are
the demo's held-out sentences, one to eight joined together: half are one question, a tenth are letters of 95 to 166
tokens; the average is 38 tokens. Everything runs on loopback with one compute thread, measurements alternate, and
ratios are taken within a round; figures are medians of rounds, percentiles are over all rounds together.

* *Bare engine*: `serving.inference.engine` in one process without a server, text by text and in perfect batches (texts
  of similar length, in its fastest batch size).
* *Saturated*: 32 connections, each of which sends again once it is answered; every text is sent equally often.
* *At half of that rate*: requests come at random moments (a Poisson process), whether or not earlier ones are answered;
  a request's latency counts from its moment.
* *The other servers* use the same weights with transformers and torch (fp32); before anything is timed, their answers
  must match our fp32 engine's (within 1e-4). Each is written as its documentation advises (`tests/bench/rivals`), with
  its own batching, at the batch size at which the pipeline is fastest on these texts (1 for 66 M, where a batch only
  adds padding; 16 for the demo's model). In these comparisons every server runs on one core, the same one. "Same rate"
  is half of what the *other* server can take.
* *Batch*: files of texts, all different (768 for 66 M, 7,903 for the demo's model), on all cores. The bar applies to
  scoring alone, which is what counts in a file that takes an hour: for the pipeline, the time that it reports after its
  first text; for `python -m serving.batch`, the time for all texts less the time for one. "With the start" is the whole
  process of each.
"""

_BUSY = """
**The machine was busy** (load average up to {load:.0f} on {cores:.0f} cores during the measurement, from other work).
Times and requests/s are then those of a fraction of a core; ratios within a round are more reliable, and processor
time hardly changes. Run it again on a quiet machine before you quote a time.
"""

_REPRODUCE = """
## How to reproduce it

`tests/bench/rivals/prepare.sh` installs the other servers once (in their own environment; `SERIN_RIVALS` says where),
then `make bench-serving` measures everything: about half an hour on two quiet cores. It resumes where it was
interrupted, as long as nothing that it measures has changed; `python -m tests.bench.serving --only int8` measures one
part and leaves this page alone, `--again` discards earlier measurements. The figures as data:
`build/bench/serving.json`. Why it is built this way: [0101](../decisions/0101-serving-path.md),
[0102](../decisions/0102-serving-batches.md), [0103](../decisions/0103-serving-graphs.md),
[0106](../decisions/0106-batch-scoring.md), [0113](../decisions/0113-serving-measured.md).
"""

Figures = Mapping[tuple[str, str], float]


def write(rows: Sequence[Bar], about: Sequence[Bar], served: Models, folder: Path) -> Path:
    """Write the page and its plot into ``folder``; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {(row.what, row.unit): row.value for row in rows}
    draw({subject.name: _against(subject, figures) for subject in (served.int8, served.demo)}, folder / _PLOT)
    page = folder / "serving.md"
    page.write_text("\n".join(_lines(rows, about, served, figures)), encoding="utf-8")
    return page


def _against(subject: Subject, figures: Figures) -> tuple[Times, Times]:
    def times(what: str) -> Times:
        found = {
            rival.name: figures[f"{subject.name}: Serin against {rival.name}, {what}", "times"] for rival in RIVALS
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}

    return times("requests/s"), times("P99 same rate, theirs ÷ ours")


def _lines(rows: Sequence[Bar], about: Sequence[Bar], served: Models, figures: Figures) -> Iterator[str]:
    yield _INTRODUCTION
    load = max(row.value for row in (*rows, *about) if "load average" in row.what)
    cores = about[0].value
    if load > cores:  # up to that, it may be what the part before has left
        yield _BUSY.format(load=load, cores=cores).lstrip()
    yield "## Bars\n"
    short = [row.what for row in rows if row.holds is False]
    yield f"**Falls short:** {'; '.join(short)}.\n" if short else "All bars hold.\n"
    asked = (row for row in rows if row.holds is not None)
    yield from _table(
        ["what", "measured", "bar", "holds"],
        ([row.what, _figure(row), row.bar or "", "yes" if row.holds else "**no**"] for row in asked),
    )
    yield f"\n![By what factor Serin is better](./{_PLOT})\n"
    yield "## Compared with other servers\n"
    for name, subjects in (("66 M", (served.int8, served.fp32)), ("demo model", (served.demo,))):
        yield from _table(_BESIDE, _beside(name, subjects, figures))
        yield ""
    yield "## Compared with the bare engine\n"
    yield from _table(_ALONE, _alone(served, figures))
    yield "\n## Everything else that was measured\n"
    told = (
        row for row in rows if row.holds is None and row.unit in ("ratio", "%", "s", "MB", "times", "x", "/s", "ms", "")
    )
    yield from _table(["what", "measured"], ([row.what, _figure(row)] for row in (*told, *about)))
    yield _REPRODUCE


def _figure(row: Bar) -> str:
    return f"{_short(row.value)} {row.unit}".strip()


def _short(value: float) -> str:
    return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


_SPEEDS: Final = ("texts/s", "P50 ms", "P99 ms", "processor ms/text")
_BESIDE: Final = ("", "texts/s", "P50 ms", "P99 ms", "processor ms per text", "P99 ms at half", "memory MB")
_ALONE: Final = ("", *_SPEEDS)


def _beside(name: str, subjects: Sequence[Subject], figures: Figures) -> Iterator[list[str]]:
    """Serin's own figures are those of its parts; beside each rival it was measured again."""

    def row(who: str, key: str, memory: str) -> list[str]:
        found = [figures.get((f"{key}: saturated", unit), math.nan) for unit in _SPEEDS]
        found += [figures.get((f"{key}: half of that rate", "P99 ms"), math.nan), figures.get((memory, "MB"), math.nan)]
        return [who, *(_short(value) if math.isfinite(value) else "not measured" for value in found)]

    for subject in subjects:
        yield row(f"**Serin**, {subject.name}", subject.name, f"{subject.name}: memory of the replica, all processes")
    for rival in RIVALS:
        yield row(rival.name, f"{rival.name}, {name}", f"{rival.name}, {name}: memory, all processes")


def _alone(served: Models, figures: Figures) -> Iterator[list[str]]:
    for subject in (served.int8, served.fp32, served.demo):
        for what in ("bare, single", "bare, perfect batches", "saturated", "half of that rate"):
            found = [figures.get((f"{subject.name}: {what}", unit)) for unit in _SPEEDS]
            yield [f"{subject.name}: {what}", *("" if value is None else _short(value) for value in found)]


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
