"""Installations to attack: every process is the real one."""

from collections.abc import Iterator

import pytest

from suites.intents.demo.installation import installation
from tests.e2e.conftest import POLICY, Site, alone
from tests.patience import eventually


@pytest.fixture(scope="module", params=[(), ("--require-tokens",)], ids=["as it comes", "tokens required"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One with v1 in production and v2 as its candidate in shadow, for all attacks of a module."""
    home = tmp_path_factory.mktemp("attacked") / "home"
    with alone(tmp_path_factory), installation(home, POLICY, lambda _: None, *request.param) as serin:
        site = Site(serin)
        site.register("v1")
        eventually(lambda: site.phase("1") == "promoted", within_s=120, what="version 1 in production")
        site.register("v2")
        eventually(lambda: site.phase("2") == "shadow", within_s=120, what="version 2 in shadow")
        yield site
        print(serin.serin("status"))  # shown with a test that failed
