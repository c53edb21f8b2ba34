"""The report on a phone and in print: no text is cut, and none covers another."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from controller.report.build import build_report
from controller.report.page import render_html
from tests.browser import A4_PX, DESK, PHONE, chromium, covered, cut_off, violations
from tests.controller import report_support as support

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.integration

SCENES = ("SLOW", "WITHOUT_METRICS")
WIDTHS = {"phone": PHONE, "small": {"width": 720, "height": 900}, "tablet": {"width": 860, "height": 900}, "desk": DESK}


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as found:
        yield found


@pytest.fixture(scope="module", params=SCENES)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    journal = support.play(getattr(support, request.param))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_html(build_report(journal.record, journal.entries)))
    return path


def shown(browser: "Browser", file: Path, size: dict[str, int], media: str) -> "Page":
    page = browser.new_page(viewport=size)
    page.emulate_media(media=media)
    page.goto(file.as_uri())
    if media == "screen":
        page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    return page


@pytest.mark.parametrize("name", sorted(WIDTHS))
def test_no_text_is_cut_at_any_width(browser: "Browser", file: Path, name: str) -> None:
    page = shown(browser, file, WIDTHS[name], "screen")
    assert cut_off(page) == []
    assert covered(page) == []
    page.close()


def test_rows_are_cards_on_a_phone(browser: "Browser", file: Path) -> None:
    """Each figure with its name beside it, and the reason over the whole width."""
    page = shown(browser, file, PHONE, "screen")
    why = page.locator(".gates td.why").first
    box = why.bounding_box()
    assert box is not None
    assert box["width"] > 300
    assert why.evaluate("one => getComputedStyle(one, '::before').content") == '"Why"'
    assert violations(page) == []
    page.close()


def test_print_cuts_nothing_either(browser: "Browser", file: Path) -> None:
    """On A4, as the browser lays it out for a PDF; the table stays a table, with its last column."""
    page = shown(browser, file, A4_PX, "print")
    assert cut_off(page) == []
    assert covered(page) == []
    assert page.locator(".gates thead").first.evaluate("one => getComputedStyle(one).display") == "table-header-group"
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert pdf.startswith(b"%PDF")
    page.close()
