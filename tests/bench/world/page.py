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

Written by `make bench-gates`; do not edit. All figures come from simulated releases with a known truth
(`tests/bench/world`), judged by the real gates with the default policy. None of this is traffic of a real service:
`serin backtest` measures a policy on your own recorded evidence.

**The usual world.** 20 requests a second; two hours; a look every minute. Stable fails 0.1 % of the requests and
answers 8 % of them wrongly; latency is log-normal around 40 ms, and a load that both versions share makes it wander by
10 %. The candidate serves 5 % and answers mirrored copies of stable's requests. 10 % of the requests get a label, ten
minutes late. The versions differ on 7 % of the requests: an equal candidate loses and wins 3.5 % each. A candidate at
5 % is watched for the whole two hours even after it could have been promoted, so that no late alarm is missed.
"Default steps" means shadow first, then 1, 5, 20 and 50 % by the default policy, with half of the labels at random and
half where the versions disagree; such a release ends when it is promoted, when it fails, or after two hours.

**The other worlds** each differ from it in one respect:

* *Slow runs of 2 to 20*: the slowest 5 % of the candidate's answers come in runs of geometric length, as after a
  garbage collector's pause or behind a full queue. *Latency wanders*: its logarithm changes from second to second by an
  autoregression with .9 and .3. Over all requests both have stable's distribution.
* *Errors in clusters*: both versions' errors come in clusters of geometric size, with this mean, at the usual rate.
  *One replica lost once*: at one moment ten requests in flight, users' or mirrored, fail.
* *Small arm*: the candidate is some per cent slower while it has less than half of the traffic. *Cold for 2.5 minutes*:
  it is twice as slow at first, at each new share of the default steps.
* *Labels by doubt*: labels are requested where a version is unsure (4 % where it is sure, all where it is not), a tenth
  of all requests; *undeclared* ones claim the same probability for each. *Slowly labelled*: half of the requests get
  their labels 100 minutes late.
* *Incident in probation*: after the promotion on the default steps, either version fails 5 % of its requests and takes
  three times as long for ten minutes. *Shared incident*: the same, before the promotion.
* *Sticky users*: 2,000 users, each with one version; the number of their requests is Pareto-distributed (1.5), in
  sessions; each has their own errors (log sd 1), latency (log sd .2) and share of hard requests.
* *Texts alike in groups*: each version answers all texts of a group alike; all texts come in groups of geometric size
  with this mean, one after the other, or many groups at a time over half an hour. *Nobody looks for 46 minutes*: the
  controller is away, so one look holds what came from minute 4 to 50.
* *Replicas come*: each so many minutes in the mean, one replica of three (of five of stable's) is new and for a minute
  three times as slow.
* *From minute 40*: equal until then.
* *2 requests/s*: a day, labels for 2 %. *Replayed*: 20,000 recorded requests are replayed in shadow, ten a second, and
  labels are requested where the versions disagree.

In parentheses: the simulation's 95 % interval (for shares by Clopper and Pearson), or the standard error (s.e.) of a
mean. Bounds are the smallest mean that any e-process of the same level can reach.
"""

_RIVALS = """## The same evidence, judged by other rules

The rules were reimplemented from their documentation, with its example settings; they see the same numbers as the
releases above, at 5 %. None of them has a rule for labelled answers, so each got one of its own kind: a loss of more
than two points within ten minutes fails a check, and the two tests compare the discordant pairs.

* *5 failed checks*: success of at least 99 %, P99 of at most 500 ms and P95 of at most 1.1 times stable's, each minute;
  rolled back at the fifth failed check in total (`threshold: 5`). *3 failed checks in a row*: the same checks.
* *success condition, failure limit 3*: success of at least 95 %, otherwise the same; rolled back when more than three
  have failed.
* *alarms on fixed limits*: on the candidate alone, whatever stable does; errors above 1 %, P95 above 200 ms, or a tenth
  of the answers wrong, averaged over ten minutes, twice in a row.
* *Mann-Whitney*: the 98 % interval of the shift between the minutes of both versions, tolerance 0.25; from 50 minutes
  on, every ten; a score below 75 is rolled back, and one bad metric of three is enough for that.
* *z test*: one-sided at 5 % for each kind of evidence, at each look, on everything seen so far.
* *O'Brien-Fleming*: the same scores, 1 % in total, over 120 looks planned in advance.

"""

_READING = """
What the table does not show: O'Brien-Fleming also comes near its level if the number of looks and the traffic are known
in advance (with few events the normal approximation misses it a little), and pays for it with time; a release that is
extended, or whose share grows by steps, has no such plan. A rule that rolls back nearly every release finds every bad
one, and soon.
"""

_REPRODUCE = """
## How to reproduce it

`make bench-gates` plays everything: 15 hours on two cores, two on 16 (`python -m tests.bench.gates --processes 16`). It
resumes where it was interrupted: results are kept in `build/bench/gates-runs` as long as neither gates nor worlds
change; with `--minutes` it stops in time, playing some of every world first, and `--write` makes the page from what
there is. `python -m tests.bench.gates --only "slow runs,clusters" --runs 50` gives a first impression of some worlds
and leaves this page alone; `--from FOLDER` makes it from what was played elsewhere. Seeds are fixed. The figures as
data: `build/bench/gates.json`.
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
    yield (
        f"**Falls short, or too few releases to tell:** {'; '.join(short)}." if short else "All that was played holds."
    )
    yield ""
    yield from _table(
        ["what", "measured", "bar", "holds"], ([*_measured(row), row.bar or "", "yes" if row.holds else "**no**"]
                                                for row in measured if row.holds is not None)
    )  # fmt: skip
    yield "\n![Equal candidates rolled back](gates-false-alarms.svg)\n"
    yield "## Reported without a bar\n"
    yield from _table(["what", "measured"], (_measured(row) for row in measured if row.holds is None))
    yield "\n![Worse candidates rolled back](gates-detection.svg)\n"
    yield "![Equal candidates on the default steps](gates-promotion.svg)\n"
    yield "## Which gates failed them, and which held them\n"
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
        said += f" That is part of {origin.of_all:,}: the intervals show how much it proves. Fewer than 183 releases"
        said += (
            " without a hit cannot show that a share is below 2 %. Single gates, in thousands of simulated releases:"
        )
        said += " decisions [457](../decisions/0457-a-certificate-is-of-all-that-was-seen.md) and"
        said += " [458](../decisions/0458-where-the-level-goes.md)."
    said += " The time of one look is that of the code that wrote this page."
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

    yield from _table(["releases", "played", "failed by", "not promoted in time because of"], rows())


def _counted(counter: Counter[str], total: int) -> str:
    return ", ".join(f"{gate} {100 * count / total:.3g} %" for gate, count in counter.most_common()) or "none"


def _rivals(results: Results) -> Iterator[str]:
    equal = (s.EQUAL, INCIDENT, *EQUAL_WORLDS, STICKY)
    worse = (*(EXPOSED[name] for name in s.HARMFUL), *WORSE_WORLDS, *LATE_FAULTS)
    yield "Equal candidates rolled back, % (median minute, from 10 % on). Each one is a false alarm.\n"
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
