"""The page: whole, well-formed, safe against what models and people are called, and readable without colour."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from controller.core.events import Judged, Leaving, PhaseEntered
from controller.core.release import Phase
from controller.journal.codec import release_of
from controller.report.build import build_report
from controller.report.charts.traces import traces
from controller.report.data import PhaseSpan
from controller.report.drawing import Scale, element, log_ticks, round_ticks
from controller.report.page import render_html
from controller.report.timescale import time_scale
from controller.report.words import compact, duration, exact, figure, is_idle, listed, measures, shortened
from gates.evidence import LabelSource, NameCount
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict
from tests.controller import report_support as support
from tests.controller.report_support import START_S, Journal, started

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
SCENES = {
    name: getattr(support, name) for name in ("PROMOTED", "LESS_ACCURATE", "OVERCONFIDENT", "SLOW", "WITHOUT_METRICS")
}
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Checks that every element is closed in order, and collects what a reader and a browser would find."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module", params=sorted(SCENES))
def journal(request: pytest.FixtureRequest) -> Journal:
    return support.play(SCENES[request.param])


def test_the_page_is_well_formed_and_needs_nothing_else(journal: Journal) -> None:
    """One file: no script, no address to fetch from, styles inside, and a policy that forbids anything else."""
    page = render_html(build_report(journal.record, journal.entries))
    tags = Page(page).tags
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags}
    assert not any(name in ("src", "href") or name.startswith("on") for _, attrs in tags for name in attrs)
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_every_sentence_of_the_journal_is_on_the_page(journal: Journal) -> None:
    report = build_report(journal.record, journal.entries)
    text = Page(render_html(report)).text
    sentences = [report.conclusion.headline, report.conclusion.reason]
    sentences += [verdict.reason for verdict in report.gates]
    sentences += [decision.reason for decision in report.decisions] + [fault.reason for fault in report.faults]
    missing = [sentence for sentence in sentences if " ".join(sentence.split()) not in text]
    assert not missing
    assert report.chain.head_hash in text


def test_sections_come_in_the_order_of_a_readers_questions(journal: Journal) -> None:
    page = render_html(build_report(journal.record, journal.entries))
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Gates", "Timeline", "How the gates got there", "Accuracy", "Calibration", "Latency", "Evidence", "Proof",
    ]  # fmt: skip
    assert page.index("<h1>") < page.index("<h2>")


def test_no_number_of_a_picture_is_unusable(journal: Journal) -> None:
    """A NaN or infinity in a coordinate would silently draw nothing."""
    page = render_html(build_report(journal.record, journal.entries))
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    attributes = " ".join(re.findall(r' (?:d|x|y|x1|x2|y1|y2|cx|cy|r|width|height)="([^"]*)"', drawn))
    assert not re.search(r"nan|inf|e[+-]", attributes)
    assert not re.search(r'(?:width|height|r)="-', drawn)


def test_outcomes_are_told_by_words_and_symbols_too(journal: Journal) -> None:
    """Colour only repeats what is said otherwise."""
    report = build_report(journal.record, journal.entries)
    text = Page(render_html(report)).text
    for outcome, symbol in ((Outcome.PASS, "✓"), (Outcome.FAIL, "✕")):
        if any(verdict.outcome is outcome for verdict in report.gates):
            assert f"{symbol} {outcome.value}" in text


def test_rows_show_the_limit_that_decided_with_its_direction(journal: Journal) -> None:
    """A margin beside a failure, or a floor beside a loss against stable, reads like a defect."""
    verdicts = [one for one in release_of(journal.record).verdicts.values() if one.limits and not is_idle(one)]
    text = Page(render_html(build_report(journal.record, journal.entries))).text
    assert verdicts
    for verdict in verdicts:
        for shown in measures(verdict):
            assert shown.limit in text


def test_hostile_names_and_reasons_stay_text() -> None:
    """Model names, people, gates and reasons come from outside; none of them may become markup."""
    journal = Journal()
    verdict = Verdict(HOSTILE, Stage.LIVE, Outcome.FAIL, HOSTILE, value=1.0, unit=HOSTILE, samples=3)
    hostile = replace(
        started(), model=HOSTILE, by=HOSTILE, reason=HOSTILE, stable=replace(support.STABLE, number=HOSTILE)
    )
    journal.write(
        [
            replace(hostile, candidate=replace(support.CANDIDATE, number=HOSTILE, fingerprint=HOSTILE)),
            PhaseEntered(Phase.SHADOW, HOSTILE),
            Judged((verdict,)),
            Leaving(Phase.ROLLED_BACK, HOSTILE, (HOSTILE,), HOSTILE),
        ],
        START_S,
    )
    page = render_html(build_report(journal.record, journal.entries))
    tags = Page(page).tags
    assert not {"script", "img"} & {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, attrs in tags for name in attrs)
    assert HOSTILE in Page(page).text


def test_sources_of_labels_are_told_with_what_is_wrong_with_them() -> None:
    """By name, which somebody else wrote; one with which nothing is wrong is told as that."""
    journal = support.play(replace(support.PROMOTED, stop_after_s=60.0))
    odd = LabelSource("crm\x1b<b>", labelled=50, unknown=3, unknown_names=(NameCount("Refund\n<i>", 3),))
    report = replace(
        build_report(journal.record, journal.entries), label_sources=(odd, LabelSource("helpdesk", labelled=4))
    )
    page = render_html(report)
    assert "crm\\x1b&lt;b&gt;" in page
    assert "3 of 50 labels name no class: Refund\\n&lt;i&gt;" in page
    assert "<td>helpdesk</td>" in page


def test_advisory_gates_without_data_take_little_room() -> None:
    """They are all named, below the gates that said something."""
    journal = Journal()
    idle = Verdict("throughput", Stage.LIVE, Outcome.INCONCLUSIVE, "Not measured.", advisory=True)
    told = Verdict("errors.live", Stage.LIVE, Outcome.PASS, "Server errors hold.", samples=10)
    journal.write([started(), Judged((idle, told))], START_S)
    text = Page(render_html(build_report(journal.record, journal.entries))).text
    assert text.index("Server errors hold.") < text.index("1 advisory gate without data") < text.index("throughput")


def test_the_page_names_the_very_files_of_cases_that_were_asked() -> None:
    """A file may change and keep its name: the digest tells. Before the suites ran there is only the name."""
    journal = Journal()
    journal.write([started()], START_S)
    text = Page(render_html(build_report(journal.record, journal.entries))).text
    assert "suite.jsonl" in text
    assert "cases, SHA-256" not in text
    journal.write([Judged((), support.suites())], START_S)
    text = Page(render_html(build_report(journal.record, journal.entries))).text
    assert "suite.jsonl (2,000 cases, SHA-256 5a1e5a1e5a1e)" in text


def test_a_day_of_waiting_does_not_hide_minutes_of_canary() -> None:
    """The axis is to scale where something happens, and says where it is not."""
    spans = [
        PhaseSpan(Phase.CANARY, "Canary 5 %", 0.0, 600.0, ""),
        PhaseSpan(Phase.PROBATION, "Probation", 600.0, 87_000.0, ""),
    ]
    scale = time_scale(spans, 87_000.0)
    assert scale(300.0) == pytest.approx(scale(600.0) / 2)
    assert scale(600.0) > 0.8
    assert [piece.shortened for piece in scale.pieces] == [False, True]
    assert max(scale.ticks(8)) <= 600.0


def test_the_time_axis_never_runs_backwards(journal: Journal) -> None:
    report = build_report(journal.record, journal.entries)
    scale = time_scale(report.phases, report.facts.as_of_s)
    span_s = report.facts.as_of_s - START_S
    places = [scale(START_S + span_s * step / 500) for step in range(-5, 520)]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0.0, 1.0)


def test_a_trace_with_a_single_look_is_drawn() -> None:
    journal = support.play(replace(support.PROMOTED, stop_after_s=30.0))
    report = build_report(journal.record, journal.entries)
    assert report.evidence.looks == 1
    assert traces(report)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.42, "0.4 s"), (9.96, "10 s"), (12.3, "12 s"), (59.7, "1 min"), (200, "3 min 20 s"),
        (3_600, "1 h"), (3_599.6, "1 h"), (3_900, "1 h 5 min"), (7_140, "1 h 59 min"), (7_199, "2 h"),
        (86_400, "1 d"), (90_000, "1 d 1 h"), (-75, "\N{MINUS SIGN}1 min 15 s"),
    ],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "\N{EN DASH}"), (0.0, "0"), (0.01234, "0.0123"), (1.05, "1.05"), (24.36, "24.4"), (1234.5, "1,234"),
        (-0.5, "\N{MINUS SIGN}0.500"), (float("inf"), "∞"), (float("nan"), "\N{EN DASH}"), (0.00001, "0.0000"),
    ],
)  # fmt: skip
def test_figures_have_three_significant_digits(value: float | None, words: str) -> None:
    assert figure(value) == words


def test_small_words() -> None:
    assert figure(0.5, signed=True) == "+0.500"
    assert [exact(value) for value in (0.8, 3.0, 1000.0, None)] == ["0.8", "3", "1,000", "\N{EN DASH}"]
    assert [compact(count) for count in (940, 1_234, 34_500, 5_100_000)] == ["940", "1.2k", "34k", "5.1M"]
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert shortened("one two  three four", 12) == "one two…"
    assert shortened("one\ntwo", 12) == "one two"


def test_scales_and_ticks() -> None:
    assert Scale(1, 100, 0, 10, log=True)(10) == pytest.approx(5)
    assert Scale(3, 3, 0, 10)(3) == 0
    assert round_ticks(0, 10, 4) == (0, 2.5, 5, 7.5, 10)
    assert log_ticks(3, 120) == (5, 10, 20, 50, 100)
    assert element("text", "<b>", data_x='"') == '<text data-x="&#34;">&lt;b&gt;</text>'
