"""Plays a newcomer's first hour, a night on call, a pipeline and an audit on a real installation, and draws them.

    python -m tests.tour

Writes ``docs/tour.md`` and the pictures in ``docs/tour``. Takes some five minutes; needs Chromium.
"""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from suites.intents.demo.installation import SERIN, installation
from tests.browser import DESK, PHONE, chromium
from tests.e2e.conftest import CHECKPOINTS, Site
from tests.patience import eventually
from tests.tour.terminal import run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT: Final = Path(__file__).parents[2]
PICTURES: Final = ROOT / "docs" / "tour"
POLICY: Final = ROOT / "suites" / "intents" / "demo" / "policy.yaml"
RATE_PER_S: Final = 60.0
LOAD_FOR_S: Final = 900.0
WITHIN_S: Final = 400.0
RATE_AFTER_S: Final = 13.0  # `serin status` tells no rate of less than ten seconds


@dataclass
class Tour:
    """The installation that is walked through, and what is written of it."""

    site: Site
    browser: "Browser"
    lines: list[str] = field(default_factory=list)

    def say(self, *lines: str) -> None:
        self.lines += [*lines, ""]

    def command(self, name: str, *arguments: str, what: str) -> None:
        """Run ``serin`` in a terminal and show it."""
        command = [SERIN, *arguments, "--home", str(self.site.serin.home)]
        shown = " ".join(f'"{one}"' if " " in one else one for one in ("serin", *arguments))
        run(command, shown=shown.replace(f"{ROOT}/", ""), path=PICTURES / f"{name}.svg")
        self.say(f"![{what}](tour/{name}.svg)")

    def page(self, name: str, path: str, *, size: Mapping[str, int], what: str) -> None:
        """Show a page of the controller's, as somebody sees it who may only read."""
        self._shot(name, f"{self.site.serin.api}{path}", size, what)

    def file(self, name: str, file: Path, *, size: Mapping[str, int], what: str) -> None:
        self._shot(name, file.as_uri(), size, what)

    def _shot(self, name: str, url: str, size: Mapping[str, int], what: str) -> None:
        context = self.browser.new_context(viewport={"width": size["width"], "height": size["height"]})
        try:
            page = context.new_page()
            page.goto(url)
            page.wait_for_load_state("load")
            page.get_by_text("are being read").wait_for(state="detached", timeout=60_000)
            page.screenshot(path=str(PICTURES / f"{name}.png"))
        finally:
            context.close()
        width = f' width="{size["width"]}"' if size["width"] < DESK["width"] else ' width="800"'
        self.say(f'<img src="tour/{name}.png" alt="{what}"{width}>')

    def until(self, version: str, *phases: str) -> str:
        """Return the id of the version's release, once it is in one of the phases."""
        whats = f"version {version}: {' or '.join(phases)}"
        eventually(lambda: self.site.phase(version) in phases, what=whats, within_s=WITHIN_S)
        return str(self.site.release(version)["release_id"])


def has_a_rate(site: Site) -> bool:
    """Return whether version 2 was at its last step for so long that its status says when to expect a decision."""
    release = site.release("2")["state"]
    if release["phase"] != "canary":
        return True
    is_last = release["step"] + 1 == len(release["policy"]["steps"])
    return is_last and bool(release["routed_at_s"]) and time.time() > release["routed_at_s"] + RATE_AFTER_S


def newcomer(tour: Tour) -> str:
    """Return the id of the release that was promoted."""
    tour.say("## A newcomer")
    tour.say(
        "`serin up` runs. The first version of a model has nothing to be compared with: it is checked, then it serves."
    )
    checkpoint = str(CHECKPOINTS / "v2")
    tour.command("status-first", "status", what="serin status with one version in production")
    tour.say("A second version is registered as the candidate; everything after that is automatic.")
    tour.command("register", "register", checkpoint, "--model", "intent", "--candidate", what="serin register")
    tour.until("2", "canary", "probation")
    eventually(lambda: has_a_rate(tour.site), what="version 2 has a rate", within_s=WITHIN_S)
    tour.say("The status of a candidate starts with the deciding sentence, and says when to expect a decision.")
    tour.command("status-canary", "status", what="serin status of a canary")
    tour.command("wait", "wait", "intent", what="serin wait")
    release = tour.until("2", "probation", "promoted")
    tour.page("page-overview", "/web/", size=DESK, what="the page: what each service does now")
    return release


def on_call(tour: Tour) -> str:
    """Return the id of the release that was rolled back by itself."""
    tour.say("## On call")
    tour.say("Somebody registers a version trained on part of its data. It is rolled back, and nobody is woken up.")
    tour.site.register("v3")
    release = tour.until("3", "rolled_back")
    tour.command("why", "why", release, what="serin why: the gate that decided, and how it came there")
    tour.page("page-release", f"/web/releases/{release}", size=PHONE, what="the release's page on a phone")
    tour.say("Users still complain about version 2. First see where a rollback would lead, then do it.")
    tour.command(
        "rollback-dry", "rollback", "intent", "--reason", "users complain", "--dry-run", what="a rollback's preview"
    )
    tour.command("rollback", "rollback", "intent", "--reason", "users complain", what="serin rollback")
    eventually(lambda: tour.site.serin.serving_version() == "1", what="version 1 serves", within_s=60)
    tour.say("The rollback is a release of its own in the journal, with the reason that was given.")
    tour.command("status-restored", "status", what="serin status after the rollback")
    return release


def pipeline(tour: Tour, promoted: str, taken_back: str) -> None:
    tour.say("## A pipeline")
    tour.say("A pipeline asks for the decision and acts on the exit code: 0 promoted, 1 rolled back.")
    tour.command("ci-why", "why", promoted, what="serin why of a promoted release, exit code 0")
    tour.say("The evidence of a release can be judged again, by the same policy or by another one.")
    with TemporaryDirectory() as folder:
        evidence = Path(folder) / "evidence.jsonl"
        evidence.write_text(tour.site.serin.serin("evidence", taken_back) + "\n", encoding="utf-8")
        judged = subprocess.run(
            [SERIN, "judge", "--policy", str(POLICY), "--evidence", str(evidence)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    last = judged.stdout.strip().splitlines()[-1]
    tour.say(
        "```console",
        f"$ serin evidence {taken_back} > evidence.jsonl",
        "$ serin judge --policy policy.yaml --evidence evidence.jsonl | tail -n 1",
        last,
        "$ echo $?",
        str(judged.returncode),
        "```",
    )


def auditor(tour: Tour, release: str) -> None:
    tour.say("## An auditor")
    tour.say("Who served when, who decided, and what was frozen, across releases:")
    tour.command("history", "history", "intent", what="serin history")
    tour.say("Each release also has a report, made from its journal; the hash chain is checked as the journal is read.")
    with TemporaryDirectory() as folder:
        tour.site.serin.serin("report", release, "--out", folder)
        report = next(Path(folder).rglob("*.html"))
        tour.file("report", report, size=DESK, what="the report of a release")
        tour.file("report-phone", report, size=PHONE, what="the same report on a phone")


def main() -> int:
    PICTURES.mkdir(exist_ok=True)
    for old in (*PICTURES.glob("*.svg"), *PICTURES.glob("*.png")):
        old.unlink()
    with (
        TemporaryDirectory() as folder,
        chromium() as browser,
        installation(Path(folder) / "home", POLICY, print) as serin,
    ):
        tour = Tour(Site(serin), browser)
        tour.say("# A tour in pictures")
        tour.say(
            f"Made by `make tour` from a real installation on {datetime.now(UTC):%Y-%m-%d}: MLflow, Prometheus, Envoy,",
            "the controller and its replicas on one machine, under a steady load, with the demonstration's policy.",
            "Nothing here is drawn by hand.",
        )
        tour.site.register("v1")
        tour.until("1", "promoted")
        with tour.site.load(rate_per_s=RATE_PER_S, for_s=LOAD_FOR_S) as load:
            promoted = newcomer(tour)
            taken_back = on_call(tour)
        pipeline(tour, promoted, taken_back)
        auditor(tour, taken_back)
    print(f"{load['sent']} requests, {load['failed']} failed")
    (ROOT / "docs" / "tour.md").write_text("\n".join(tour.lines).rstrip() + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
