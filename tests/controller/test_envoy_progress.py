"""How far a write has come, as a real Envoy shows it: refused files, damaged ones, and what asking costs."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import pytest

from controller.adapters.envoy.running import PROBES, accepted_revision, served_revision
from controller.adapters.envoy.tables import ROUTES_FILE, mend_routes, read_routes
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.core.traffic import TrafficTable, WriteProgress, WriteStage
from controller.files import replace_file
from serving.contract import GATEWAY_STATS_ROUTE
from tests.contracts.traffic import confirmed, is_served
from tests.controller.envoy_support import RunningEnvoy, running_envoy, upstream
from tests.patience import eventually

pytestmark = pytest.mark.integration

STABLE: Final = TrafficTable("intent", {"6": 100.0}, known_good="6", generation=1)
NEIGHBOUR: Final = TrafficTable("art", {"1": 100.0}, generation=1)
ROUNDS: Final = 200  # of a controller: as many models, each asking once


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[RunningEnvoy]:
    with running_envoy(tmp_path) as envoy:
        yield envoy


@pytest.fixture
def traffic(tmp_path: Path, envoy: RunningEnvoy) -> Iterator[EnvoyTraffic]:
    """Versions 6 and 7 of ``intent`` answer, and 1 of ``art``."""
    with ExitStack() as stack:
        traffic = EnvoyTraffic(envoy.directory, log=tmp_path / "envoy.log")
        for model, version in (("intent", "6"), ("intent", "7"), ("art", "1")):
            stack.enter_context(upstream(version)).announce(traffic, model=model)
        for table in (STABLE, NEIGHBOUR):
            traffic.write(table)
            assert confirmed(traffic, table.model, 1)
        yield traffic


def mistype(envoy: RunningEnvoy) -> None:
    """Somebody writes an incomplete wait between two tries into the first route, which is that of ``art``."""
    file = envoy.directory / ROUTES_FILE
    document = json.loads(file.read_text())
    document["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]["retry_policy"]["retry_back_off"] = {}
    replace_file(file, json.dumps(document))


def refused(traffic: EnvoyTraffic, model: str) -> WriteProgress | None:
    progress = traffic.progress(model)
    return progress if progress is not None and progress.stage is WriteStage.REJECTED else None


def test_what_envoy_refuses_is_told_in_its_own_words(envoy: RunningEnvoy, traffic: EnvoyTraffic) -> None:
    """What somebody mistyped in one model's route keeps what is written for another from its users, who are
    answered as before. Whose route it is is seen; the reason stood in a log that nobody reads at night."""
    mistype(envoy)
    traffic.write(STABLE.next(weights_pct={"7": 100.0}))
    found = eventually(lambda: refused(traffic, "intent"), what="Envoy's refusal")
    assert found.generation == 2
    assert found.detail.startswith("Envoy rejects routes.json: ")
    assert "BaseInterval: value is required" in found.detail
    assert set(envoy.ask(4)) == {"6"}
    assert traffic.drift("intent") is None
    edit = traffic.drift("art")
    assert edit is not None
    traffic.write(NEIGHBOUR.next(), over=edit)
    assert confirmed(traffic, "intent", 2)
    assert confirmed(traffic, "art", 2)
    assert set(envoy.ask(4)) == {"7"}


def test_a_file_that_is_half_written_takes_nothing_back(envoy: RunningEnvoy, traffic: EnvoyTraffic) -> None:
    """Whoever's crash it was: what users are answered by is told from the copy, and goes on being so once it is
    mended."""
    file = envoy.directory / ROUTES_FILE
    text = file.read_text()
    replace_file(file, text[: len(text) // 2])
    assert is_served(traffic, "intent", 1)
    assert mend_routes(envoy.directory)
    assert is_served(traffic, "intent", 1)
    traffic.write(STABLE.next(weights_pct={"7": 100.0}))
    assert confirmed(traffic, "intent", 2)


def test_another_controller_sees_what_the_first_one_wrote_as_served(envoy: RunningEnvoy, traffic: EnvoyTraffic) -> None:
    """Nothing that is needed for it is kept in a process; and Envoy's own word is that of its workers."""
    again = EnvoyTraffic(envoy.directory)
    assert is_served(again, "intent", 1)
    again.write(STABLE.next(weights_pct={"7": 100.0}))
    assert confirmed(traffic, "intent", 2)
    assert traffic.drift("intent") is None
    revision = read_routes(envoy.directory).revision
    assert (served_revision(envoy.directory), accepted_revision(envoy.directory)) == (revision, revision)


def test_a_round_of_many_models_asks_envoy_a_few_times_and_no_version(
    envoy: RunningEnvoy, traffic: EnvoyTraffic
) -> None:
    """Each model's whole dump was read and decoded, once a model and round. Nor is a question of ours counted as a
    user's request anywhere."""
    before = _answered_by_envoy(envoy)
    for _ in range(ROUNDS):
        assert is_served(traffic, "intent", 1)
    asked = _answered_by_envoy(envoy) - before
    assert asked <= ROUNDS // 10 + PROBES
    page = httpx.get(f"{envoy.admin_url}{GATEWAY_STATS_ROUTE}", trust_env=False).text
    sent = re.findall(r'^envoy_cluster_upstream_rq_total\{envoy_cluster_name="intent-v6"\} (\d+)$', page, re.MULTILINE)
    assert sent == ["0"]


def _answered_by_envoy(envoy: RunningEnvoy) -> int:
    page = httpx.get(f"{envoy.admin_url}{GATEWAY_STATS_ROUTE}", trust_env=False).text
    found = re.findall(
        r'^envoy_http_downstream_rq_xx\{[^}]*envoy_response_code_class="2"[^}]*\} (\d+)$', page, re.MULTILINE
    )
    return sum(int(number) for number in found)
