"""A real headless Chromium, and what it says of a page as it was laid out: whether text is cut off, or covers other."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE: Final = {"width": 400, "height": 800}
DESK: Final = {"width": 1200, "height": 900}
A4_PX: Final = {"width": 703, "height": 1000}  # what is left of 210 mm beside the report's margins, at 96 a inch


@contextmanager
def chromium() -> "Iterator[Browser]":
    """A browser of this machine's; skips the test where there is none."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed here (on Debian: sudo apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def cut_off(page: "Page") -> list[str]:
    """Texts that a reader cannot see whole: beyond the window's sides, or cut by an element that hides what is over."""
    found: list[str] = page.evaluate(_CUT_OFF)
    return found


def covered(page: "Page") -> list[str]:
    """Pairs of texts that lie over each other."""
    found: list[str] = page.evaluate(_COVERED)
    return found


def violations(page: "Page") -> list[str]:
    """What axe-core finds wrong with the page, a line each; see its rule's page for the way out."""
    axe: Any = pytest.importorskip("axe_playwright_python.sync_playwright", reason="make setup installs axe-core")
    results = axe.Axe().run(page).response
    return [
        f"{one['id']}: {one['help']} ({', '.join(str(node['target']) for node in one['nodes'][:3])})"
        for one in results["violations"]
    ]


_BOXES: Final = """
  const quiet = (node) => {
    for (let at = node.parentElement; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.clipPath !== 'none' || style.visibility === 'hidden' || at.classList.contains('skip')) return true;
      if (at.tagName === 'TITLE' || at.tagName === 'STYLE' || at.tagName === 'SCRIPT') return true;
      if (at.tagName === 'DETAILS' && !at.open && !node.parentElement.closest('summary')) return true;
    }
    return false;
  };
  const boxes = () => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const text = node.textContent.trim();
      if (!text || quiet(node)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const box of range.getClientRects())
        if (box.width > 0.5 && box.height > 0.5) found.push({node, text, box});
    }
    return found;
  };
"""
_CUT_OFF: Final = (
    "() => {"
    + _BOXES
    + """
  const wide = document.documentElement.clientWidth;
  const cut = [];
  const whole = document.scrollingElement.scrollWidth;
  if (whole > wide) cut.push(`the page is ${whole} wide`);
  for (const {node, text, box} of boxes()) {
    if (box.left < -0.5 || box.right > wide + 0.5)
      cut.push(`${text} (${box.left.toFixed()} to ${box.right.toFixed()})`);
    for (let at = node.parentElement; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.overflowX === 'visible' || at.tagName === 'svg' || at === document.documentElement) continue;
      const own = at.getBoundingClientRect();
      if (box.left < own.left - 0.5 || box.right > own.right + 0.5)
        cut.push(`${text}, by ${at.tagName}.${at.className}`);
    }
  }
  return cut;
}"""
)
_COVERED: Final = (
    "() => {"
    + _BOXES
    + """
  const all = boxes();
  const over = [];
  for (let i = 0; i < all.length; i++) for (let j = i + 1; j < all.length; j++) {
    const [a, b] = [all[i].box, all[j].box];
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 1.5 && down > 0.4 * Math.min(a.height, b.height) && all[i].node !== all[j].node)
      over.push(`${all[i].text} / ${all[j].text}`);
  }
  return over;
}"""
)
