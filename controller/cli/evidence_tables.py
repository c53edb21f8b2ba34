"""The tables of `serin backtest` and `serin plan`, for people at a terminal of 80 columns or more."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.core.policy import ReleasePolicy
from controller.offline.backtest import Backtest, Found, Rate
from controller.offline.forecast.release import ReleasePlan, StepPlan
from controller.offline.forecast.remedies import STEPS, Remedy, Trouble
from controller.offline.forecast.rollout import NO_CHANGE
from controller.offline.forecast.traffic import APART, SLICE, SUITE_TEXTS, Known
from controller.report.words import duration, figure
from gates.offline.backtest.service import Service
from gates.offline.plan import GatePlan
from gates.wording import pct

_NEVER = "not in time"


def _table(*columns: str) -> Table:
    """The first column is text, the others are numbers. Fits on 80 columns by headers of two lines: no number wraps."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", vertical="bottom", no_wrap=True)
    return table


def _in_words(table: Table) -> None:
    """The last column holds words, which wrap."""
    table.columns[-1].justify = "left"
    table.columns[-1].no_wrap = False


def _row(table: Table, *cells: str) -> None:
    """Cells as they are: the brackets of ``accuracy.shadow[lang:de]`` are no markup."""
    table.add_row(*map(Text, cells))


def _section(title: str, *parts: RenderableType) -> RenderableType:
    return Group(Text(title, style="bold underline"), *parts, Text())


# --- backtest ---------------------------------------------------------------------------------------------------------
def backtest_table(found: Backtest, service: Service, policy: ReleasePolicy) -> RenderableType:
    """Return what was found, scenario by scenario, and the two rates that matter in words."""
    table = _table("candidate", "promoted", "rolled\nback", "not\nproven", "median", "90 %")
    for row in found.found:
        if not row.scenario.skipped:
            _row(table, row.scenario.name, *_shares(row), *_times(row))
    return Group(
        _section(f"{policy.model}: {_seen(service)}", Text(_played(found, policy))),
        table,
        Text(),
        *(Text(line) for line in _notes(found, policy)),
    )


def _seen(service: Service) -> str:
    pairs = len(service.pairing.chance_pairs) + len(service.pairing.directed_pairs)
    releases = f"{service.releases} release" + ("s" if service.releases != 1 else "")
    left_out = f" ({service.left_out} left out)" if service.left_out else ""
    return (
        f"{service.looks} looks{left_out} at {releases}, {duration(service.seconds)}, "
        f"{service.stable_requests:,} requests of stable, {pairs:,} labelled pairs"
    )


def _played(found: Backtest, policy: ReleasePolicy) -> str:
    return (
        f"{found.runs} releases each, seed {found.seed}, a look every {duration(found.look_s)}, "
        f"deadline {duration(policy.deadline_s)}"
    )


def _shares(row: Found) -> Iterator[str]:
    for rate in (row.promoted, row.rolled_back, row.not_proven):
        yield _percent(rate.share)


def _times(row: Found) -> tuple[str, str]:
    times = row.seconds_to_decide
    return (figure(None), figure(None)) if times is None else (duration(times[1]), duration(times[2]))


def _notes(found: Backtest, policy: ReleasePolicy) -> Iterator[str]:
    for row in found.found:
        if row.scenario.name == "equal":
            allowed = f"the policy allows {pct(policy.gates.rollback_alpha)}"
            yield f"False alarms: {_rate(row.rolled_back)} equal candidates rolled back; {allowed}."
        elif row.scenario.harmful and not row.scenario.skipped:
            yield f"Missed, {row.scenario.name}: {_rate(row.promoted)} promoted{_median(row)}."
    for row in found.found:
        if row.blamed:
            yield f"Blamed, {row.scenario.name}: {', '.join(f'{gate} {count}' for gate, count in row.blamed)}."
    for row in found.found:
        if row.scenario.skipped:
            yield f"Not played, {row.scenario.name}: {row.scenario.skipped}."
        elif row.scenario.tolerated:
            yield f"No miss if promoted, {row.scenario.name}: {row.scenario.tolerated}."


def _median(row: Found) -> str:
    if row.seconds_to_decide is None or row.median_interval_s is None:
        return ""
    low, high = map(duration, row.median_interval_s)
    return f"; half decided within {duration(row.seconds_to_decide[1])} ({low} to {high})"


def _rate(rate: Rate) -> str:
    interval = f"{_percent(rate.level)} interval {_percent(rate.low)} to {_percent(rate.high)}"
    return f"{rate.hits:,} of {rate.runs:,} ({interval})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


# --- plan -------------------------------------------------------------------------------------------------------------
def plan_table(found: ReleasePlan, service: Service | None) -> RenderableType:
    """Traffic (and what of ``service`` it was observed on), steps, gates, ends, and what would help."""
    observed = [] if service is None else [Text(f"observed: {_seen(service)}")]
    parts = [
        _section(f"{found.model}: the traffic this plan is for", _traffic(found), *observed),
        _section("Steps", _steps(found), Text(_promoted(found)), Text(_sampled(found))),
        _section("Gates", _gates(found), *_notes_on_gates(found)),
        _section("How a release ends", _ends(found)),
    ]
    if found.troubles:
        parts.append(_section("What would help", *_troubles(found)))
    return Group(*parts)


def _traffic(found: ReleasePlan) -> RenderableType:
    table = _table("", "", "")
    table.show_header = False
    _in_words(table)
    for known in found.traffic:
        if known.name.endswith(APART) and not known.value:
            continue
        _row(table, _TRAFFIC_WORDS.get(known.name, f"requests in {known.name}"), _amount(known), known.source)
    return table


_TRAFFIC_WORDS = {
    "requests_per_s": "live requests",
    "mirror_ratio": "mirrored to the candidate",
    "label_ratio": "labelled by chance",
    "directed_ratio": "disagreements labelled because they are",
    "live_label_ratio": "live answers labelled",
    "label_delay_s": "nearly all labels come within",
    "wrong_ratio": "of those of stable, wrong",
    "disagreement_ratio": "the versions disagree on",
    "error_ratio": "server errors of stable",
    "latency_spread": "spread of latency (of its logarithm)",
    "latency_median_ms": "median latency",
    "gap_spread": "spread of the confidence gap's change",
    "brier_spread": "spread of the Brier score's change",
    "error_effect": "server errors that count as one",
    "slow_effect": "slow requests that count as one",
    "wrong_effect": "wrong live answers that count as one",
    "pair_effect": "labelled pairs that count as one",
    "error_apart": "parts of stable differ in errors by up to",
    "slow_apart": "in slow requests by up to",
    SUITE_TEXTS: "labelled texts of suites, asked in shadow",
}


def _amount(known: Known) -> str:
    if known.name == "requests_per_s":
        return f"{known.value:.3g} a second"
    if known.name.endswith("_s"):
        return duration(known.value)
    if known.name.endswith("_ms"):
        return f"{known.value:.3g} ms"
    if known.name == SUITE_TEXTS:
        return f"{known.value:,.0f}"
    share = known.name.endswith("ratio") or known.name.startswith(SLICE) or known.name.endswith(APART)
    return pct(known.value) if share else f"{known.value:.2g}"


def _steps(found: ReleasePlan) -> RenderableType:
    table = _table("step", "share", "lasts", "until")
    _in_words(table)
    for step in found.steps:
        _row(table, step.name, _share(step), _when(step.seconds), step.until)
    return table


def _share(step: StepPlan) -> str:
    return f"{100 * step.share:g} %" if step.share else "mirrored"


def _promoted(found: ReleasePlan) -> str:
    deadline = f"the deadline is {duration(found.deadline_s)} after the start"
    if found.promoted_s is None:
        return f"A candidate that changes nothing is not expected to be promoted in time; {deadline}."
    return f"A candidate that changes nothing is promoted after about {duration(found.promoted_s)}; {deadline}."


def _sampled(found: ReleasePlan) -> str:
    """Return how much is sampled where the settings leave it open."""
    during, otherwise = _percent(found.sampling.in_release), _percent(found.sampling.between)
    return f"Samples (capture_ratio: auto): {during} of the requests while it goes on, {otherwise} before and after."


def _gates(found: ReleasePlan) -> RenderableType:
    in_time = "chance\nin time"
    table = _table("gate", "no change:\npasses after", in_time, "at its margin:\nfails after", in_time)
    for gate in found.gates:
        _row(table, gate.gate if gate.required else f"{gate.gate} *", *_forecast(gate))
    return table


def _notes_on_gates(found: ReleasePlan) -> Iterator[RenderableType]:
    if not all(gate.required for gate in found.gates):
        yield Text("* promotion does not wait for this gate; it can still roll a release back")


def _forecast(gate: GatePlan) -> tuple[str, str, str, str]:
    return _when(gate.pass_s), _chance(gate.pass_chance), _when(gate.fail_s), _chance(gate.fail_chance)


def _ends(found: ReleasePlan) -> RenderableType:
    table = _table("candidate", "promoted", "rolled\nback", "not\nproven")
    for ends in found.ends:
        back = f"≤ {pct(ends.rolled_back)}" if ends.candidate == NO_CHANGE else _chance(ends.rolled_back)
        _row(table, ends.candidate, _chance(ends.promoted), back, _chance(ends.not_proven))
    return table


def _troubles(found: ReleasePlan) -> Iterator[RenderableType]:
    for trouble in found.troubles:
        yield Text(_trouble(trouble))
        lines = [_remedy(remedy) for remedy in trouble.remedies]
        yield Padding(Text("\n".join(lines)), (0, 0, 0, 2))


def _trouble(trouble: Trouble) -> str:
    chance = _chance(trouble.chance).replace(" ", "\u00a0")
    end = "Instead:" if trouble.remedies else "Nothing that was tried is enough on this traffic."
    if trouble.gate == STEPS:
        return f"The steps take long: an equal candidate leaves shadow early enough with a chance of {chance}. {end}"
    return f"{trouble.gate} passes an equal candidate by the deadline with a chance of {chance}. {end}"


def _remedy(remedy: Remedy) -> str:
    return f"• {remedy.change}: after {duration(remedy.pass_s)}, {_chance(remedy.pass_chance)}"


def _when(seconds: float | None) -> str:
    return _NEVER if seconds is None else duration(seconds)


def _chance(chance: float) -> str:
    """A forecast says nothing about what is rarer than one in a hundred."""
    if chance > 0.99:
        return "> 99 %"
    return "< 1 %" if chance < 0.01 else f"{100 * chance:.0f} %"
