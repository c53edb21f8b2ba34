"""Real replicas, the controller's real interface and its store: what users asked of stable is asked again of both."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from controller.adapters.clock import SystemClock
from controller.adapters.local.known_texts import SuiteTexts
from controller.adapters.replicas import HttpReplicas
from controller.adapters.sql.store import Store, open_store
from controller.adapters.sql.texts import SealedTexts
from controller.adapters.sql.upgrade import upgrade_store
from controller.api.access import Access
from controller.api.app import ApiPorts, create_app
from controller.api.server import serve
from controller.bootstrap.stores import digest_of
from controller.config.settings import Home, Settings
from controller.core.policy import ReplayPolicy
from controller.loop.replay import CHECKED, Asked, RecordedReplays
from controller.ports.recordings import ReplayOrder, ReplayProgress
from controller.roles import REPLICA
from controller.service import Service
from gates.evidence import Replayed
from serving.contract import CAPTURED_METRIC, PREDICT_ROUTE, REQUESTS_METRIC
from serving.packaging.build import build_package
from tests.contracts.samples import evidence
from tests.controller.api_support import FakeTokens, StoppedClock
from tests.controller.test_replay import KEY
from tests.fakes.site import FakeSite
from tests.serving.replica import Replica, replica, until

CHECKPOINT = Path(__file__).parents[1] / "serving" / "data" / "tiny"
REQUESTS = CHECKED + 8


@dataclass(frozen=True)
class Place:
    store: Store
    six: Replica
    seven: Replica


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    package = tmp_path / "package"
    build_package(CHECKPOINT, package)
    home = Home(tmp_path / "home")
    home.path.mkdir()
    home.digest_key.write_text("the key of this home\n", encoding="ascii")
    url = f"sqlite:///{tmp_path}/store.db"
    upgrade_store(url)
    store = open_store(url, SealedTexts(KEY), digest=digest_of(home, Settings()), known_texts=SuiteTexts())
    clock = StoppedClock(time.time())
    ports = ApiPorts(
        samples=store.samples,
        standing=store.standing,
        journal=store.journal,
        service=Service(store.journal, store.inbox, store.freezes, clock, {"intent"}, FakeSite()),
        deliveries=store.deliveries,
        clock=clock,
        wake=lambda: None,
    )
    tokens, token = FakeTokens(), tmp_path / "token"
    token.write_text(tokens.add(REPLICA, REPLICA, model="intent", version="6"), encoding="ascii")
    with ExitStack() as stack:
        stack.callback(store.close)
        api = stack.enter_context(serve(create_app(ports, Access(tokens, open_reading=True))))
        captures = ("--capture-url", api, "--capture-token-file", str(token), "--capture-text")
        digests = ("--digest-key-file", str(home.digest_key))
        six = stack.enter_context(replica(package, *captures, *digests, version="6"))
        yield Place(store, six, stack.enter_context(replica(package, version="7")))


@pytest.mark.integration
def test_what_users_asked_is_asked_again_and_no_user_sees_it(place: Place, tmp_path: Path) -> None:
    """Stable's recorded answers are found to be its own by the digest of their texts, and are asked anew only in the
    first few; what redaction changed is asked of both, and so are texts of a suite, whose labels count. Nothing of it
    counts as live."""
    texts = [f"where is order {number}" for number in range(REQUESTS)] + ["mail ana@example.com about it"]
    for text in texts:
        assert httpx.post(place.six.url + PREDICT_ROUTE, json={"text": text}).status_code == 200
    samples = place.store.samples
    until(lambda: samples.latest().prediction == len(texts), "all answers are captured")
    samples.since("intent", "6", "7", samples.latest())

    order = ReplayOrder("intent-v7-1", "intent", "6", "7", time.time() + 60, ReplayPolicy(len(texts), 1_000.0), 0.1)
    asked, replicas = Asked((place.six.shadow_url,), (place.seven.shadow_url,)), HttpReplicas()
    replays = RecordedReplays(
        place.store.recordings, replicas, SystemClock(), time.sleep, in_shadow=lambda _: True, fence=lambda: None
    )
    until(lambda: not replays.go_on(order, asked, for_s=1.0, inclusion_probability=1.0), "all is asked again")
    suite = tmp_path / "september.jsonl"
    lines = [{"id": f"c{number}", "text": f"pay invoice {number}", "label": "a class"} for number in range(4)]
    suite.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    of_suite = ReplayPolicy(requests_per_s_max=1_000.0, suites=(str(suite),))
    more = replace(order, release_id="intent-v7-2", policy=of_suite)
    until(lambda: not replays.go_on(more, asked, for_s=1.0, inclusion_probability=1.0), "the suite is asked")
    replicas.close()
    httpx.post(place.six.url + PREDICT_ROUTE, json={"text": "and one more"})
    until(lambda: place.six.total(CAPTURED_METRIC) > len(texts), "the last one is captured")
    assert place.six.total(CAPTURED_METRIC) == len(texts) + 1  # no question is: its text would be kept anew

    assert place.store.recordings.progress(order.release_id) == ReplayProgress(
        len(texts), answered=len(texts), reuses=True, checked=CHECKED
    )
    found = evidence(samples)
    asked_again = len(texts) + len(lines)
    assert found.replayed == Replayed(asked_again, asked_again, 0)  # both versions are the same package
    assert [(pair.truth, pair.of_suite) for pair in found.pairs] == [("a class", True)] * len(lines)
    six, seven = (
        {kind: one.total(REQUESTS_METRIC, traffic=kind) for kind in ("live", "shadow")}
        for one in (place.six, place.seven)
    )
    assert seven == {"live": 0, "shadow": asked_again}
    assert six == {"live": len(texts) + 1, "shadow": CHECKED + 1 + len(lines)}
