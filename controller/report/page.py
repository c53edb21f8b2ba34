"""The report as one HTML file without scripts, network access or fonts, and as JSON."""

from collections.abc import Iterator, Sequence

from pydantic_core import to_json

from controller.core.counted import counted
from controller.core.policy import OnDeadline, ReleasePolicy
from controller.core.release import TERMINAL, Phase
from controller.report.charts.latency import NARROW as NARROW_LATENCY
from controller.report.charts.latency import latency_chart
from controller.report.charts.reliability import reliability_diagram
from controller.report.charts.timeline import NARROW as NARROW_TIMELINE
from controller.report.charts.timeline import timeline
from controller.report.charts.traces import traces
from controller.report.data import Conclusion, ReportData
from controller.report.templating import environment_of
from controller.report.words import duration, is_idle
from gates.suite_evidence import SuiteFile
from gates.verdict import Stage, Verdict

_STAGES = {
    Stage.PREFLIGHT: "Before any traffic: the package and its replica",
    Stage.SUITE: "Our own labelled cases",
    Stage.SHADOW: "Shadow traffic: users never see these answers",
    Stage.LIVE: "Answers that users got",
}
TONES = {
    Phase.PROMOTED: ("pass", "✓"),
    Phase.PROBATION: ("pass", "✓"),
    Phase.ROLLING_BACK: ("fail", "✕"),
    Phase.ROLLED_BACK: ("fail", "✕"),
    Phase.REJECTED: ("fail", "✕"),
    Phase.HELD: ("inconclusive", "…"),
    Phase.SUPERSEDED: ("neutral", "→"),
    Phase.ABORTED: ("neutral", "■"),
}


def render_json(report: ReportData) -> str:
    """Return the report as JSON (``serin.report/v1``). The same journal gives the same bytes; numbers that are not
    finite are null."""
    return to_json(report, indent=2, inf_nan_mode="null").decode() + "\n"


def render_html(report: ReportData) -> str:
    """Return the report as one self-contained HTML page. Everything taken from the journal is escaped."""
    stable = report.facts.stable
    names = {
        "stable": f"Version {stable.number}, stable" if stable else "No stable version",
        "candidate": f"Version {report.facts.candidate.number}, candidate",
    }
    latency = report.latency
    return (
        environment_of("controller.report")
        .get_template("report.html")
        .render(
            report=report,
            tone=_tone(report.conclusion),
            policy=tuple(_policy(report.policy, report.suites)),
            stages=tuple(_staged(report.gates)),
            idle=[verdict for verdict in report.gates if is_idle(verdict)],
            names=names,
            timeline={"wide": timeline(report), "narrow": timeline(report, NARROW_TIMELINE)},
            traces=traces(report),
            reliability=tuple(
                (arm, names[arm], found, reliability_diagram(found, arm, f"Reliability of {names[arm]}"))
                for arm, found in (("stable", report.reliability_stable), ("candidate", report.reliability_candidate))
            ),
            latency=latency
            and {
                "wide": latency_chart(latency, *_short(report)),
                "narrow": latency_chart(latency, *_short(report), NARROW_LATENCY),
            },
            settled=report.conclusion.phase in TERMINAL,
        )
    )


def _tone(conclusion: Conclusion) -> tuple[str, str]:
    return TONES.get(conclusion.phase, ("active", "●"))


def _short(report: ReportData) -> tuple[str, str]:
    stable = report.facts.stable
    return f"Version {stable.number}" if stable else "Stable", f"Version {report.facts.candidate.number}"


def _staged(verdicts: tuple[Verdict, ...]) -> Iterator[tuple[str, list[Verdict]]]:
    """Yield each stage's title with its verdicts, required ones first. Advisory gates without evidence are left out:
    the page lists them separately."""
    for stage, title in _STAGES.items():
        found = [verdict for verdict in verdicts if verdict.stage is stage and not is_idle(verdict)]
        if found:
            yield title, sorted(found, key=lambda verdict: verdict.advisory)


def _policy(policy: ReleasePolicy, suites: Sequence[SuiteFile]) -> Iterator[tuple[str, str]]:
    """Yield the main points of the policy that the release began with, as pairs of name and words."""
    mirrored = f"{policy.mirror_pct:g} % of live requests mirrored"
    steps = " → ".join(f"{step.weight_pct:g} %" for step in policy.steps)
    yield "Traffic", f"{mirrored}; canary {steps}"
    end = "hold for a person" if policy.on_deadline is OnDeadline.HOLD else "roll back"
    yield "Deadline", f"{duration(policy.deadline_s)} after shadow begins, then {end}"
    yield "Looks", f"every {duration(policy.look_every_s)}; probation {duration(policy.probation_s)}"
    gates = policy.gates
    wrongly = f"rolls a good version back in at most {100 * gates.rollback_alpha:g} % of releases"
    yield "May be wrong", f"{wrongly}; passes one beyond a margin in at most {100 * gates.promotion_alpha:g} %"
    if suites:
        told = (f"{one.name} ({counted(one.cases, 'case')}, SHA-256 {one.sha256[:12]})" for one in suites)
        yield "Suites", ", ".join(told)
    elif policy.suites:
        yield "Suites", ", ".join(name.rsplit("/", 1)[-1] for name in policy.suites)
