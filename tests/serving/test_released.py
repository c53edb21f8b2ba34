"""A DistilBERT beside the BERT that it came from: versions of one model, each judged by the same gates.

Needs torch and transformers (``make test-export``).
"""

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from controller.adapters.replicas import HttpReplicas
from controller.bootstrap.packaging import Order
from controller.bootstrap.registering import register
from controller.loop.preflight import judge_replica
from gates.offline.suite import judge_suite
from gates.outcome import Outcome
from gates.policy import GatePolicy
from serving.inference.engine import load
from serving.package.artifact import Manifest, read_manifest
from serving.packaging.export import quiet_library
from suites.cases import Case
from suites.runner import run
from tests.controller.test_registering import KeepingRegistry
from tests.serving.library_models import save
from tests.serving.replica import replica

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.mark.integration
def test_a_smaller_family_is_judged_against_the_larger(tmp_path: Path) -> None:
    """Real replicas of both: each is what was registered, and the one that answers otherwise fails by accuracy.

    The truths are the BERT's answers, so a DistilBERT of random weights is the worse one, and the BERT is as good as
    itself: the gates see classes, whichever family gave them.
    """
    (tmp_path / "registry").mkdir()
    registry = KeepingRegistry(tmp_path / "registry")
    packages: Mapping[str, Path] = {
        family: _registered(registry, tmp_path, family) for family in ("bert", "distilbert")
    }
    assert [registry.tags_of["intent", number]["serin.family"] for number in ("1", "2")] == ["bert", "distilbert"]
    texts = [f"where is my order {first} {second}" for first in _WORDS for second in _WORDS]
    engine = load(packages["bert"])
    truths = [engine.manifest.labels[int(answer.argmax())] for answer in engine.answer(texts)]
    assert len(set(truths)) > 1
    cases = [Case(f"case-{at}", text, label=truth) for at, (text, truth) in enumerate(zip(texts, truths, strict=True))]
    results, replicas = {}, HttpReplicas()
    for family, package in packages.items():
        manifest, fingerprint = read_manifest(package)
        with replica(package, version=family) as running:
            assert _info(running.url)["family"] == family
            _preflight(replicas, running.url, manifest, fingerprint)
            results[family] = run(cases, lambda texts, url=running.url: replicas.probabilities(url, texts))
    replicas.close()
    outcomes = {
        family: {
            verdict.gate: verdict.outcome for verdict in judge_suite(results[family], results["bert"], GatePolicy())
        }
        for family in packages
    }
    assert outcomes["distilbert"]["accuracy.suite"] is Outcome.FAIL
    assert outcomes["bert"]["accuracy.suite"] is not Outcome.FAIL


_WORDS = (
    "i want to cancel", "refund", "the money", "parcel", "late", "please", "cafe", "track", "now", "naive", "x", "7",
    "ORDER", "back", "it", "where", "cancel it", "refund the money", "my", "is",
)  # fmt: skip


def _registered(registry: KeepingRegistry, folder: Path, family: str) -> Path:
    with quiet_library():
        save(folder / family, family)
    version, manifest, *_ = register(registry, folder / family, Order("intent"))
    assert manifest.family == family
    return registry.package(version)


def _info(url: str) -> Mapping[str, object]:
    document: Mapping[str, object] = httpx.get(f"{url}/info", timeout=20).raise_for_status().json()
    return document


def _preflight(replicas: HttpReplicas, url: str, manifest: Manifest, fingerprint: str) -> None:
    token_ids = replicas.token_ids(url, [golden.text for golden in manifest.golden])
    verdicts = judge_replica(manifest, fingerprint, running=replicas.fingerprint(url), token_ids=token_ids)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.PASS] * 3
