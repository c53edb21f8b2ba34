"""A planned restart of everything, as for an upgrade: what we end ourselves is no fault of the version that ended."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from suites.intents.demo.installation import SERIN
from tests.e2e.conftest import WITHIN_S, Site
from tests.patience import eventually

pytestmark = pytest.mark.integration

POLICY = Path(__file__).with_name("policy-restart.yaml")


@contextmanager
def restarted(site: Site) -> Iterator[None]:
    """`serin down`, then `serin up` in the same home, which is up while the block lasts."""
    site.serin.serin("down")
    with (site.serin.home / "up-again.log").open("ab") as log:
        up = subprocess.Popen(
            [SERIN, "up", "--home", str(site.serin.home)], stdout=log, stderr=log, start_new_session=True
        )
    try:
        eventually(site.serin.releases, within_s=WITHIN_S, what="the controller answers again")
        yield
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def test_a_restart_of_everything_under_load_rolls_nothing_back(site: Site) -> None:
    """In a canary and in probation: the same release goes on, though users who asked meanwhile got nothing."""
    with site.load():
        site.register("v2")
        eventually(lambda: site.phase("2") == "canary", within_s=WITHIN_S, what="version 2 in canary")
        release_id = site.release("2")["release_id"]
        with restarted(site):
            eventually(lambda: site.phase("2") != "canary", within_s=WITHIN_S, what="the end of the canary")
            assert site.phase("2") in {"promoting", "probation"}, site.release("2")["state"]["reason"]
            eventually(lambda: site.phase("2") == "probation", what="version 2 promoted")
        with restarted(site):
            looks = site.release("2")["state"]["looks"]
            eventually(
                lambda: site.release("2")["state"]["looks"] >= looks + 10, within_s=WITHIN_S, what="ten more looks"
            )
            assert site.phase("2") == "probation", site.release("2")["state"]["reason"]
            assert site.serin.serving_version() == "2"
            assert [r["release_id"] for r in site.serin.releases() if r["version"] == "2"] == [release_id]
