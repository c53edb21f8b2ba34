"""``docs/benchmarks/gates.md``: what was measured, in tables, and what falls short."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench._table import Bar
from tests.bench.world import scenarios as s
from tests.bench.world.measures import Share, failed
from tests.bench.world.plots import draw, first_of
from tests.bench.world.rivals import KINDS, RULES
from tests.bench.world.rows import EXPOSED, INCIDENT, Results
from tests.bench.world.runs import Played

_INTRODUCTION = """# The gates, measured

Written by `make bench-gates`; do not edit. All figures come from simulated releases of which the truth is known
(`tests/bench/world`), judged by the real gates with the default policy. Nothing here is traffic of a real service:
`serin backtest` measures a policy on recorded evidence of one's own.

**The world.** 20 requests a second; two hours; a look every minute. Stable fails 0.1 % of the requests and answers 8 %
of them wrongly; latency is log-normal around 40 ms, and a load that both versions share makes it wander by 10 %. The
candidate serves 5 % and answers a copy of what stable serves. 10 % of the requests get a label, ten minutes late. The
versions differ on 7 % of the requests: an equal candidate loses and wins 3.5 % each. "Default steps" means shadow
first, then 1, 5, 20 and 50 % by the default policy, with half as many labels by chance and the other half where the
versions disagree; such a release ends with its promotion, with a failure, or after two hours. At 5 %, an equal
candidate is watched for the whole two hours even after it could have been promoted, so that no late alarm is missed.
Standard errors (s.e.) are those of the simulation; bounds are the least mean that any e-process of the same level can
reach.
"""

_RIVALS = """## The same evidence, judged by other rules

The rules were written anew from their documentation, with the settings of its examples; they see the very numbers of
the releases above, at 5 %. None of them has a rule for labelled answers, so each got one of its own kind: a loss of
more than two points within ten minutes fails a check, and the two tests compare the discordant pairs.

* *5 failed checks*: success of at least 99 %, P99 of at most 500 ms and P95 of at most 1.1 times stable's, each minute;
  back at the fifth failed check in all (`threshold: 5`). *3 failed checks in a row*: the same checks.
* *success condition, failure limit 3*: success of at least 95 %, else the same; back when more than three have failed.
* *Mann-Whitney*: the 98 % interval of the shift between the minutes of both versions, tolerance 0.25; from 50 minutes
  on, every ten; a score below 75 goes back, which one bad metric of three makes.
* *z test*: one-sided at 5 % for each kind of evidence, at each look, on all that was seen.
* *O'Brien-Fleming*: the same scores, 1 % in all, over 120 looks planned in advance.

"""

_READING = """
What the table does not show: O'Brien-Fleming comes near its level, too, where the number of looks and the traffic are
known in advance (a normal law for few events misses it a little), and pays for it with time; a release that is
extended, or whose share grows by steps, has no such plan. A rule that rolls back nearly every release finds every bad
one, and soon.
"""

_REPRODUCE = """
## Again

`make bench-gates` plays all of it: some two hours on two cores. It goes on where it was interrupted: results are kept
in `build/bench/gates-runs` as long as neither gates nor world change. `python -m tests.bench.gates --runs 400` gives a
first impression and leaves this page alone. Seeds are fixed. The figures as data: `build/bench/gates.json`.
"""


def write(results: Results, rows: Sequence[Bar], folder: Path) -> Path:
    """Write the page and its plots into ``folder``; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    draw(results, folder)
    page = folder / "gates.md"
    page.write_text("\n".join(_lines(results, rows)), encoding="utf-8")
    return page


def _lines(results: Results, rows: Sequence[Bar]) -> Iterator[str]:
    yield _INTRODUCTION
    short = [row.what for row in rows if row.holds is False]
    yield "## Bars"
    yield ""
    yield f"**Falls short:** {'; '.join(short)}." if short else "All bars hold."
    yield ""
    yield from _table(
        ["what", "measured", "bar", "holds"], ([*_measured(row), row.bar or "", "yes" if row.holds else "**no**"]
                                                for row in rows if row.holds is not None)
    )  # fmt: skip
    yield "\n![Equal candidates rolled back](gates-false-alarms.svg)\n"
    yield "## Only told\n"
    yield from _table(["what", "measured"], (_measured(row) for row in rows if row.holds is None))
    yield "\n![Worse candidates rolled back](gates-detection.svg)\n"
    yield "![Equal candidates on the default steps](gates-promotion.svg)\n"
    yield "## What they were blamed for, and what held them\n"
    yield from _reasons(results)
    yield "\n" + _RIVALS
    yield from _rivals(results)
    yield _READING + _REPRODUCE


def _measured(row: Bar) -> list[str]:
    return [row.what, f"{row.value:,.4g} {row.unit}".strip()]


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _reasons(results: Results) -> Iterator[str]:
    def rows() -> Iterator[list[str]]:
        for name, played in results.items():
            ends = [one.ended for one in played]
            blamed = Counter(gate for end in ends for gate in end.blamed)
            waited = Counter(gate for end in ends for gate in end.waited)
            yield [name, f"{len(ends):,}", *(_counted(counter, len(ends)) for counter in (blamed, waited))]

    yield from _table(["releases", "played", "failed by", "not promoted in time for want of"], rows())


def _counted(counter: Counter[str], total: int) -> str:
    return ", ".join(f"{gate} {100 * count / total:.3g} %" for gate, count in counter.most_common()) or "none"


def _rivals(results: Results) -> Iterator[str]:
    names = [s.EQUAL.name, INCIDENT.name, *(EXPOSED[name].name for name in s.HARMFUL)]
    head = ["rolled back, % (median minute)", *names]

    def cell(firsts: Sequence[int | None]) -> str:
        hits = [look for look in firsts if look is not None]
        share = Share(len(hits), len(firsts)).pct
        return f"{share:.3g}" + (f" ({statistics.median(hits):.0f})" if share >= 10 else "")

    def rows() -> Iterator[list[str]]:
        yield ["**Serin**", *(f"**{cell([one.ended.failed_at for one in results[name]])}**" for name in names)]
        for rule in RULES:
            yield [rule, *(cell([first_of(one, rule) for one in results[name]]) for name in names)]

    yield from _table(head, rows())
    yield "\nEqual candidates rolled back, by the kind of evidence:\n"
    yield from _table(["%", *KINDS, "any"], _by_kind(results[s.EQUAL.name]))


def _by_kind(played: Sequence[Played]) -> Iterator[list[str]]:
    for rule in RULES:
        found = [one.rivals[rule] for one in played]
        kinds = [Share(sum(row[kind] is not None for row in found), len(found)) for kind in range(len(KINDS))]
        every = Share(sum(first_of(one, rule) is not None for one in played), len(played))
        yield [rule, *(f"{share.pct:.3g}" for share in (*kinds, every))]
    yield ["**Serin**", "", "", "", f"**{failed(played).pct:.3g}**"]
