"""The pages by HTTP: what they show, to whom, and what they forbid the browser."""

import re
from dataclasses import replace

import pytest

from controller.core.commands import Freeze
from controller.core.parts import Kind, Part
from controller.core.release import Phase
from controller.errors import Source, TransientError
from controller.ports.journal import Entry, ReleaseRecord
from controller.roles import Role
from controller.web.board import RELEASES_A_PAGE, SERVICES_A_PAGE
from tests.controller import report_support
from tests.controller.test_report_page import HOSTILE, Page
from tests.web.support import PageWorld, canary, rolled_back


@pytest.fixture
def world() -> PageWorld:
    found = PageWorld()
    found.add(canary())
    found.routed(v6=95.0, v7=5.0)
    return found


def ended(number: int, model: str = "intent") -> ReleaseRecord:
    """A release that ended, with no more state than lists need."""
    state = '{"phase": "promoted"}'
    return ReleaseRecord(
        f"{model}-r{number}", model, str(number), "promoted", False, 1, float(number), state, 2.0, "Good."
    )


def test_the_root_leads_to_the_page(world: PageWorld) -> None:
    response = world.browser().get("/")
    assert (response.status_code, response.headers["location"]) == (303, "/web/")


def test_the_overview_shows_how_services_stand(world: PageWorld) -> None:
    """Requests, errors and P95 of both versions, weights, replicas; what is awaited; the releases."""
    world.artist.refresh({"overview/1"})
    text = Page(world.browser().get("/web/").text).text
    assert "Services" in text
    assert "9,500" in text
    assert "≤ 50.0 ms" in text
    assert "≤ 100 ms" in text
    assert "12 2.40 %" in text
    assert "2 of 2" in text
    assert "1 of 2 replica 2: it is loading its package" in text
    assert "95 %" in text
    assert "intent version 7" in text


def test_what_does_not_answer_is_said_first_and_not_for_long(world: PageWorld) -> None:
    """As of the last time that it was asked; what is older than a minute is nobody's business."""
    world.site.answering = (Part(Kind.GATEWAY, "the gateway", "127.0.0.1:8080", fault="refuses connections"),)
    browser = world.browser()
    assert "DOWN" not in browser.get("/web/").text
    world.artist.refresh({"overview/1"})
    assert (
        "DOWN Users get no answers: the gateway at 127.0.0.1:8080 refuses connections"
        in Page(browser.get("/web/").text).text
    )
    world.clock.at_s += 61
    assert "DOWN" not in browser.get("/web/").text
    world.site.answering = ()
    world.artist.refresh({"overview/1"})
    assert "DOWN" not in browser.get("/web/").text


def test_rates_that_cannot_be_read_say_why(world: PageWorld) -> None:
    def away(*_: object, **__: object) -> None:
        raise TransientError(Source.GATEWAY, "Prometheus did not answer")

    world.metrics.gateway = away  # type: ignore[method-assign, assignment]
    world.artist.refresh({"overview/1"})
    assert "are unknown: Prometheus did not answer" in Page(world.browser().get("/web/").text).text


def test_a_release_shows_what_decides_it(world: PageWorld) -> None:
    """The sentence, the gate that blocks with its picture and its table, labels against what is needed, the time line,
    and the way to the reports."""
    page = world.browser().get("/web/releases/intent-v7-1").text
    text = Page(page).text
    assert "Version 7 of intent serves a canary share." in text
    assert "The gate that blocks" in text
    assert re.search(r'<svg [^>]*aria-label="[^"]* over time', page)
    assert "The numbers of this chart" in text
    assert re.search(r"Labels Labels received against labels needed Gate Received Needed, about Of it accuracy", text)
    assert "Timeline" in text
    assert 'href="/web/releases/intent-v7-1/report"' in page
    assert world.browser().get("/web/releases/intent-v7-1/report").text.startswith("<!DOCTYPE html>")
    assert world.browser().get("/web/releases/intent-v7-1/report.json").json()["schema"] == "serin.report/v1"


def test_what_may_be_done_stands_right_beneath_what_decides(world: PageWorld) -> None:
    """At night, on a phone, before any table."""
    page = world.browser(Role.ROLLBACK).get("/web/releases/intent-v7-1").text
    assert page.index('class="awaits"') < page.index("/web/models/intent/rollback") < page.index("<table")


def test_a_release_that_a_gate_ended_says_which() -> None:
    world = PageWorld()
    world.add(rolled_back())
    text = Page(world.browser().get("/web/releases/intent-v7-1").text).text
    assert re.search(r"Version 7 of intent was (rolled back|rejected before it got traffic) because accuracy", text)
    assert "The gate that ended it: accuracy" in text


@pytest.mark.parametrize("path", ["/web/", "/web/releases", "/web/releases/intent-v7-1", "/web/session", "/web/none"])
def test_pages_run_nothing_and_load_nothing_of_others(world: PageWorld, path: str) -> None:
    """No inline script, no inline style, nothing from elsewhere, and a policy that forbids them."""
    response = world.browser().get(path)
    page = response.text
    if response.status_code == 404:
        return
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    tags = Page(page).tags
    assert not {"style", "iframe", "object"} & {tag for tag, _ in tags}
    for tag, attributes in tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        if tag == "script":
            assert (attributes["src"] or "").startswith("/web/assets/")
        assert not (attributes.get("href") or "/").startswith(("http:", "https:", "//"))
    assert response.headers["cache-control"] == "no-store"


def test_assets_are_kept_by_browsers_under_an_address_that_changes_with_them(world: PageWorld) -> None:
    browser = world.browser()
    found = re.findall(r'(?:src|href)="(/web/assets/[^"]+)"', browser.get("/web/").text)
    assert len(found) == 5
    for address in found:
        response = browser.get(address)
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
    assert browser.get("/web/assets/../routes.py").status_code == 404
    assert "Zero-Clause BSD" in browser.get("/web/assets/LICENSES.txt").text


def test_what_others_wrote_stays_text() -> None:
    """Reasons, people, models and sources come from outside."""
    world = PageWorld()
    journal = report_support.Journal()
    journal.write([replace(report_support.started(), by=HOSTILE, reason=HOSTILE)], report_support.START_S)
    world.add(journal)
    world.freezes.freeze(Freeze("*", HOSTILE, HOSTILE, 1.0))
    world.site.wrong = (HOSTILE,)
    for path in ("/web/", "/web/releases", "/web/releases/intent-v7-1"):
        page = Page(world.browser().get(path).text)
        assert not {"img"} & {tag for tag, _ in page.tags}
        assert not [attributes for tag, attributes in page.tags if tag == "script" and "src" not in attributes]
        assert HOSTILE in page.text


def test_a_freeze_says_until_when_it_holds() -> None:
    world = PageWorld()
    world.freezes.freeze(Freeze("*", "the night", "ana", 1.0, ends_at_s=7_200.0))
    assert (
        "Every model is frozen by ana because the night, until 01 Jan 1970, 02:00 UTC"
        in Page(world.browser().get("/web/").text).text
    )


def test_lists_have_pages() -> None:
    """Services and releases alike; a model's releases by themselves."""
    world = PageWorld()
    for number in range(1, SERVICES_A_PAGE + 6):
        world.journal.append(ended(number, f"m{number}"), [Entry("started", 1.0, {})])
    browser = world.browser()
    first, second = browser.get("/web/").text, browser.get("/web/?page=2").text
    assert first.count('<section class="service"') == SERVICES_A_PAGE
    assert second.count('<section class="service"') == 5 + 2  # and those that have a policy and no release
    assert 'href="/web/?page=2"' in first
    for number in range(100, 100 + RELEASES_A_PAGE):
        world.journal.append(ended(number), [Entry("started", 1.0, {})])
    older = re.findall(r'rel="next" href="(/web/releases[^"]+)"', browser.get("/web/releases?model=intent").text)
    assert older == []
    (link,) = re.findall(r'rel="next" href="(/web/releases[^"]+)"', browser.get("/web/releases").text)
    assert "m25 version 25" in Page(browser.get(link.replace("&amp;", "&")).text).text


def test_a_release_that_is_not_there_is_a_page(world: PageWorld) -> None:
    response = world.browser().get("/web/releases/none")
    assert response.status_code == 404
    assert "there is no release" in Page(response.text).text


def test_a_release_that_cannot_be_read_is_told_and_hides_nothing_else(world: PageWorld) -> None:
    record = ReleaseRecord("tone-1", "tone", "3", "shadow", True, 1, 9.0, '{"from": "the future"}')
    world.journal.append(record, [Entry("started", 1.0, {})])
    text = Page(world.browser().get("/web/").text).text
    assert "Its release cannot be read by this version of Serin" in text
    assert "intent version 7" in text
    response = world.browser().get("/web/releases/tone-1")
    assert response.status_code == 200
    assert "tone-1" in response.text


def test_nobody_looks_without_a_token_where_reading_is_not_open(world: PageWorld) -> None:
    """One is led to the sign-in page, and from there back to what one wanted."""
    browser = world.browser(open_reading=False)
    response = browser.get("/web/releases?model=intent")
    assert response.status_code == 303
    wanted = response.headers["location"]
    assert wanted == "/web/session?wanted=%2Fweb%2Freleases%3Fmodel%3Dintent"
    assert browser.get("/web/events?topic=overview/1").status_code == 401
    token = world.tokens.add("ada", Role.VIEW)
    answer = browser.submit(wanted, "/web/session", token=token)
    assert answer.headers["location"] == "/web/releases?model=intent"
    assert browser.get("/web/releases?model=intent").status_code == 200
    assert token not in answer.headers["set-cookie"]
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=strict" in answer.headers["set-cookie"]


@pytest.mark.parametrize("wanted", ["https://elsewhere.example/", "//elsewhere.example/web/", "/v1/status", "/web/\\x"])
def test_signing_in_leads_nowhere_else(world: PageWorld, wanted: str) -> None:
    browser = world.browser()
    answer = browser.submit("/web/session", "/web/session", token=world.tokens.add("ada", Role.VIEW), wanted=wanted)
    assert answer.headers["location"] == "/web/"


def test_a_session_ends_with_its_token_its_time_and_its_holders_wish(world: PageWorld) -> None:
    browser = world.browser(Role.ADMIN)
    assert "Signed in as ada" in browser.get("/web/session").text
    browser.submit("/web/session", "/web/session/end")
    assert not browser.cookies
    browser = world.browser(Role.ADMIN)
    world.clock.at_s += 8 * 3600 + 1
    assert "Signed in" not in browser.get("/web/session").text
    world.clock.at_s -= 8 * 3600
    browser = world.browser(Role.ADMIN, open_reading=False)
    world.tokens.entries.clear()
    assert browser.get("/web/").status_code == 303
    assert "Signed in" not in browser.get("/web/session").text
    assert not browser.cookies


def test_a_wrong_token_lets_nobody_in(world: PageWorld) -> None:
    answer = world.browser().submit("/web/session", "/web/session", token="serin_000000000000_" + "x" * 43)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "is not valid here" in answer.text


def test_the_first_view_of_500_releases_is_small_and_asks_little() -> None:
    """However many releases there are: so many questions to the journal, and so many bytes."""
    world = PageWorld()
    world.add(canary())
    world.routed(v6=95.0, v7=5.0)
    for number in range(1, 500):
        record = replace(ended(number, f"m{number % 60}"), release_id=f"r{number}", reason="All gates passed. " * 8)
        world.journal.append(record, [Entry("started", 1.0, {})])
    asked: list[str] = []
    for name in ("current", "summaries", "release", "page", "feed", "releases", "entries"):
        real = getattr(world.journal, name)

        def counted(*args: object, real: object = real, name: str = name, **kwargs: object) -> object:
            asked.append(name)
            before = len(asked)
            found = real(*args, **kwargs)  # type: ignore[operator]
            del asked[before:]  # what the fake asks of itself
            return found

        setattr(world.journal, name, counted)
    browser = world.browser()
    page = browser.get("/web/")
    whole = len(page.content)
    for address in re.findall(r'(?:src|href)="(/web/assets/(?!LIC)[^"]+)"', page.text):
        whole += len(browser.get(address).content)
    assert whole < 300_000
    assert sorted(asked) == ["current", "release", "summaries"]  # the one state is that of the release in progress
    assert Phase.CANARY.value.capitalize() in page.text
