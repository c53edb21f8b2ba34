"""``docs/benchmarks/gates.md``: what was measured, in tables, and what falls short."""

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench._table import Bar
from tests.bench.world import scenarios as s
from tests.bench.world.measures import Share, failed
from tests.bench.world.plots import draw, first_of
from tests.bench.world.rivals import KINDS, RULES
from tests.bench.world.rows import EXPOSED, INCIDENT, Results
from tests.bench.world.runs import Played
from tests.bench.world.scenarios import Scenario
from tests.bench.world.worlds import EQUAL_WORLDS, LATE_FAULTS, STICKY, WORSE_WORLDS

_INTRODUCTION = """# The gates, measured

Written by `make bench-gates`; do not edit. All figures come from simulated releases of which the truth is known
(`tests/bench/world`), judged by the real gates with the default policy. Nothing here is traffic of a real service:
`serin backtest` measures a policy on recorded evidence of one's own.

**The usual world.** 20 requests a second; two hours; a look every minute. Stable fails 0.1 % of the requests and
answers 8 % of them wrongly; latency is log-normal around 40 ms, and a load that both versions share makes it wander by
10 %. The candidate serves 5 % and answers a copy of what stable serves. 10 % of the requests get a label, ten minutes
late. The versions differ on 7 % of the requests: an equal candidate loses and wins 3.5 % each. A candidate at 5 % is
watched for the whole two hours even after it could have been promoted, so that no late alarm is missed. "Default steps"
means shadow first, then 1, 5, 20 and 50 % by the default policy, with half as many labels by chance and the other half
where the versions disagree; such a release ends with its promotion, with a failure, or after two hours.

**The others**, each different in one thing:

* *Slow runs of 2 to 20*: the slowest 5 % of the candidate's answers come in runs of a geometric length, as behind a
  collector's pause or a full queue. *Latency wanders*: from second to second, by an autoregression of .9 and .3 of the
  log. Taken over all requests both have stable's law.
* *Errors in clusters*: of both versions, a geometric number of so many in the mean, at the usual rate. *One replica
  lost once*: ten requests in flight, of users or mirrored, fail at some moment.
* *Small arm*: the candidate is some per cent slower while it has less than half of the traffic. *Cold for 2.5 minutes*:
  twice as slow at first, at each new share of the default steps.
* *Labels by doubt*: people are asked where a version is unsure (4 % where it is sure, all where it is not), a tenth of
  all; *undeclared* ones say the same probability of each. *Slowly labelled*: half of the requests get their labels 100
  minutes late.
* *Incident in probation*: after the promotion on the default steps, ten minutes in which whoever is asked fails 5 % and
  takes three times as long. *Shared incident*: the same, before.
* *Sticky users*: 2,000 users, each with one version; what they send is Pareto-distributed (1.5), in sessions; each has
  errors (log sd 1), a latency (log sd .2) and a share of hard requests of their own.
* *From minute 40*: equal until then.
* *2 requests/s*: a day, labels of 2 %. *Replayed*: 20,000 recorded requests are asked again in shadow, ten a second,
  and people are asked where the versions disagree.

In parentheses: the 95 % interval (of shares by Clopper and Pearson), or the standard error (s.e.) of a mean, of the
simulation. Bounds are the least mean that any e-process of the same level can reach.
"""

_RIVALS = """## The same evidence, judged by other rules

The rules were written anew from their documentation, with the settings of its examples; they see the very numbers of
the releases above, at 5 %. None of them has a rule for labelled answers, so each got one of its own kind: a loss of
more than two points within ten minutes fails a check, and the two tests compare the discordant pairs.

* *5 failed checks*: success of at least 99 %, P99 of at most 500 ms and P95 of at most 1.1 times stable's, each minute;
  back at the fifth failed check in all (`threshold: 5`). *3 failed checks in a row*: the same checks.
* *success condition, failure limit 3*: success of at least 95 %, else the same; back when more than three have failed.
* *alarms on fixed limits*: of the candidate alone, whatever stable does; errors above 1 %, P95 above 200 ms, or a tenth
  of the answers wrong, in the mean of ten minutes, twice in a row.
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

`make bench-gates` plays all of it: 15 hours on two cores, two on 16 (`python -m tests.bench.gates --processes 16`). It
goes on where it was interrupted: results are kept in `build/bench/gates-runs` as long as neither gates nor world
change; with `--minutes` it ends in time, some of every world first, and `--write` makes the page of what there is.
`python -m tests.bench.gates --only "slow runs,clusters" --runs 50` gives a first impression of some worlds and leaves
this page alone; `--from FOLDER` makes it of what was played elsewhere. Seeds are fixed. The figures as data:
`build/bench/gates.json`.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """The digest of the sources that were played, the commit they are of (empty: not told), and how many releases there
    are in all."""

    digest: str
    commit: str
    of_all: int


def write(results: Results, rows: Sequence[Bar], folder: Path, origin: Origin) -> Path:
    """Write the page and its plots into ``folder``; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    draw(results, folder)
    page = folder / "gates.md"
    page.write_text("\n".join(_lines(results, rows, origin)), encoding="utf-8")
    return page


def _lines(results: Results, rows: Sequence[Bar], origin: Origin) -> Iterator[str]:
    yield _INTRODUCTION
    yield _played(results, origin)
    measured = [row for row in rows if not math.isnan(row.value)]
    short = [row.what for row in measured if row.holds is False]
    yield "## Bars"
    yield ""
    yield f"**Falls short, or is not shown by so few:** {'; '.join(short)}." if short else "All that was played holds."
    yield ""
    yield from _table(
        ["what", "measured", "bar", "holds"], ([*_measured(row), row.bar or "", "yes" if row.holds else "**no**"]
                                                for row in measured if row.holds is not None)
    )  # fmt: skip
    yield "\n![Equal candidates rolled back](gates-false-alarms.svg)\n"
    yield "## Only told\n"
    yield from _table(["what", "measured"], (_measured(row) for row in measured if row.holds is None))
    yield "\n![Worse candidates rolled back](gates-detection.svg)\n"
    yield "![Equal candidates on the default steps](gates-promotion.svg)\n"
    yield "## What they were blamed for, and what held them\n"
    yield from _reasons(results)
    yield "\n" + _RIVALS
    yield from _rivals(results)
    yield _READING + _REPRODUCE


def _played(results: Results, origin: Origin) -> str:
    total = sum(map(len, results.values()))
    code = (
        f"of commit {origin.commit} (digest {origin.digest})" if origin.commit else f"with the digest {origin.digest}"
    )
    said = f"**What was played:** {total:,} releases, by the gates and worlds {code}."
    missing = [name for name, played in results.items() if not played]
    if total < origin.of_all:
        said += (
            f" That is a part of {origin.of_all:,}: the intervals tell how much it says. A share cannot be shown to be"
        )
        said += " below 2 % by fewer than 183 releases without a hit. Single gates, in thousands of simulated releases:"
        said += " decisions [457](../decisions/0457-a-certificate-is-of-all-that-was-seen.md) and"
        said += " [458](../decisions/0458-where-the-level-goes.md)."
    return said + (f" Not played: {'; '.join(missing)}.\n" if missing else "\n")


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
            if not played:
                continue
            ends = [one.ended for one in played]
            blamed = Counter(gate for end in ends for gate in end.blamed)
            waited = Counter(gate for end in ends for gate in end.waited)
            yield [name, f"{len(ends):,}", *(_counted(counter, len(ends)) for counter in (blamed, waited))]

    yield from _table(["releases", "played", "failed by", "not promoted in time for want of"], rows())


def _counted(counter: Counter[str], total: int) -> str:
    return ", ".join(f"{gate} {100 * count / total:.3g} %" for gate, count in counter.most_common()) or "none"


def _rivals(results: Results) -> Iterator[str]:
    equal = (s.EQUAL, INCIDENT, *EQUAL_WORLDS, STICKY)
    worse = (*(EXPOSED[name] for name in s.HARMFUL), *WORSE_WORLDS, *LATE_FAULTS)
    yield "Equal candidates rolled back, % (median minute, from 10 % on). Every one is false.\n"
    yield from _side_by_side(results, equal)
    yield "\nWorse candidates rolled back, % (median minute, from 10 % on):\n"
    yield from _side_by_side(results, worse)
    yield "\nEqual candidates rolled back in the usual world, by the kind of evidence:\n"
    yield from _table(["%", *KINDS, "any"], _by_kind(results[s.EQUAL.name]))


def _side_by_side(results: Results, scenarios: Sequence[Scenario]) -> Iterator[str]:
    """Of the worlds at 5 %: where shares grow by our own gates' passes, others would have let it grow otherwise."""
    shown = [one.name for one in scenarios if one.watch_on and results[one.name]]

    def rows() -> Iterator[list[str]]:
        for name in shown:
            others = (_cell([first_of(one, rule) for one in results[name]]) for rule in RULES)
            yield [name, f"**{_cell([one.ended.failed_at for one in results[name]])}**", *others]

    yield from _table(["", "Serin", *RULES], rows())


def _cell(firsts: Sequence[int | None]) -> str:
    hits = [look for look in firsts if look is not None]
    share = Share(len(hits), len(firsts)).pct
    return f"{share:.3g}" + (f" ({statistics.median(hits):.0f})" if share >= 10 else "")


def _by_kind(played: Sequence[Played]) -> Iterator[list[str]]:
    for rule in RULES:
        found = [one.rivals[rule] for one in played]
        kinds = [Share(sum(row[kind] is not None for row in found), len(found)) for kind in range(len(KINDS))]
        every = Share(sum(first_of(one, rule) is not None for one in played), len(played))
        yield [rule, *(f"{share.pct:.3g}" for share in (*kinds, every))]
    yield ["**Serin**", "", "", "", f"**{failed(played).pct:.3g}**"]
