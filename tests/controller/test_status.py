"""The status table and its exit codes."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from controller.cli.watching import never, settled, watch, worst_exit_code
from controller.core.abilities import Mirroring
from controller.core.condition import Condition
from controller.core.release import Phase
from controller.core.serving import ServingPolicy
from controller.core.traffic import Mirror, Override, TrafficTable
from controller.errors import TransientError
from controller.journal.codec import record_of
from controller.journal.notes import SamplingSet
from controller.overview import BLOCKS_MAX, Overview, as_document, current, overview_in
from controller.ports.journal import ReleaseRecord, ReleaseSummary
from controller.ports.recordings import ReplayProgress
from controller.ports.runtime import DeploymentStatus, Endpoint
from controller.ports.suites import SuiteProgress
from controller.report.words import clock, utc
from controller.service import Service
from controller.status import exit_code, is_settled, status_table
from gates.evidence import LabelSource
from gates.outcome import Outcome
from gates.verdict import Limit, Rule, Stage, Verdict
from tests.controller import releases
from tests.fakes.clock import FakeClock as Clock
from tests.fakes.freezes import FakeFreezes
from tests.fakes.inbox import FakeInbox
from tests.fakes.journal import FakeJournal
from tests.fakes.site import FakeSite
from tests.fakes.traffic import ABLE

NOW_S = releases.NOW_S + 100
SAMPLED = SamplingSet("intent", 0.03125, "its gates need no more", None, 0.03125, 1.0)
TABLE = TrafficTable("intent", {"6": 95.0, "7": 5.0}, Mirror("7", 100.0))
LONG = "Latency is not settled yet: the candidate took longer in 19 of 327 requests; about 1,200 more would settle it."
VERDICT = Verdict(
    "latency.p95", Stage.LIVE, Outcome.INCONCLUSIVE, LONG, value=1.24, unit="times", threshold=1.15, samples=327,
    samples_needed=1_527,
)  # fmt: skip


def record(phase: Phase, **changes: object) -> ReleaseRecord:
    return record_of(releases.release_in(phase, **changes), 1)  # type: ignore[arg-type]


def in_text(seen: Overview) -> str:
    console = Console(width=140, file=io.StringIO())
    console.print(status_table(seen))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def drawn(*records: ReleaseRecord, width: int = 140, **options: object) -> str:
    console = Console(width=width, file=io.StringIO(), **options)  # type: ignore[arg-type]
    console.print(status_table(Overview(records, now_s=NOW_S, traffic={"intent": TABLE})))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_no_release_wrote_yet_is_served() -> None:
    """While one waits, is fetched or answers suites, users are answered as before; a table of its own may be late."""
    for phase in (Phase.PENDING, Phase.PREFLIGHT, Phase.SUITE):
        assert "not served yet" not in drawn(record(phase))
    assert "not served yet" in drawn(record(Phase.CANARY, routed=False))


# --- exit codes -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("phase", "code"),
    [
        (Phase.PROMOTED, 0),
        (Phase.PROBATION, 0),
        (Phase.ROLLED_BACK, 1),
        (Phase.REJECTED, 1),
        (Phase.HELD, 3),
        (Phase.SUPERSEDED, 3),
        (Phase.ABORTED, 3),
    ],
)
def test_exit_codes_of_settled_releases(phase: Phase, code: int) -> None:
    assert exit_code(record(phase)) == code


@pytest.mark.parametrize(
    "phase", [Phase.PENDING, Phase.PREFLIGHT, Phase.SUITE, Phase.SHADOW, Phase.CANARY, Phase.PROMOTING]
)
def test_a_release_in_progress_is_never_a_success(phase: Phase) -> None:
    """argo 1225: a passing blip in the middle must not end a pipeline with 0, even when every gate passes just now."""
    assert exit_code(record(phase)) == 3


@pytest.mark.parametrize(("ending", "code"), [(Phase.ROLLED_BACK, 1), (Phase.HELD, 3), (Phase.ABORTED, 3)])
def test_on_the_way_back_the_end_is_already_known(ending: Phase, code: int) -> None:
    assert exit_code(record(Phase.ROLLING_BACK, ending=ending)) == code


def test_a_release_that_could_not_be_judged_is_an_error() -> None:
    """Held because a source was away is 4, not 3: the pipeline's reader looks at us, not at the model."""
    assert exit_code(record(Phase.HELD, faults={"metrics": "did not answer"})) == 4
    broken = {"errors.live": releases.verdict("errors.live", Outcome.ERROR, Stage.LIVE)}
    assert exit_code(record(Phase.HELD, verdicts=broken)) == 4
    advisory = {"throughput": releases.verdict("throughput", Outcome.ERROR, Stage.LIVE, advisory=True)}
    assert exit_code(record(Phase.HELD, verdicts=advisory)) == 3
    assert exit_code(record(Phase.ROLLED_BACK, faults={"registry": "did not answer"})) == 1


def test_waiting_ends_when_a_person_must_decide_but_not_in_the_middle() -> None:
    """argo 1389: waiting on a paused release must come back."""
    assert all(is_settled(record(phase)) for phase in (Phase.HELD, Phase.PROBATION, Phase.PROMOTED, Phase.ABORTED))
    assert not any(is_settled(record(phase)) for phase in (Phase.SHADOW, Phase.CANARY, Phase.ROLLING_BACK))


# --- the table --------------------------------------------------------------------------------------------------------
def test_the_table_says_where_a_canary_stands() -> None:
    text = drawn(record(Phase.CANARY, step=1, phase_since_s=NOW_S - 75, routed=True, reason="5 % went well."))
    for words in (
        "intent", "version 7", "Canary 50 %, step 2 of 2", "champion version 6", "for 1 min 15 s",
        "deadline in 58 min 20 s", "version 6 95 %, version 7 5 %; 100 % mirrored to version 7", "5 % went well.",
    ):  # fmt: skip
        assert words in text


@pytest.mark.parametrize("width", [60, 80, 109, 110, 140, 200])
def test_every_gate_fits_every_width(width: int) -> None:
    """Numbers stay whole and aligned; only the sentence is shortened."""
    text = drawn(record(Phase.CANARY, verdicts={"latency.p95": VERDICT}), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    (line,) = [line for line in text.splitlines() if line.startswith("  latency.p95")]
    assert "… inconclusive" in line
    assert "1.24   1.15  327 of 1,527" in line
    assert "Latency is not settled yet: the" in text


def test_without_colour_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is respected, and each outcome is told by a word and a symbol."""
    monkeypatch.setenv("NO_COLOR", "1")
    verdicts = {name: releases.verdict(name, Outcome(name), Stage.LIVE) for name in Outcome}
    text = drawn(record(Phase.CANARY, verdicts=verdicts), force_terminal=True)
    assert "\x1b[3" not in text
    for words in ("✓ pass", "✕ fail", "… inconclusive", "! error"):
        assert words in text


def test_markup_in_names_is_shown_as_it_is() -> None:
    hostile = replace(VERDICT, reason="[bold red]not markup[/bold red] [/]")
    text = drawn(record(Phase.CANARY, verdicts={"latency.p95": hostile}, reason="[link=file:///]click[/link]"))
    assert "[bold red]not markup[/bold red] [/]" in text
    assert "[link=file:///]click[/link]" in text


def test_failures_come_first_then_what_is_required_and_what_passes_shares_a_line() -> None:
    """Twelve rows that are well hide the one that is not."""
    named = {
        "errors.live": Outcome.PASS,
        "accuracy.live": Outcome.INCONCLUSIVE,
        "latency.p95": Outcome.FAIL,
        "latency.p99": Outcome.PASS,
        "budget": Outcome.ERROR,
    }
    verdicts = {name: releases.verdict(name, outcome, Stage.LIVE) for name, outcome in named.items()}
    verdicts["throughput"] = replace(releases.verdict("throughput", Outcome.INCONCLUSIVE, advisory=True), samples=9)
    text = drawn(record(Phase.CANARY, verdicts=verdicts))
    lines = [line.strip() for line in text.splitlines()]
    begins = [line.split()[0] for line in lines if re.match(r"[a-z.0-9]+ +[✓✕…!] ", line)]
    assert begins == ["latency.p95", "budget", "accuracy.live"]
    assert "✓ pass  2: errors.live, latency.p99" in lines
    assert "advisory, not settled: throughput" in lines
    console = Console(width=140, file=io.StringIO())
    console.print(status_table(Overview([record(Phase.CANARY, verdicts=verdicts)], NOW_S, {}), every=True))
    assert isinstance(console.file, io.StringIO)
    assert "latency.p99 says pass" in console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("terminal", [True, False])
def test_a_row_shows_the_limit_that_decided_at_every_width(width: int, *, terminal: bool) -> None:
    """Its direction and the rule that it stands for, and each one that matters; in a pipe sentences are whole."""
    limits = (
        Limit(Rule.MARGIN, 0.02, 0.0061, "confidence gap"),
        Limit(Rule.FLOOR, 0.8, 0.869, "accuracy", at_least=True),
    )
    judged = replace(VERDICT, gate="calibration.shadow", value=0.5, threshold=0.1, limits=limits)
    text = drawn(record(Phase.SHADOW, verdicts={"calibration.shadow": judged}), width=width, force_terminal=terminal)
    plain_text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert re.search(r"0\.0061 +< 0\.02 margin", plain_text)
    assert re.search(r"0\.869 +≥ 0\.8 floor", plain_text)
    assert "0.5" not in plain_text
    assert max(len(line) for line in plain_text.splitlines()) <= width
    assert (" ".join(LONG.split()) in " ".join(plain_text.split())) is (not terminal)


def test_the_sentence_that_decides_comes_first_with_a_bar_and_a_time() -> None:
    waiting = replace(releases.verdict(outcome=Outcome.INCONCLUSIVE), samples=250, samples_needed=1_000)
    fields = {"verdicts": {"accuracy.shadow": waiting}, "routed": True, "looked_at_s": NOW_S}
    lines = drawn(record(Phase.SHADOW, **fields)).splitlines()
    assert lines[1].strip() == (
        "Judging mirrored requests: waits for accuracy.shadow; accuracy.shadow has 250 of about 1,000 samples."
    )
    assert lines[2].strip() == f"{'█' * 5}{'░' * 15} 25 %, at this rate in 5 min, at {clock(NOW_S + 300, NOW_S)}"


def test_advisory_gates_without_data_share_a_line() -> None:
    idle = Verdict("throughput", Stage.LIVE, Outcome.INCONCLUSIVE, "Not measured.", advisory=True)
    text = drawn(record(Phase.CANARY, verdicts={"throughput": idle, "latency.p95": VERDICT}))
    assert "advisory, without data: throughput" in text
    assert "Not measured." not in text


def test_faults_replicas_and_overrides_are_named() -> None:
    """What stands in the way is on the screen, not only in a log."""
    console = Console(width=140, file=io.StringIO())
    table = replace(TABLE, override=Override("incident 42", "ana", NOW_S))
    status = DeploymentStatus("7", (Endpoint(Condition.FAILED, detail="killed by signal 9"),))
    release = record(Phase.CANARY, faults={"metrics": "did not answer within 2 s"})
    console.print(
        status_table(Overview([release], now_s=NOW_S, traffic={"intent": table}, deployments={"intent": {"7": status}}))
    )
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for words in ("no metrics", "did not answer within 2 s", "killed by signal 9", "set by ana: incident 42"):
        assert words in text


def test_what_was_away_in_the_past_is_not_away_now() -> None:
    """A release that has ended asks nobody any more; one that is held is looked at no more, and the age is told."""
    faults = {"metrics": "did not answer within 2 s", "registry": "is not there"}
    ended = in_text(Overview([record(Phase.ABORTED, faults=faults)], NOW_S, {}))
    assert "no metrics" not in ended
    assert "no registry" not in ended
    held = in_text(Overview([record(Phase.HELD, faults=faults, looked_at_s=NOW_S - 60)], NOW_S, {}))
    at = clock(NOW_S - 60, NOW_S)
    assert f"did not answer within 2 s (at its last look, {at})" in held
    assert "is not there (" not in held


def test_a_table_that_nobody_sees_is_not_one_that_was_never_written() -> None:
    """While a cluster was away a canary was shown as not routed yet."""
    for found, said in (
        (record(Phase.CANARY), "none visible now"),
        (record(Phase.SUITE, stable=None), "not routed yet"),
    ):
        assert said in in_text(Overview((found,), now_s=NOW_S, traffic={}))


def test_a_breach_that_blames_nobody_is_on_the_screen_in_full() -> None:
    breach = replace(VERDICT, reason="P95 misses its objective of 200 ms, and nobody knows why.", breach=True)
    text = drawn(record(Phase.PROBATION, verdicts={"latency.p95": breach}))
    assert "breach" in text
    assert text.count("P95 misses its objective of 200 ms, and nobody knows why.") == 2
    assert "nothing is mirrored to the former version" not in text
    uncopied = replace(releases.POLICY, probation_mirror_pct=0.0)
    assert "nothing is mirrored to the former version" in drawn(record(Phase.PROBATION, policy=uncopied))


def test_a_version_that_warms_up_says_until_when() -> None:
    policy = replace(releases.POLICY, warm_up_s=180.0)
    warm_at = utc(releases.NOW_S + 180)
    words = f"warming up until {warm_at}; until then latency does not count"
    assert words in drawn(record(Phase.CANARY, policy=policy, routed=True))
    assert "warming" not in drawn(record(Phase.CANARY, policy=policy, routed=True, routed_at_s=NOW_S - 180))
    assert "warming" not in drawn(record(Phase.CANARY, policy=policy))


def test_a_model_without_a_release_and_nothing_at_all() -> None:
    assert "no release" in drawn()
    console = Console(width=80, file=io.StringIO())
    console.print(status_table(Overview([], now_s=NOW_S, traffic={})))
    assert isinstance(console.file, io.StringIO)
    assert "No release yet" in console.file.getvalue()


def test_of_each_model_the_release_that_began_last_is_shown() -> None:
    journal = FakeJournal()
    for number, kept in enumerate((record(Phase.ROLLED_BACK), record(Phase.CANARY))):
        journal.append(replace(kept, release_id=f"r{number}", sequence=0), [])
    journal.append(replace(record(Phase.PROMOTED), model="topic", release_id="r2", sequence=0), [])
    assert [found.release_id for found in current(journal)] == ["r1", "r2"]
    assert [found.release_id for found in current(journal, "topic")] == ["r2"]


def test_of_many_models_each_is_a_line() -> None:
    """Hundreds of tables of gates tell nobody anything; one model is asked for by its name."""
    journal = FakeJournal()
    for number in range(BLOCKS_MAX + 1):
        kept = replace(record(Phase.CANARY), model=f"model-{number:02}", release_id=f"r{number}", sequence=0)
        journal.append(replace(kept, reason="Everything as it should be." * 9), [])
    seen = Overview(current(journal), NOW_S, {"model-03": TABLE})
    lines = in_text(seen).rstrip().splitlines()
    assert len(lines) == BLOCKS_MAX + 1
    assert lines[3].startswith("model-03  version 7  Canary for")
    assert "version 7 5 %" in lines[3]
    narrow = Console(width=40, file=io.StringIO())
    narrow.print(status_table(Overview(current(journal), now_s=NOW_S, traffic={})))
    cut = narrow.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [(len(line), line[-1]) for line in cut] == [(40, "…")] * len(lines)
    assert (worst_exit_code(seen), settled(seen)) == (3, False)
    assert "champion version 6, candidate version 7" in in_text(Overview(current(journal, "model-03"), NOW_S, {}))


# --- watching ---------------------------------------------------------------------------------------------------------
def snapshots(*phases: Phase) -> Iterator[Overview]:
    for phase in phases:
        yield Overview([record(phase)], NOW_S, {"intent": TABLE})


def plain() -> Console:
    return Console(width=120, file=io.StringIO())


def test_watching_ends_with_the_exit_code_of_the_end() -> None:
    seen = snapshots(Phase.SHADOW, Phase.CANARY, Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    pauses: list[float] = []
    code = watch(lambda: next(seen), plain(), refresh_s=2.0, until=settled, sleep=pauses.append)
    assert code == 1
    assert pauses == [2.0, 2.0, 2.0]


def test_watching_gives_up_with_a_code_of_its_own() -> None:
    canary = next(snapshots(Phase.CANARY))
    code = watch(lambda: canary, plain(), until=settled, timeout_s=3, sleep=lambda _: None)
    assert code == 5


def test_a_moments_silence_does_not_end_the_watch() -> None:
    """The last table stays on the screen, with a line that says what does not answer."""
    seen: list[Overview | TransientError] = [
        *snapshots(Phase.CANARY), TransientError("journal", "database is locked"), *snapshots(Phase.PROMOTED),
    ]  # fmt: skip

    def fetch() -> Overview:
        found = seen.pop(0)
        if isinstance(found, TransientError):
            raise found
        return found

    console = plain()
    assert watch(fetch, console, until=settled, sleep=lambda _: None) == 0
    assert isinstance(console.file, io.StringIO)
    assert "journal does not answer: database is locked" in console.file.getvalue()


def test_where_there_is_no_terminal_only_changes_are_printed() -> None:
    """A CI log shows each phase once, however long it lasts."""
    seen = snapshots(*[Phase.SHADOW] * 50, *[Phase.CANARY] * 50, Phase.PROMOTED)
    console = plain()
    watch(lambda: next(seen), console, until=settled, sleep=lambda _: None)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("release of version") == 3


def test_on_a_terminal_the_table_is_drawn_over_itself_and_the_screen_given_back() -> None:
    console = Console(width=120, file=io.StringIO(), force_terminal=True)
    seen = snapshots(Phase.CANARY, Phase.HELD)
    assert watch(lambda: next(seen), console, until=settled, sleep=lambda _: None) == 3
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1  # the cursor, hidden and shown again


def test_the_worst_of_several_models_counts() -> None:
    both = Overview(
        [record(Phase.PROMOTED), replace(record(Phase.ROLLED_BACK), model="topic")], NOW_S, {"intent": TABLE}
    )
    assert (worst_exit_code(both), settled(both)) == (1, True)
    assert (worst_exit_code(Overview([], NOW_S, {})), settled(Overview([], NOW_S, {})), never(both)) == (
        3,
        False,
        False,
    )


def test_a_freeze_is_the_first_thing_to_see() -> None:
    """Who wonders why nothing starts reads it at once, even where there is no release yet."""
    line = "intent  frozen by ana because incident 42"
    for seen in (Overview([record(Phase.PROMOTED)], NOW_S, {}), Overview([], NOW_S, {})):
        assert in_text(replace(seen, freezes=[releases.FREEZE])).splitlines()[0].rstrip() == line


# --- sources of labels ------------------------------------------------------------------------------------------------
def test_what_is_wrong_with_a_source_of_labels_is_told() -> None:
    """A line a source; one with which nothing is wrong needs none."""
    odd = LabelSource(
        "crm\n\x1b[2J",
        labelled=50,
        unknown=3,
        settled=40,
        unmatched=39,
        expected_matched=40.0,
        contradicts_others=7,
        corrected_late=1,
    )
    fine = LabelSource("helpdesk", labelled=9, settled=90, unmatched=80, expected_matched=9.0)
    table = drawn(record(Phase.SHADOW, label_sources=(odd, fine)), width=200)
    assert "3 of 50 labels name no class; 39 of 40 match no sampled request; 7 contradict another source;" in table
    assert "1 correction came too late" in table
    assert "helpdesk" not in table
    assert "\x1b" not in table


def test_how_far_a_suite_has_come_and_what_waits_for_the_next_release_are_told() -> None:
    journal, site = FakeJournal(), FakeSite()
    site.known = {"intent": replace(releases.POLICY, serving=ServingPolicy(replicas=2))}
    site.asked = {"intent": (SuiteProgress("7", ("intents",), 1_200, 3_000),)}
    texts = []
    for number, phase in enumerate((Phase.SUITE, Phase.SHADOW)):
        journal.append(replace(record(phase), release_id=f"r{number}", sequence=0), [])
        service = Service(journal, FakeInbox(), FakeFreezes(), Clock(NOW_S), {"intent"}, site)
        texts.append(in_text(service.overview("intent")))
    assert "suite     intents 1,200 of 3,000, version 7" in texts[0]
    assert "1,200 of 3,000" not in texts[1]
    for text in texts:
        assert "replicas 1 → 2, with the next release, or: serin release again intent" in text


def test_a_replay_with_nothing_to_ask_says_why() -> None:
    nothing = ReplayProgress(0, trouble="no text is kept. For the next release: keep texts")
    shown = in_text(Overview([record(Phase.SHADOW)], NOW_S, {"intent": TABLE}, replays={"intent": nothing}))
    assert "replay    nothing is replayed: no text is kept. For the next release: keep texts" in shown


def test_how_much_is_sampled_is_told_in_one_line() -> None:
    console = Console(width=140, file=io.StringIO())
    for sampling in ({"intent": SAMPLED}, None):
        console.print(status_table(Overview([record(Phase.SHADOW)], now_s=NOW_S, traffic={}, sampling=sampling or {})))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("samples   3.12 % of the requests: its gates need no more") == 1


def test_an_overview_is_the_same_after_a_way_as_json() -> None:
    """Whoever asks from afar sees what is seen here: every kind of thing that one holds."""
    moved = replace(TABLE, known_good="6", generation=4, override=Override("wrong refunds", "ana", NOW_S))
    seen = Overview(
        (record(Phase.CANARY), ReleaseSummary("r2", "topic", "3", "promoted", False, 9, 5.0, 6.0, "all is well")),
        NOW_S,
        {"intent": moved, "topic": TrafficTable("topic", {"3": 100.0})},
        {"intent": {"7": DeploymentStatus("7", (Endpoint(Condition.STARTING, detail="it loads", restarts=2),))}},
        (releases.FREEZE,),
        ("the disk is full",),
        {"intent": "replicas 1 → 2"},
        {"intent": (SuiteProgress("7", ("intents",), 1, 3),)},
        {"intent": SAMPLED},
    )
    back = overview_in(json.loads(json.dumps(as_document(seen))))
    assert in_text(back) == in_text(seen)
    assert as_document(back) == as_document(seen)
    assert (back.traffic, back.deployments, back.freezes) == (seen.traffic, seen.deployments, seen.freezes)


@pytest.mark.parametrize(
    ("mirroring", "said"),
    [
        (Mirroring.NONE, "no mirror here (Traefik): no shadow phase, and nothing is judged on mirrored requests"),
        (Mirroring.GATEWAY_ONE_WAY, "one way (Traefik): what the candidate serves is not mirrored to stable"),
        (Mirroring.REPLICA, ""),
    ],
)
def test_what_is_not_mirrored_is_told(mirroring: Mirroring, said: str) -> None:
    """Whoever reads the gates knows on which evidence they stand."""
    able = replace(ABLE, name="Traefik", mirroring=mirroring)
    text = drawn(record(Phase.CANARY, able=able))
    assert said in text
    assert ("  mirror  " in text) is bool(said)
