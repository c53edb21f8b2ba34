"""What is done from the page: by whom, after which preview, and never by a form that was not shown."""

import re
from dataclasses import replace
from threading import Thread
from typing import NoReturn

import pytest

from controller.core.commands import Ask, Freeze
from controller.core.foresight import Standing
from controller.core.release import Pause, Phase
from controller.errors import PermanentError, Source, TransientError
from controller.ports.journal import Entry, ReleaseRecord
from controller.roles import Role
from controller.web.deeds import BY_NAME, mark_of
from tests.controller.releases import release_in
from tests.controller.test_report_page import Page
from tests.patience import PATIENCE_S
from tests.web.support import ORIGIN, PageWorld, canary, hidden

DEEDS = ("pause", "resume", "freeze", "unfreeze", "abort", "rollback")


@pytest.fixture
def world() -> PageWorld:
    found = PageWorld()
    found.add(canary())
    found.routed(v6=95.0, v7=5.0)
    return found


def away(*_: object, **__: object) -> NoReturn:
    raise TransientError(Source.JOURNAL, "journal is away")


def broken(*_: object, **__: object) -> NoReturn:
    raise PermanentError("the chain is broken")


def offered(page: str) -> list[str]:
    return [name for name in DEEDS if f'href="/web/models/intent/{name}"' in page]


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ((), []),
        ((Role.VIEW,), []),
        ((Role.PROPOSE,), []),
        ((Role.ROLLBACK,), ["pause", "freeze", "abort", "rollback"]),
        ((Role.ADMIN,), ["pause", "freeze", "abort", "rollback"]),
    ],
)
def test_what_is_offered_is_what_the_role_may(world: PageWorld, roles: tuple[Role, ...], expected: list[str]) -> None:
    assert offered(world.browser(*roles).get("/web/releases/intent-v7-1").text) == expected


@pytest.mark.parametrize("deed", DEEDS)
def test_who_may_not_is_refused_by_the_form_and_by_the_deed(world: PageWorld, deed: str) -> None:
    """Also where somebody types the address, or sends the form of another page."""
    for browser in (world.browser(), world.browser(Role.VIEW), world.browser(Role.ADMIN, model="tone")):
        assert browser.get(f"/web/models/intent/{deed}").status_code == 403
        form = {**hidden(browser.get("/web/session").text), "reason": "because", "mark": "x"}
        assert browser.post(f"/web/models/intent/{deed}", form).status_code == 403
    assert not world.inbox.waiting()
    assert not world.freezes.in_force()


@pytest.mark.parametrize(("deed", "ask"), [("abort", Ask.ABORT), ("rollback", Ask.ROLLBACK), ("pause", Ask.PAUSE)])
def test_a_command_waits_with_who_and_why_after_its_preview(world: PageWorld, deed: str, ask: Ask) -> None:
    browser = world.browser(Role.ROLLBACK)
    address = f"/web/models/intent/{deed}"
    text = Page(browser.get(address).text).text
    assert "The release of version 7 (canary at 5 %)" in text
    assert ("all traffic goes to version 6" in text) == (deed != "pause")
    assert "Users are answered now by version 6 (95 %), version 7 (5 %)." in text
    answer = browser.submit(address, address, reason=" wrong refunds ")
    (command,) = world.inbox.waiting()
    assert (command.ask, command.model, command.reason, command.by) == (ask, "intent", "wrong refunds", "ada")
    assert answer.headers["location"] == f"/web/asked/{command.id}"
    assert world.wakes == 1
    waits = browser.get(answer.headers["location"])
    assert "not taken up yet" in waits.text
    world.inbox.discard(command.id, "there is nothing to abort for intent")
    assert "there is nothing to abort for intent" in browser.get(answer.headers["location"]).text


@pytest.mark.parametrize("deed", ["abort", "rollback"])
def test_a_way_back_needs_nothing_that_can_be_read(world: PageWorld, deed: str) -> None:
    """Not even that the form was read while it could be; what gives users more does need it."""
    browser, address = world.browser(Role.ADMIN), f"/web/models/intent/{deed}"
    seen = {**hidden(browser.get(address).text), "reason": "wrong refunds"}
    world.journal.current = away  # type: ignore[method-assign]
    text = Page(browser.get(address).text).text
    assert "What that would do is not known: journal is away" in text
    assert "It is not known which versions answer users now." in text
    assert browser.post("/web/models/intent/pause", seen).status_code == 409
    assert browser.post(address, seen).status_code == 303
    assert [command.ask for command in world.inbox.waiting()] == [deed]
    text = Page(browser.get("/web/models/intent/unfreeze").text).text
    assert "It is not known whether a freeze holds intent: journal is away" in text


def test_a_way_back_that_cannot_be_recorded_is_told_as_done_at_once(world: PageWorld) -> None:
    sent_back = []
    board = world.board
    board.service = replace(board.service, retreat=lambda model, _, override: sent_back.append((model, override.by)))
    browser = world.browser(Role.ADMIN)
    form = {**hidden(browser.get("/web/models/intent/abort").text), "reason": "wrong refunds"}
    world.inbox.put = away  # type: ignore[method-assign]
    answer = browser.post("/web/models/intent/abort", form)
    assert (answer.status_code, sent_back) == (200, [("intent", "ada")])
    text = Page(answer.text).text
    assert "all users of intent were sent back at once. It will be recorded" in text
    assert "Taken up" not in text


def test_a_release_whose_journal_is_broken_can_be_taken_back(world: PageWorld) -> None:
    world.board.courses.at_once = broken  # type: ignore[method-assign]
    world.board.courses.read = broken  # type: ignore[method-assign]
    page = world.browser(Role.ROLLBACK).get("/web/releases/intent-v7-1")
    assert page.status_code == 200
    assert "What led here cannot be shown: the chain is broken" in Page(page.text).text
    assert {"abort", "rollback"} <= set(offered(page.text))
    assert "the chain is broken" in world.artist.draw("release/intent-v7-1")["course"]


def test_nobody_waits_for_what_is_being_read_for_others(world: PageWorld) -> None:
    """Each who waited would keep a thread of the interface from those who take a release back."""
    browser = world.browser(Role.ROLLBACK)
    with world.board._reporting:
        report = browser.get("/web/releases/intent-v7-1/report")
    assert report.status_code == 503
    assert "another report is being made: ask again" in Page(report.text).text
    assert browser.get("/web/releases/intent-v7-1/report").status_code == 200
    courses = world.board.courses
    tried: list[str] = []
    with courses._lock:
        asks = Thread(target=lambda: tried.append(browser.get("/web/releases/intent-v7-1").text), daemon=True)
        asks.start()
        asks.join(PATIENCE_S)
        assert tried, "the page waits for the course of another"
    assert "The journal of this release is being read." in tried[0]
    assert "Timeline" in browser.get("/web/releases/intent-v7-1").text


def test_a_release_that_cannot_be_read_can_be_aborted(world: PageWorld) -> None:
    record = ReleaseRecord("tone-1", "tone", "3", "shadow", True, 1, 9.0, '{"from": "the future"}')
    world.journal.append(record, [Entry("started", 1.0, {})])
    browser = world.browser(Role.ADMIN)
    text = Page(browser.get("/web/models/tone/abort").text).text
    assert "Nothing to abort" not in text
    assert "What that would do is not known" in text
    assert browser.submit("/web/models/tone/abort", "/web/models/tone/abort", reason="because").status_code == 303
    assert [(command.ask, command.model) for command in world.inbox.waiting()] == [(Ask.ABORT, "tone")]


def test_a_form_that_is_sent_twice_is_one_command(world: PageWorld) -> None:
    browser = world.browser(Role.ROLLBACK)
    form = {**hidden(browser.get("/web/models/intent/abort").text), "reason": "wrong refunds"}
    assert browser.post("/web/models/intent/abort", form).status_code == 303
    assert browser.post("/web/models/intent/abort", form).status_code == 303
    assert len(world.inbox.waiting()) == 1


def test_a_freeze_can_be_lifted_by_who_may(world: PageWorld) -> None:
    browser = world.browser(Role.ADMIN)
    browser.submit("/web/models/intent/freeze", "/web/models/intent/freeze", reason="incident 42")
    (freeze,) = world.freezes.in_force()
    assert (freeze.model, freeze.reason, freeze.by) == ("intent", "incident 42", "ada")
    page = browser.get("/web/releases/intent-v7-1").text
    assert "Frozen by ada because incident 42" in page
    assert "unfreeze" in offered(page)
    assert offered(world.browser(Role.ROLLBACK).get("/web/releases/intent-v7-1").text) == [
        "pause",
        "freeze",
        "abort",
        "rollback",
    ]
    text = Page(browser.get("/web/models/intent/unfreeze").text).text
    assert "These freezes are lifted: ada: incident 42." in text
    browser.submit("/web/models/intent/unfreeze", "/web/models/intent/unfreeze", reason="over")
    assert not world.freezes.in_force()


def test_a_freeze_may_end_by_itself(world: PageWorld) -> None:
    """The lengths that the form offers, and no other."""
    browser, form = world.browser(Role.ADMIN), "/web/models/intent/freeze"
    page = browser.get(form).text
    offers = re.findall(r'<option value="(\d*)"', page)
    assert offers[0] == "", "until somebody lifts it, where nobody chooses"
    refused = browser.submit(form, form, reason="incident 42", for_s="1e9")
    assert refused.status_code == 409
    assert "Choose for how long" in refused.text
    assert not world.freezes.in_force()
    browser.submit(form, form, reason="incident 42", for_s=offers[2])
    (freeze,) = world.freezes.in_force()
    assert freeze.ends_at_s == freeze.at_s + float(offers[2])


def test_only_a_freeze_has_a_length(world: PageWorld) -> None:
    browser, form = world.browser(Role.ADMIN), "/web/models/intent/pause"
    assert "<select" not in browser.get(form).text
    assert "Choose for how long" in browser.submit(form, form, reason="incident 42", for_s="3600").text
    assert not world.inbox.waiting()


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({}, {}),
        ({"origin": "http://127.0.0.1:9999"}, {}),
        ({"origin": "null"}, {}),
        (ORIGIN, {"word": "0" * 64}),
        (ORIGIN, {"word": ""}),
    ],
    ids=["no origin", "another port", "no one's", "another session's word", "no word"],
)
def test_a_form_of_another_page_does_nothing(world: PageWorld, headers: dict[str, str], fields: dict[str, str]) -> None:
    browser = world.browser(Role.ADMIN)
    form = {**hidden(browser.get("/web/models/intent/abort").text), "reason": "because", **fields}
    assert browser.post("/web/models/intent/abort", form, headers).status_code == 403
    assert not world.inbox.waiting()


def test_the_word_of_one_session_is_not_that_of_another(world: PageWorld) -> None:
    first, second = world.browser(Role.ADMIN), world.browser(Role.ADMIN, name="bo")
    form = {**hidden(first.get("/web/models/intent/abort").text), "reason": "because"}
    assert second.post("/web/models/intent/abort", form).status_code == 403
    assert first.post("/web/models/intent/abort", form).status_code == 303


def test_without_a_reason_nothing_is_done(world: PageWorld) -> None:
    browser = world.browser(Role.ADMIN)
    for reason in ("", "  ", "x" * 2_001, "a\x00b"):
        answer = browser.submit("/web/models/intent/abort", "/web/models/intent/abort", reason=reason)
        assert answer.status_code == 409
        assert "Say why" in answer.text
    assert not world.inbox.waiting()


def test_what_changed_since_the_preview_is_shown_before_anything_is_done(world: PageWorld) -> None:
    """Somebody read that 5 % would go back; meanwhile it is half of all."""
    browser = world.browser(Role.ADMIN)
    form = {**hidden(browser.get("/web/models/intent/rollback").text), "reason": "because"}
    world.site.tables["intent"] = world.site.tables["intent"].next(weights_pct={"6": 50.0, "7": 50.0})
    answer = browser.post("/web/models/intent/rollback", form)
    assert answer.status_code == 409
    assert "version 6 (50 %), version 7 (50 %)" in Page(answer.text).text
    assert not world.inbox.waiting()
    again = {**hidden(answer.text), "reason": "because"}
    assert browser.post("/web/models/intent/rollback", again).status_code == 303


def test_a_deed_that_would_do_nothing_says_so() -> None:
    nothing = Standing("intent", None, None)
    previews = {name: BY_NAME[name].preview(nothing).nothing for name in DEEDS}
    assert previews == {
        "pause": "Nothing to pause: no release is in progress.",
        "resume": "Nothing to resume: no release is in progress.",
        "freeze": "",
        "unfreeze": "No freeze is for intent alone.",
        "abort": "Nothing to abort: no release is in progress.",
        "rollback": "Nothing to roll back: nothing is routed yet.",
    }
    assert not BY_NAME["resume"].preview(replace(nothing, release=release_in(Phase.HELD))).nothing


def test_what_a_preview_rests_on_is_in_its_mark(world: PageWorld) -> None:
    table, release = world.site.tables["intent"], release_in(Phase.CANARY)
    standing = Standing("intent", release, table)
    others = [
        replace(standing, release=None),
        replace(standing, release=None, unreadable="it is of the future"),
        replace(standing, release=replace(release, step=1)),
        replace(standing, release=replace(release, phase=Phase.SHADOW)),
        replace(standing, release=replace(release, pause=Pause("bo", "lunch", 1.0))),
        replace(standing, table=table.next()),
        replace(standing, freezes=(Freeze("*", "holidays", "bo", 1.0),)),
    ]
    assert len({mark_of(one) for one in (standing, *others)}) == 1 + len(others)


def test_without_a_release_a_rollback_goes_to_the_known_good_version(world: PageWorld) -> None:
    now = Standing("intent", None, world.site.tables["intent"])
    assert "to version 6, the known good one" in " ".join(BY_NAME["rollback"].preview(now).lines)


def test_a_freeze_of_every_model_is_not_lifted_for_one(world: PageWorld) -> None:
    world.freezes.freeze(Freeze("*", "holidays", "bo", 1.0))
    page = world.browser(Role.ADMIN).get("/web/releases/intent-v7-1").text
    assert "holidays" in page
    assert "unfreeze" not in offered(page)
