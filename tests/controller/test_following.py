"""`serin wait`, `serin why`, `serin history`: what became of a release, why, and waiting for it."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.bootstrap.stores import opened, upgrade_schema
from controller.cli import completion
from controller.cli.app import app
from controller.cli.following import waited
from controller.cli.output import say_folded
from controller.config.settings import Home, Settings
from controller.config.variables import HOME_VARIABLE
from controller.core.commands import Ask, Command, Freeze
from controller.core.events import CommandTaken, Event, Leaving, PhaseEntered, TrafficConfirmed, fold
from controller.core.release import Phase, Purpose
from controller.errors import TransientError, UsageError
from controller.journal.codec import entry_of, record_of
from controller.ports.journal import ReleaseSummary
from controller.report.chronicle import Happening, news
from gates.outcome import Outcome
from gates.verdict import Stage
from tests.controller import releases

RELEASE = "intent-v7-1"
FAILED = replace(
    releases.verdict("errors.live", Outcome.FAIL, Stage.LIVE), reason="The candidate fails in 9 of 100 requests."
)
COURSE: Sequence[Event] = (
    releases.started(),
    PhaseEntered(Phase.SHADOW, "The suites passed.", 9_000.0),
    PhaseEntered(Phase.CANARY, "Every gate on shadow traffic passed."),
    TrafficConfirmed({"6": 95.0, "7": 5.0}, 3),
    CommandTaken("c1", "pause", "launch", "bob"),
    Leaving(Phase.ROLLED_BACK, "The candidate fails in 9 of 100 requests.", ("errors.live",)),
    PhaseEntered(Phase.ROLLED_BACK, "The candidate fails in 9 of 100 requests."),
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An installation of which nothing runs, with a release that was rolled back, and a freeze that was lifted."""
    place = Home(tmp_path / "home")
    place.save(Settings(api_port=1))
    place.policies.mkdir()
    text = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
    (place.policies / "intent.yaml").write_text(text, encoding="utf-8")
    upgrade_schema(place)
    release = replace(fold(None, COURSE, 1_000.0), verdicts={"errors.live": FAILED}, blamed=("errors.live",))
    with opened(place) as store:
        entries = [entry_of(event, 1_000.0 + number) for number, event in enumerate(COURSE)]
        store.journal.append(record_of(release, len(entries)), entries)
        store.freezes.freeze(Freeze("intent", "incident 42", "ana", 2_000.0))
        store.freezes.lift("intent", reason="it is over", by="bob", at_s=2_100.0)
        store.inbox.put(Command("c2", Ask.START, "intent", "9", "new", "ci", 2_200.0))
        store.inbox.discard("c2", "intent has no version 9")
    return place


def serin(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--home", str(home.path)])


def refused(home: Home, *arguments: str) -> str:
    """What the command is refused with, before anything else is said."""
    told = serin(home, *arguments)
    assert isinstance(told.exception, UsageError), told.exception
    assert told.stdout == ""
    return str(told.exception)


# --- why --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("named", [RELEASE, "intent"])
def test_why_says_what_decided_it_and_how_it_came_there(home: Home, named: str) -> None:
    """In this order, in whole sentences; a model stands for its latest release."""
    told = serin(home, "why", named)
    text = " ".join(told.stdout.split())
    assert told.exit_code == 1
    places = [
        text.index(words)
        for words in (
            "intent-v7-1 since",
            "Version 7 was rolled back: The candidate fails in 9 of 100 requests.",
            "What decided it",
            "errors.live ✕ fail",
            "How it got there",
            "Release started by ana. Try version 7.",
            "Canary 5 %. Every gate on shadow traffic passed.",
            "Asked to pause by bob. launch",
            "Going back, to be rolled back",
            "Rolled back",
            "All of it: serin report intent-v7-1",
        )
    ]
    assert places == sorted(places)
    assert text.count("The candidate fails in 9 of 100 requests") == 1, "a reason may be ten lines long"


def test_why_says_who_took_it_back_once(home: Home) -> None:
    """In the sentence above; a line of the course that says it again has its title alone."""
    reason = "Rolled back by bob: wrong refunds"
    course: tuple[Event, ...] = (
        replace(releases.started(), by="ana", reason="Try it."),
        CommandTaken("c1", "start", "Try it.", "ana"),
        Leaving(Phase.ROLLED_BACK, reason, by="bob"),
        PhaseEntered(Phase.ROLLED_BACK, reason),
    )
    with opened(home) as store:
        entries = [entry_of(event, 6_000.0) for event in course]
        store.journal.append(replace(record_of(fold(None, course, 6_000.0), 4), release_id="intent-v7-3"), entries)
    text = " ".join(serin(home, "why", "intent-v7-3").stdout.split())
    assert "Version 7 was rolled back by bob: wrong refunds." in text
    assert (text.count("wrong refunds"), text.count("Try it.")) == (1, 1)


def test_a_restore_is_not_told_as_a_promotion(home: Home) -> None:
    """A person went back to a version: nothing was proven of it. Also where its beginning is longer ago than asked."""
    course: tuple[Event, ...] = (
        replace(releases.started(), purpose=Purpose.RESTORE, by="ana", reason="wrong refunds"),
        PhaseEntered(Phase.PROMOTING, "wrong refunds"),
        PhaseEntered(Phase.PROMOTED, "wrong refunds"),
    )
    restored = fold(None, course, 5_000.0)
    with opened(home) as store:
        entries = [entry_of(event, 5_000.0 + number) for number, event in enumerate(course)]
        record = replace(record_of(restored, len(entries)), release_id="intent-v7-2", phase_since_s=5_002.0)
        store.journal.append(record, entries)
    for since, number in (("1970-01-01T01:23:20", 0), ("1970-01-01T01:23:21", 1)):
        rows = [line.split("\t") for line in serin(home, "history", "--since", since).stdout.splitlines()]
        whats = [row[3] for row in rows if row[-1] == "intent-v7-2"]
        assert whats == ["restore begins", "being restored", "restored"][number:]
    text = serin(home, "why", "intent-v7-2").stdout
    assert "Restored" in text
    assert "romoted" not in text


def test_a_line_is_folded_at_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """A number stays beside its sign; in a pipe a line stays one."""
    line = "19:56:31 UTC  intent: version 2 Canary at 50 %: All gates pass."
    say_folded(line, indent=14)
    assert capsys.readouterr().out == f"{line}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for width in range(30, 60):
        monkeypatch.setenv("COLUMNS", str(width))
        say_folded(line, indent=14)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= width
        assert " ".join(" ".join(lines).split()) == " ".join(line.split())
        assert any("50 %" in one for one in lines)


def test_why_as_json_has_the_same_code(home: Home) -> None:
    told = serin(home, "why", RELEASE, "--output", "json")
    document = json.loads(told.stdout)
    assert (told.exit_code, document["schema"], document["phase"]) == (1, "serin.why/v1", "rolled_back")
    assert [gate["gate"] for gate in document["decided_by"]] == ["errors.live"]
    assert document["course"][0]["by"] == "ana"


def test_why_of_a_release_that_goes_on_says_what_keeps_it(home: Home) -> None:
    canary = releases.release_in(Phase.SHADOW, verdicts={"accuracy.shadow": releases.verdict(outcome=Outcome.ERROR)})
    with opened(home) as store:
        store.journal.append(replace(record_of(canary, 1), release_id="intent-v8-1"), [entry_of(COURSE[0], 1.0)])
    text = serin(home, "why", "intent-v8-1").stdout
    assert "What keeps it" in text
    assert "accuracy.shadow says error" in " ".join(text.split())


# --- history ----------------------------------------------------------------------------------------------------------
def test_history_tells_who_served_who_decided_and_what_was_frozen(home: Home) -> None:
    """In the order in which it happened, a line each; cells between tabs."""
    rows = [line.split("\t") for line in serin(home, "history", "--since", "1970-01-01").stdout.splitlines()]
    assert [(row[3], row[4]) for row in rows] == [
        ("release begins", "ana"),
        ("users are answered by version 6 (95 %), version 7 (5 %)", ""),
        ("asked to pause", "bob"),
        ("going back, to be rolled back", ""),
        ("rolled back", ""),
        ("frozen", "ana"),
        ("freeze lifted", "bob"),
        ("asked to start version 9, in vain", "ci"),
    ]
    assert rows[0] == ["1970-01-01 00:16:40", "intent", "7", "release begins", "ana", "Try version 7.", RELEASE]


def test_history_tells_until_when_it_was_frozen_and_that_it_ended(home: Home) -> None:
    brief = Freeze("intent", "a drill", "ana", 3_000.0, ends_at_s=3_600.0)
    with opened(home) as store:
        store.freezes.freeze(brief)
        store.freezes.end(brief, at_s=3_601.0)
    rows = [line.split("\t") for line in serin(home, "history", "--since", "1970-01-01T00:45").stdout.splitlines()]
    assert [row[3:6] for row in rows[:2]] == [
        ["frozen until 1970-01-01 01:00:00 UTC", "ana", "a drill"],
        ["freeze ended by itself", "", "ana had frozen it: a drill"],
    ]


def test_history_of_a_time_and_a_model(home: Home) -> None:
    document = json.loads(serin(home, "history", "intent", "--since", "1970-01-01T00:20", "-o", "json").stdout)
    assert [one["what"] for one in document["happenings"]] == [
        "frozen",
        "freeze lifted",
        "asked to start version 9, in vain",
    ]
    now = datetime.now(UTC).isoformat()
    assert serin(home, "history", "--since", now).stdout == "Nothing happened since then.\n"
    assert refused(home, "history", "--since", "yesterday").startswith("--since yesterday: not a time")
    assert refused(home, "history", "--since", "2999-01-01").startswith("--since 2999-01-01: is still to come; it is")


def test_who_answers_users_is_told_where_it_changes() -> None:
    """Each step confirms it, also where only copies are made; an edit that was replaced may have changed it."""
    told = [
        Happening(float(place), model, what)
        for place, (model, what) in enumerate(
            [
                ("intent", "users are answered by version 6"),
                ("tone", "users are answered by version 6"),
                ("intent", "users are answered by version 6"),
                ("intent", "users are answered by version 6 (95 %), version 7 (5 %)"),
                ("intent", "users are answered by version 6"),
                ("intent", "an edit of the traffic table was replaced"),
                ("intent", "users are answered by version 6"),
            ]
        )
    ]
    assert [one.at_s for one in news(told)] == [0, 1, 3, 4, 5, 6]


# --- wait -------------------------------------------------------------------------------------------------------------
class Releases:
    """An installation whose list of releases is another at each question."""

    def __init__(self, *seen: Sequence[ReleaseSummary] | TransientError) -> None:
        self._seen = list(seen)

    def releases(self, _model: str) -> Sequence[ReleaseSummary]:
        found = self._seen.pop(0)
        if isinstance(found, TransientError):
            raise found
        return found


def summary(phase: Phase, release_id: str = RELEASE) -> ReleaseSummary:
    return ReleaseSummary(release_id, "intent", "7", phase, True, 1, 1.0, 1.0, f"It is {phase}.")


def test_waiting_tells_each_phase_once_and_ends_when_it_is_settled() -> None:
    """Of the release that began last when it was asked; a newer one is another's."""
    newer = summary(Phase.SHADOW, "intent-v8-1")
    seen = Releases(
        [],
        [summary(Phase.SHADOW)],
        [summary(Phase.SHADOW)],
        TransientError("journal", "database is locked"),
        [newer, summary(Phase.CANARY)],
        [newer, summary(Phase.HELD)],
    )
    said: list[str] = []
    found = waited(seen, "intent", math.inf, tell=said.append, sleep=lambda _: None)  # type: ignore[arg-type]
    assert found == summary(Phase.HELD)
    assert said == [
        "intent: no release yet",
        "intent: version 7 Shadow: It is shadow.",
        "intent: journal does not answer: database is locked",
        "intent: version 7 Canary: It is canary.",
        "intent: version 7 Held: It is held.",
    ]


def test_waiting_for_a_version_takes_no_other_for_it() -> None:
    """The one before was promoted: that says nothing of a version whose release has not begun."""
    before = summary(Phase.PROMOTED)
    of_eight = [replace(before, release_id="intent-v8-1", version="8", phase=phase) for phase in ("shadow", "held")]
    seen = Releases([before], [of_eight[0], before], [before, of_eight[1]])
    said: list[str] = []
    found = waited(seen, "intent", math.inf, version="8", tell=said.append, sleep=lambda _: None)  # type: ignore[arg-type]
    assert found == of_eight[1]
    assert said[:2] == ["intent: no release of version 8 yet", "intent: version 8 Shadow: It is promoted."]


@dataclass
class Time:
    """A clock that goes on when somebody sleeps."""

    at_s: float = 50.0

    def now_s(self) -> float:
        return self.at_s

    def sleep(self, for_s: float) -> None:
        self.at_s += for_s


@pytest.mark.parametrize("answers_in_s", [0.0, 30.0])
def test_waiting_gives_up_in_time(answers_in_s: float) -> None:
    """By the clock: a controller that hangs takes its half minute for each answer, and that counts."""
    time = Time()

    class Slow(Releases):
        def releases(self, model: str) -> Sequence[ReleaseSummary]:
            time.sleep(answers_in_s)
            return super().releases(model)

    seen = Slow(*[[summary(Phase.SHADOW)]] * 4)
    found = waited(seen, "intent", 3.0, tell=lambda _: None, sleep=time.sleep, now_s=time.now_s)  # type: ignore[arg-type]
    assert found is None
    assert time.at_s == 50.0 + max(3.0, answers_in_s)


@pytest.mark.parametrize("seconds", ["nan", "-1"])
def test_no_time_is_waited_for_ever(home: Home, seconds: str) -> None:
    for command in (
        ("wait", "intent", "--timeout-s", seconds),
        ("release", "start", "intent", "9", "--wait-s", seconds),
    ):
        assert refused(home, *command) == f"{seconds} is no time to wait: give seconds, 0 or more"


@pytest.mark.parametrize(
    "command", [("wait", "refunds"), ("history", "refunds"), ("release", "list", "--model", "refunds")]
)
def test_a_model_that_never_was_is_told_of_at_once(home: Home, command: Sequence[str]) -> None:
    """Nobody waits for what a mistyped name will never do, or reads that nothing has happened."""
    assert refused(home, *command) == "there is no policy for model 'refunds'; models here: intent"


def test_a_page_after_a_release_that_never_was_is_none(home: Home) -> None:
    assert "there is no release 'intent-v70-1'" in refused(home, "release", "list", "--before", "intent-v70-1")


def test_why_of_a_model_whose_name_looks_like_a_release(home: Home) -> None:
    text = (home.policies / "intent.yaml").read_text(encoding="utf-8")
    (home.policies / "intent-v2.yaml").write_text(text.replace("model: intent", "model: intent-v2"), encoding="utf-8")
    assert "intent-v2 has no release yet" in refused(home, "why", "intent-v2")
    release = replace(fold(None, COURSE, 1_000.0), id="intent-v2-v7-1", model="intent-v2")
    with opened(home) as store:
        store.journal.append(record_of(release, 1), [entry_of(COURSE[0], 1_000.0)])
    told = serin(home, "why", "intent-v2")
    assert (told.exit_code, told.stdout.split()[0]) == (1, "intent-v2-v7-1")


def test_waiting_ends_by_how_the_release_stands(home: Home) -> None:
    told = serin(home, "wait", "intent")
    assert told.exit_code == 1
    assert told.stdout.splitlines()[-1] == "intent-v7-1: rolled_back. What decided it: serin why intent-v7-1"
    as_json = serin(home, "wait", "intent", "-o", "json")
    document = json.loads(as_json.stdout)
    assert (as_json.exit_code, document["exit_code"], document["settled"]) == (1, 1, True)


# --- about ------------------------------------------------------------------------------------------------------------
def test_a_topic_is_explained_and_the_release_is_told() -> None:
    assert "could not judge" in CliRunner().invoke(app, ["help", "exit-codes"]).stdout
    assert CliRunner().invoke(app, ["help"]).stdout.startswith("Topics:\n")
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("serin ")
    assert CliRunner().invoke(app, ["status", "-h"]).exit_code == 0


def test_a_shell_completes_models_and_releases_of_its_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing where no installation is."""
    monkeypatch.setenv(HOME_VARIABLE, str(home.path))
    assert (completion.models("in"), completion.models("x")) == (["intent"], [])
    assert (completion.releases("intent-v7"), completion.releases("tone")) == ([RELEASE], [])
    monkeypatch.setenv(HOME_VARIABLE, str(home.path / "nowhere"))
    assert (completion.models(""), completion.releases("")) == ([], [])


@pytest.mark.parametrize(("word", "where"), [("get", "serin status MODEL"), ("retry", "--repeat")])
def test_argos_words_are_told_where_they_went(word: str, where: str) -> None:
    told = CliRunner().invoke(app, [word, "rollout", "intent"])
    assert isinstance(told.exception, UsageError)
    assert where in str(told.exception)
