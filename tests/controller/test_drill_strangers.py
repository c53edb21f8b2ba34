"""The drill of unauthorised access, against a real interface: who is refused, and what logs say and do not."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from controller.adapters.local.drill_strangers import Logs, Strangers
from controller.api.access import Access
from controller.api.app import create_app
from controller.api.callers import log_lines
from controller.api.server import serve
from controller.api.tls import Certificate
from gates.outcome import Outcome
from serving.contract import LABELS_ROUTE
from tests.certificates import Authority
from tests.controller.api_support import FakeTokens, World
from tests.patience import eventually

LOG = "api-access.log"


@contextmanager
def interface(folder: Path, certificate: Certificate | None = None) -> Iterator[str]:
    access = Access(FakeTokens(), open_reading=False)
    with (
        closing(log_lines(folder / LOG)) as log,
        serve(create_app(World().ports(), access, log=log), certificate=certificate) as url,
    ):
        yield url


@pytest.fixture
def strangers(tmp_path: Path) -> Iterator[Strangers]:
    with interface(tmp_path) as url:
        found = Strangers(url + LABELS_ROUTE, {}, "labels", Logs(tmp_path / LOG, [tmp_path]), requests=4, every_s=0.0)
        yield found
        found.end()


def outcomes(strangers: Strangers) -> list[Outcome]:
    strangers.begin()
    eventually(strangers.is_over, what="all were sent")
    return [check.outcome for check in strangers.checks()]


def test_strangers_are_refused_and_named(strangers: Strangers) -> None:
    assert outcomes(strangers) == [Outcome.PASS] * 3
    assert list(strangers.told()) == [f"{LOG} shows 4 refused"]
    assert strangers.told() == (), "once"


def test_a_text_in_a_log_breaks_a_promise(strangers: Strangers, tmp_path: Path) -> None:
    (tmp_path / "replica.log").write_text(f"a client said {strangers._word}\n", encoding="utf-8")
    assert outcomes(strangers) == [Outcome.PASS, Outcome.PASS, Outcome.FAIL]


def test_who_is_not_logged_breaks_a_promise(strangers: Strangers, tmp_path: Path) -> None:
    strangers.witness = Logs(tmp_path / "another.log", [tmp_path])
    assert outcomes(strangers) == [Outcome.PASS, Outcome.FAIL, Outcome.PASS]


def test_where_nobody_listens_nobody_was_refused(tmp_path: Path) -> None:
    logs = Logs(tmp_path / LOG, [tmp_path])
    nobody = Strangers("http://127.0.0.1:1/predict", {}, "text", logs, requests=2, every_s=0.0)
    assert outcomes(nobody)[0] is Outcome.FAIL


def test_strangers_come_by_tls_where_others_do(tmp_path: Path) -> None:
    """An interface beyond loopback, whose CA is named; without it nobody is asked anything."""
    authority, logs = Authority(tmp_path / "tls"), Logs(tmp_path / LOG, [tmp_path])
    pair = authority.pair()
    with interface(tmp_path, Certificate(pair.certificate, pair.key)) as url:
        known = Strangers(url + LABELS_ROUTE, {}, "labels", logs, authority.file, requests=2, every_s=0.0)
        assert outcomes(known) == [Outcome.PASS] * 3
        unknown = Strangers(url + LABELS_ROUTE, {}, "labels", logs, requests=2, every_s=0.0)
        assert outcomes(unknown)[0] is Outcome.FAIL
