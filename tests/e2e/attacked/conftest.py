"""Installations to attack: every process is the real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from suites.intents.demo.installation import installation
from tests.e2e.conftest import Site, alone
from tests.patience import eventually

POLICY = Path(__file__).with_name("policy.yaml")
HOOK_KEY = "correct horse"


@pytest.fixture(scope="package", params=[(), ("--require-tokens",)], ids=["as it comes", "tokens required"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One with v1 in production and v2 as its candidate in shadow, without traffic, for all attacks of this folder: no
    test changes what another sees."""
    folder = tmp_path_factory.mktemp("attacked")
    secret = folder / "secret"
    secret.write_text(HOOK_KEY + "\n")
    flags = ("--webhook-secret-file", str(secret), *request.param)
    with alone(tmp_path_factory), installation(folder / "home", POLICY, lambda _: None, *flags) as serin:
        site = Site(serin)
        site.register("v1")
        eventually(lambda: site.phase("1") == "promoted", what="version 1 in production")
        site.register("v2")
        eventually(lambda: site.phase("2") == "shadow", what="version 2 in shadow")
        yield site
        print(serin.status())  # shown with a test that failed
