"""Tokens along the whole path: clients through Envoy to both versions, probes, scrapes, samples to the controller."""

import json
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.records import Record, Records
from controller.adapters.prometheus.server import prometheus_config
from controller.adapters.replicas import HttpReplicas
from controller.api.access import Access
from controller.api.app import create_app
from controller.api.server import serve
from controller.bootstrap.access import OWN_SCRAPER, access_flags, prepare_access, replica_token, token_of_version
from controller.config.settings import Home, Settings
from controller.core.traffic import Mirror, TrafficTable
from controller.errors import TransientError, UsageError
from serving.access.tokens import TokenFile, changing, id_of, new_token, read_tokens, utc_now
from serving.contract import CAPTURED_METRIC, METRICS_ROUTE, REQUESTS_METRIC
from serving.package.artifact import read_manifest
from serving.packaging.build import build_package
from tests.controller.api_support import StoppedClock, World
from tests.controller.envoy_support import running_envoy, set_endpoint
from tests.serving.conftest import CHECKPOINT
from tests.serving.replica import Replica, replica, until

REQUIRED = Settings(require_tokens=True)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_secrets_are_made_once_and_are_their_owners_alone(home: Home) -> None:
    prepare_access(home, REQUIRED)
    files = (home.tokens, home.own_token, home.api_tokens, home.api_token, home.digest_key)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    before = [file.read_text() for file in files]
    prepare_access(home, REQUIRED)
    assert [file.read_text() for file in files] == before
    assert home.own_token.read_text().strip() not in home.tokens.read_text()
    assert home.api_token.read_text().strip() not in home.api_tokens.read_text()


def test_without_required_tokens_replicas_ask_for_none_and_the_interface_does(home: Home) -> None:
    prepare_access(home, Settings())
    made = {file.name for file in home.path.iterdir() if not file.name.startswith(".")}
    assert made == {"digest.key", "api-tokens.json", "api.token", "prometheus.token"}
    assert access_flags(home, Settings()) == ["--digest-key-file", str(home.digest_key)]


def test_a_revoked_token_of_serins_own_is_made_anew_and_others_are_kept(home: Home) -> None:
    prepare_access(home, REQUIRED)
    with changing(home.tokens) as entries:
        entries[:] = [new_token("alice", utc_now())[0]]
    prepare_access(home, REQUIRED)
    assert [entry.name for entry in read_tokens(home.tokens).tokens] == ["alice", "serin"]


def test_a_damaged_file_of_tokens_is_said_to_be_ours_and_stays_as_it_is(home: Home, tmp_path: Path) -> None:
    """A replica that cannot be given its token cannot start: nothing that its version has done."""
    prepare_access(home, REQUIRED)
    home.api_tokens.write_text("{")
    with pytest.raises(TransientError, match=r"cannot give version 7 of intent its token: .*api-tokens\.json") as told:
        replica_token(home, "intent", "7", tmp_path / "token", running=set())
    assert told.value.source == "deployments"
    assert home.api_tokens.read_text() == "{"


def test_a_token_that_cannot_be_written_is_ours_too(home: Home, tmp_path: Path) -> None:
    prepare_access(home, REQUIRED)
    (tmp_path / "file").touch()
    with pytest.raises(TransientError, match="cannot give version 7 of intent its token"):
        replica_token(home, "intent", "7", tmp_path / "file" / "token", running=set())


@pytest.mark.parametrize("name", ["api.token", "serin.token"])
def test_a_secret_that_others_could_read_is_made_anew(home: Home, name: str) -> None:
    """Whoever has read it is let in no more."""
    prepare_access(home, REQUIRED)
    file = home.path / name
    before = file.read_text()
    file.chmod(0o644)
    prepare_access(home, REQUIRED)
    assert file.read_text() != before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = {entry.id for document in (home.tokens, home.api_tokens) for entry in read_tokens(document).tokens}
    assert id_of(before.strip()) not in kept
    assert id_of(file.read_text().strip()) in kept


def test_the_interfaces_token_of_an_older_home_is_made_anew(home: Home) -> None:
    """It names no entry; what was required of everybody then is an admin's now."""
    home.path.mkdir()
    home.api_token.touch(mode=0o600)
    home.api_token.write_text("x" * 43 + "\n")
    prepare_access(home, REQUIRED)
    entry = next(one for one in read_tokens(home.api_tokens).tokens if one.name == "admin")
    assert (entry.roles, entry.id) == (("admin",), id_of(home.api_token.read_text().strip()))


def test_our_prometheus_may_read_and_nothing_else(home: Home) -> None:
    """Its token goes over the wire each few seconds, to whatever listens on the port."""
    prepare_access(home, Settings())
    entry = next(one for one in read_tokens(home.api_tokens).tokens if one.name == OWN_SCRAPER)
    assert (entry.roles, entry.id) == (("view",), id_of(home.scrape_token.read_text().strip()))
    assert not home.scrape_token.stat().st_mode & 0o077


def test_a_token_file_that_others_may_write_is_refused(home: Home) -> None:
    """They could let themselves in."""
    prepare_access(home, REQUIRED)
    home.api_tokens.chmod(0o666)
    with pytest.raises(UsageError, match=r"others may write to it.* chmod 600"):
        prepare_access(home, REQUIRED)


def test_each_replica_has_a_token_of_its_own_and_loses_it_with_its_place(home: Home) -> None:
    """One that starts again has a new one; those of replicas that are no more are forgotten."""
    home.deployments.mkdir(parents=True)
    running: set[tuple[str, str]] = set()

    def start(version: str) -> str:
        file = home.deployments / f"intent-v{version}.token"
        replica_token(home, "intent", version, file, running=running)
        running.add(("intent", version))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        return str(id_of(file.read_text().strip()))

    def kept() -> dict[str, str | None]:
        return {entry.id: entry.version for entry in read_tokens(home.api_tokens).tokens}

    first, second, again = start("6"), start("7"), start("6")
    assert kept() == {second: "7", again: "6"}
    assert first not in kept()
    running.remove(("intent", "7"))
    third = start("8")
    assert kept() == {again: "6", third: "8"}


def test_replicas_of_a_version_share_its_token_while_one_of_them_runs(home: Home) -> None:
    """One that is started beside another, or again, takes nothing from it; when all have ended, a new one is made."""
    prepare_access(home, Settings())
    records = Records(home.deployments)
    first, second = (
        Record("intent", "7", 1, 1, "b", (), started_s=0.0, recent_starts_s=(0.0,), log_offset=0, replica=number)
        for number in (1, 2)
    )
    file = token_of_version(home, records, "intent", "7", starting=first.name)
    token = file.read_text()
    records.save(first)
    assert token_of_version(home, records, "intent", "7", starting=second.name) == file
    records.save(second)
    records.save(replace(first, failure="it ended"))
    token_of_version(home, records, "intent", "7", starting=first.name)
    assert file.read_text() == token
    records.save(replace(second, failure="it ended"))
    token_of_version(home, records, "intent", "7", starting=first.name)
    assert file.read_text() != token
    assert token_of_version(home, records, "intent", "8", starting="intent-v8") != file


def test_a_damaged_token_file_is_said_and_left(home: Home) -> None:
    prepare_access(home, REQUIRED)
    home.tokens.write_text("{")
    with pytest.raises(UsageError, match=r"tokens\.json"):
        prepare_access(home, REQUIRED)
    assert home.tokens.read_text() == "{"


def test_prometheus_shows_the_token_of_a_file(home: Home) -> None:
    """By file, so that it stands in no configuration and may change."""
    document = json.loads(prometheus_config(home.prometheus, home.targets, token_file=home.own_token).read_text())
    (scrape,) = document["scrape_configs"]
    assert scrape["authorization"] == {"type": "Bearer", "credentials_file": str(home.own_token.resolve())}
    plain = json.loads(prometheus_config(home.prometheus, home.targets).read_text())
    assert "authorization" not in plain["scrape_configs"][0]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("packages") / "tiny"
    build_package(CHECKPOINT, directory)
    return directory


@pytest.fixture
def guarded(home: Home, package: Path) -> Iterator[tuple[Replica, Replica, World]]:
    """Two versions as the controller starts them, and its interface, which asks for a token, too."""
    home.logs.mkdir(parents=True)
    prepare_access(home, REQUIRED)
    world = World(clock=StoppedClock(time.time()))
    running: set[tuple[str, str]] = set()

    def own_token(version: str) -> list[str]:
        file = home.path / f"{version}.token"
        replica_token(home, "intent", version, file, running=running)
        running.add(("intent", version))
        return ["--capture-token-file", str(file)]

    tokens = {version: own_token(version) for version in ("6", "7")}
    with serve(create_app(world.ports(), Access(TokenFile(home.api_tokens), open_reading=False))) as api:
        flags = [*access_flags(home, REQUIRED), "--capture-url", api]
        with (
            replica(package, *flags, *tokens["6"], version="6") as v6,
            replica(package, *flags, *tokens["7"], version="7") as v7,
        ):
            yield v6, v7, world


@pytest.mark.integration
def test_a_clients_token_reaches_both_versions_and_their_answers_the_controller(
    guarded: tuple[Replica, Replica, World], home: Home, tmp_path: Path
) -> None:
    v6, v7, world = guarded
    entry, token = new_token("shop", utc_now())
    with changing(home.tokens) as entries:
        entries.append(entry)
    own = {"authorization": f"Bearer {home.own_token.read_text().strip()}"}

    def counted(of: Replica, code: int, traffic: str) -> bool:
        text = httpx.get(of.url + METRICS_ROUTE, headers=own, trust_env=False).text
        wanted = (f'code="{code}"', f'traffic="{traffic}"')
        series = [line for line in text.splitlines() if line.startswith(REQUESTS_METRIC)]
        return any(float(line.split()[-1]) > 0 for line in series if all(part in line for part in wanted))

    (tmp_path / "envoy").mkdir()
    with running_envoy(tmp_path / "envoy") as envoy:
        traffic = EnvoyTraffic(tmp_path / "envoy")
        set_endpoint(traffic, "intent", "6", v6.url, v6.shadow_url)
        set_endpoint(traffic, "intent", "7", v7.url, v7.shadow_url)
        table = TrafficTable("intent", {"6": 100.0}, known_good="6", generation=1)
        traffic.write(replace(table, mirror=Mirror("7", 100.0)))
        until(lambda: envoy.post().status_code == 401, "who shows no token is refused through the gateway too")
        until(lambda: counted(v7, 401, "shadow"), "and so is the copy of his request")
        shown = {"authorization": f"Bearer {token}"}
        until(lambda: envoy.post(headers=shown).status_code == 200, "who shows a token is answered")

        def copied() -> bool:  # a refusal closes its connection, and a copy that was on its way there is not sent again
            return envoy.post(headers=shown).status_code == 200 and counted(v7, 200, "shadow")

        until(copied, "and the copies of his requests, too")
    until(
        lambda: {one.version for one in world.samples._predictions.values()} == {"6", "7"},
        "both versions' answers are sampled",
    )
    until(lambda: "shop" in (home.logs / "access.log").read_text(), "the access log names the client")
    assert CAPTURED_METRIC in httpx.get(v6.url + METRICS_ROUTE, headers=own, trust_env=False).text


@pytest.mark.integration
def test_the_controllers_questions_carry_its_token(
    guarded: tuple[Replica, Replica, World], home: Home, package: Path, tmp_path: Path
) -> None:
    v6, _, _ = guarded
    replicas = HttpReplicas(token_file=home.own_token)
    assert replicas.fingerprint(v6.url) == read_manifest(package)[1]
    assert len(replicas.token_ids(v6.url, ["refund"])) == 1
    assert len(replicas.probabilities(v6.url, ["refund"])) == 1
    replicas.close()

    stranger = tmp_path / "other.token"
    stranger.write_text("serin_nobodys")
    for token_file in (None, stranger, tmp_path / "missing"):
        replicas = HttpReplicas(token_file=token_file)
        with pytest.raises(TransientError):  # it says something about us, nothing about the candidate
            replicas.fingerprint(v6.url)
        replicas.close()
