"""Real replicas of two versions beside the controller's real interface: the share that they sample goes down and up
while they serve, and both sample the same requests."""

import http.client
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from controller.api.access import Access
from controller.api.app import create_app
from controller.api.server import serve
from controller.roles import REPLICA
from serving.contract import INFO_ROUTE, PREDICT_ROUTE, REQUEST_ID_HEADER, Traffic, is_sampled
from tests.controller.api_support import FakeTokens, StoppedClock, World
from tests.serving.replica import Replica, replica, until

pytestmark = pytest.mark.integration
REQUESTS = 40  # of a round


@pytest.fixture
def world() -> World:
    return World(clock=StoppedClock(time.time()))


@pytest.fixture
def versions(world: World, built_package: Path, tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    """Version 6, of two HTTP processes, and version 7, of one."""
    tokens, files = FakeTokens(), {version: tmp_path / version for version in ("6", "7")}
    for version, file in files.items():
        file.write_text(tokens.add(REPLICA, REPLICA, model="intent", version=version), encoding="ascii")
    with serve(create_app(world.ports(), Access(tokens, open_reading=True))) as url:

        def flags(version: str) -> tuple[str, ...]:
            return "--capture-url", url, "--capture-token-file", str(files[version])

        with (
            replica(built_package, *flags("6"), "--api-processes", "2", version="6") as six,
            replica(built_package, *flags("7"), version="7") as seven,
        ):
            yield six, seven


def asked(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The answer, over a connection of its own, so that each process gets some."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    with closing(connection):
        connection.request(method, path, body, {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()


def test_both_versions_follow_the_controller_and_sample_the_same_requests(
    world: World, versions: tuple[Replica, Replica]
) -> None:
    six, seven = versions
    rounds = itertools.count()

    def sampled(version: str, traffic: Traffic, name: str) -> dict[str, float]:
        """The chances of this round's samples, by request."""
        found = [one for one in list(world.samples._predictions.values()) if one.request_id.startswith(name)]
        mine = [one for one in found if (one.version, one.traffic) == (version, traffic)]
        return {one.request_id: one.inclusion_probability for one in mine}

    def follow(ratio: float) -> bool:
        """One round of requests; whether all of both versions were sampled by this ratio."""
        name = f"round-{next(rounds)}-"
        ids = [f"{name}{number}" for number in range(REQUESTS)]
        for one in ids:  # a live request each, and its copy
            for url in (six.url, seven.shadow_url):
                asked(url, "POST", PREDICT_ROUTE, b'{"text": "refund"}', **{REQUEST_ID_HEADER: one})
        least = {one for one in ids if is_sampled(one, 0.25)}  # in the sample of each share
        until(lambda: least <= sampled("6", Traffic.LIVE, name).keys(), "version 6 sent what it sampled")
        until(lambda: least <= sampled("7", Traffic.SHADOW, name).keys(), "version 7 sent what it sampled")
        wanted = {one: ratio for one in ids if is_sampled(one, ratio)}
        told = {json.loads(asked(one.url, "GET", INFO_ROUTE))["capture_ratio"] for one in versions}
        return (
            told == {ratio}
            and sampled("6", Traffic.LIVE, name) == wanted
            and sampled("7", Traffic.SHADOW, name) == wanted
        )

    for ratio in (1.0, 0.25, 0.5, 1.0):
        world.capture_ratios["intent"] = ratio
        until(lambda ratio=ratio: follow(ratio), f"{ratio} of the requests is sampled by all")  # type: ignore[misc]
