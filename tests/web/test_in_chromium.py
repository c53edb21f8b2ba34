"""The page in a real browser: on a phone, at a desk, in the dark, by keyboard, and while things change."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from controller.api.server import serve
from controller.ports.journal import Entry
from controller.roles import Role
from tests.browser import DESK, PHONE, chromium, covered, cut_off, violations
from tests.patience import PATIENCE_S
from tests.web.support import PageWorld, canary, rolled_back

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.integration

SIZES = {"phone": PHONE, "desk": DESK}
PATIENCE_MS = 1_000 * PATIENCE_S


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def world() -> PageWorld:
    found = PageWorld()
    found.add(rolled_back(), release_id="intent-v7-0")
    found.add(canary())
    found.routed(v6=95.0, v7=5.0)
    found.artist.refresh({"overview/1"})
    return found


@pytest.fixture(scope="module")
def url(world: PageWorld) -> Iterator[str]:
    with serve(world.app()) as found:
        world.stream.start()
        try:
            yield found
        finally:
            world.stream.close()


@contextmanager
def opened(browser: "Browser", url: str, path: str, **options: Any) -> "Iterator[tuple[Page, list[str]]]":
    """The page, and what the browser complained of."""
    context = browser.new_context(**{"viewport": PHONE, **options})
    context.set_default_timeout(PATIENCE_MS)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(url + path)
        yield page, complaints
    finally:
        context.close()


def sign_in(page: "Page", url: str, token: str) -> None:
    page.goto(f"{url}/web/session")
    page.fill("#token", token)
    page.click("main button")


PAGES = ("/web/", "/web/releases", "/web/releases/intent-v7-1", "/web/releases/intent-v7-0", "/web/session")


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("phone", "dark"), ("desk", "light")])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_read_by_everybody(browser: "Browser", url: str, path: str, size: str, scheme: str) -> None:
    """No text is cut or covered, axe-core finds nothing, and the page does nothing that its own policy forbids."""
    with opened(browser, url, path, viewport=SIZES[size], color_scheme=scheme) as (page, complaints):
        for details in page.locator("details").all():
            details.evaluate("one => one.open = true")
        assert cut_off(page) == []
        assert covered(page) == []
        assert violations(page) == []
        assert complaints == []


def test_a_change_is_seen_without_asking_and_the_reader_keeps_his_place(
    browser: "Browser", url: str, world: PageWorld
) -> None:
    """What has the keyboard's focus and what was opened stay so."""
    with opened(browser, url, "/web/") as (page, complaints):
        page.wait_for_selector("#beat:not(:has(noscript))")  # the stream has spoken
        page.focus("#l-intent-v7-0")
        world.site.wrong = ("the disk is nearly full",)
        world.journal.note("installation", [Entry("Frozen", 1.0, {})])
        page.wait_for_selector("text=the disk is nearly full")
        world.site.wrong = ()
        world.add(canary(), release_id="tone-1", model="tone")
        page.wait_for_selector("#l-tone-1")
        assert page.evaluate("document.activeElement.id") == "l-intent-v7-0"
        assert complaints == []


def test_a_server_that_goes_silent_is_told(browser: "Browser", url: str) -> None:
    """An old picture is not taken for a new one."""
    with opened(browser, "about:blank", "") as (page, _):
        page.clock.install()
        # no glob: its star stops at the slash of a topic
        page.route(re.compile("/web/events"), lambda route: route.abort())
        page.goto(f"{url}/web/")
        page.wait_for_load_state("load")
        page.clock.fast_forward(60_000)
        page.wait_for_selector("#beat:has-text('Not connected')")


HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_who_comes_back_to_a_dead_controller_keeps_what_was_shown(browser: "Browser", url: str) -> None:
    """A phone is taken out of the pocket an hour later: the last picture with its age, and not the browser's page of
    errors. It is shown anew once somebody answers."""
    with opened(browser, "about:blank", "") as (page, _):
        page.clock.install()
        page.goto(f"{url}/web/")
        page.wait_for_selector("#beat:not(:has(noscript))")
        page.evaluate("() => { window.same = true; }")
        page.evaluate(HIDE, True)
        page.clock.fast_forward(3_600_000)
        page.route(re.compile("/web/"), lambda route: route.abort())
        with page.expect_event("requestfailed"):
            page.evaluate(HIDE, False)
        page.wait_for_selector("#beat:has-text('Not connected')")
        assert page.get_by_role("heading", name="Services").is_visible()
        assert page.evaluate("window.same")
        page.unroute(re.compile("/web/"))
        with page.expect_navigation():
            page.clock.fast_forward(6_000)
        assert page.get_by_role("heading", name="Services").is_visible()


def test_a_release_is_rolled_back_by_keyboard(browser: "Browser", url: str, world: PageWorld) -> None:
    """From the sign-in to the command, with nothing but keys."""
    token = world.tokens.add("ada", Role.ROLLBACK)
    with opened(browser, url, "/web/session?wanted=%2Fweb%2Freleases%2Fintent-v7-1") as (page, complaints):
        page.focus("#token")
        page.keyboard.type(token)
        page.keyboard.press("Enter")
        page.wait_for_url("**/web/releases/intent-v7-1")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        link = page.get_by_role("link", name="Roll back…")
        link.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/web/models/intent/rollback")
        assert page.get_by_text("all traffic goes to version 6").is_visible()
        assert cut_off(page) == []
        assert violations(page) == []
        page.get_by_label("Why?").focus()
        page.keyboard.type("wrong refunds, incident 4711")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/web/asked/*")
        assert complaints == []
    command = world.inbox.waiting()[-1]
    assert (command.ask.value, command.reason, command.by) == ("rollback", "wrong refunds, incident 4711", "ada")


def test_the_page_is_whole_without_scripts(browser: "Browser", url: str) -> None:
    with opened(browser, url, "/web/releases/intent-v7-1", java_script_enabled=False) as (page, _):
        assert page.locator("h1").inner_text().startswith("Version 7 of intent")
        assert page.locator("#course svg").count() == 4
        assert "reload it" in page.locator("#beat").inner_text()
