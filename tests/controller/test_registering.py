"""A checkpoint becomes a version: of which task, in which variant, and the same gates for all of them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from controller.adapters.replicas import HttpReplicas
from controller.bootstrap.packaging import Order, register
from controller.cli.registry import LongTexts, _reading, _rules
from controller.errors import PermanentError, UsageError
from controller.loop.preflight import judge_replica
from controller.ports.registry import CANDIDATE, RegisteredVersion
from gates.offline.suite import judge_suite
from gates.outcome import Outcome
from gates.policy import GatePolicy
from serving.package.artifact import Variant, read_manifest, verify
from serving.package.rules import Aggregate, AnswerRules, Side, Task, Windows
from serving.packaging import graphs
from suites.cases import load
from suites.runner import run
from tests.fakes.registry import FakeRegistry
from tests.serving.graphs import CHECKPOINT, embedding_checkpoint
from tests.serving.replica import replica
from tests.serving.shapes import settle, shard

INTENTS = Path(__file__).parents[2] / "suites" / "intents"


class KeepingRegistry(FakeRegistry):
    """As a server does, it keeps files of its own: the folder they came from may go."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    def register(self, package_dir: Path, model: str, *, tags: Mapping[str, str]) -> RegisteredVersion:
        kept = self._directory / f"{model}-{len(list(self._directory.glob('*')))}"
        shutil.copytree(package_dir, kept)
        return super().register(kept, model, tags=tags)

    def package(self, version: RegisteredVersion) -> Path:
        return self._packages[version.source_id]


@pytest.fixture
def registry(tmp_path: Path) -> KeepingRegistry:
    (tmp_path / "registry").mkdir()
    return KeepingRegistry(tmp_path / "registry")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))


def test_a_plain_version_says_what_it_is(registry: KeepingRegistry, checkpoint: Path) -> None:
    version, manifest = register(registry, checkpoint, Order("intent", candidate=True))
    assert registry.aliases("intent") == {CANDIDATE: "1"}
    assert registry.tags_of["intent", "1"] == {
        "serin.variant": "fp32",
        "serin.task": "sequence-classification",
        "serin.family": "distilbert",
        "serin.fingerprint": read_manifest(registry.package(version))[1],
    }
    assert verify(registry.package(version)) == manifest
    assert (manifest.variant_of, manifest.rules) == (None, AnswerRules())


def test_a_variant_is_a_version_of_its_own_that_names_its_original(registry: KeepingRegistry, checkpoint: Path) -> None:
    """With the rules and the golden texts of the original: only the arithmetic differs."""
    pytest.importorskip("onnx")
    rules = AnswerRules(windows=Windows(8, Aggregate.MAX))
    original, first = register(registry, checkpoint, Order("intent", rules=rules))
    version, manifest = register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1", candidate=True))
    _, original_fingerprint = read_manifest(registry.package(original))
    assert (version.version, registry.aliases("intent")) == ("2", {CANDIDATE: "2"})
    assert registry.tags_of["intent", "2"]["serin.variant_of"] == "1"
    assert (manifest.variant, manifest.variant_of) == (Variant.INT8, original_fingerprint)
    assert (manifest.rules, manifest.golden) == (rules, first.golden)
    assert manifest.files["model.onnx.data"] != first.files["model.onnx.data"]
    assert read_manifest(registry.package(version))[1] != original_fingerprint


def test_a_variant_is_cut_as_its_original_is(registry: KeepingRegistry, checkpoint: Path) -> None:
    """Its settings must be those of the original, too, which lie in a file that no package holds."""
    pytest.importorskip("onnx")
    settle(checkpoint, truncation_side="left", model_max_length=32)
    _, original = register(registry, checkpoint, Order("intent"))
    _, manifest = register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1"))
    assert (manifest.max_tokens, manifest.tokens) == (32, original.tokens)
    assert manifest.tokens.truncation_side is Side.LEFT
    settle(checkpoint, truncation_side="right", model_max_length=32)
    with pytest.raises(UsageError, match=r"tokenizer_config\.json: cuts or pads texts otherwise.*leave --of out"):
        register(registry, checkpoint, Order("intent", Variant.FP16, variant_of="1"))


def test_shards_have_variants_too(registry: KeepingRegistry, checkpoint: Path) -> None:
    """A package holds them as one file, which the shards are compared with."""
    pytest.importorskip("onnx")
    shard(checkpoint)
    register(registry, checkpoint, Order("intent"))
    _, manifest = register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1"))
    assert manifest.variant is Variant.INT8


@pytest.mark.parametrize(
    ("settings", "rules", "said"),
    [
        ({}, AnswerRules(), "Texts beyond 64 tokens (the model's positions) are cut: their beginning is read."),
        (
            {"model_max_length": 16, "truncation_side": "left"},
            AnswerRules(),
            "Texts beyond 16 tokens (model_max_length of tokenizer_config.json) are cut: their end is read.",
        ),
        (
            {},
            AnswerRules(windows=Windows(8, Aggregate.MAX)),
            "Texts beyond 64 tokens (the model's positions) are read in windows (max).",
        ),
    ],
)
def test_registering_says_which_limit_was_taken(
    registry: KeepingRegistry, checkpoint: Path, settings: dict[str, object], rules: AnswerRules, said: str
) -> None:
    settle(checkpoint, **settings)
    _, manifest = register(registry, checkpoint, Order("intent", rules=rules))
    assert _reading(manifest) == said


def test_other_files_are_no_variant(registry: KeepingRegistry, checkpoint: Path) -> None:
    register(registry, checkpoint, Order("intent"))
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_bytes())
    tokenizer["normalizer"]["lowercase"] = False
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UsageError, match=r"tokenizer\.json of .* is not that of intent version 1: leave --of out"):
        register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1"))
    with pytest.raises(UsageError, match="intent version 1 is fp32 itself"):
        register(registry, checkpoint, Order("intent", Variant.FP32, variant_of="1"))
    with pytest.raises(PermanentError, match="no intent version 9"):
        register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="9"))
    assert [version for _, version in registry.tags_of] == ["1"], "a refusal registers nothing"


def test_what_has_no_classes_is_registered_but_never_a_candidate(registry: KeepingRegistry, tmp_path: Path) -> None:
    states = embedding_checkpoint(tmp_path / "states")
    rules = AnswerRules(Task.EMBEDDING, normalise=True)
    with pytest.raises(UsageError, match=r"the task embedding has none.*Leave --candidate out"):
        register(registry, states, Order("vectors", rules=rules, candidate=True))
    assert registry.models() == []
    _, manifest = register(registry, states, Order("vectors", rules=rules))
    assert registry.tags_of["vectors", "1"]["serin.task"] == "embedding"
    assert manifest.labels == ()


def test_a_variant_of_what_has_no_classes_is_no_candidate_either(registry: KeepingRegistry, tmp_path: Path) -> None:
    """The rules are the original's, whatever was said."""
    states = embedding_checkpoint(tmp_path / "states")
    register(registry, states, Order("vectors", rules=AnswerRules(Task.EMBEDDING)))
    with pytest.raises(UsageError, match="Leave --candidate out"):
        register(registry, states, Order("vectors", Variant.INT8, variant_of="1", candidate=True))


def test_without_onnx_a_variant_says_what_to_install(
    registry: KeepingRegistry, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"cannot become a version: the variant int8 needs onnx.*pip install"):
        register(registry, checkpoint, Order("intent", Variant.INT8))
    assert registry.models() == []


def test_a_release_of_what_has_no_classes_fails_at_preflight(registry: KeepingRegistry, tmp_path: Path) -> None:
    """Anyone may set the alias in the registry, so the release itself must say why it cannot be."""
    states = embedding_checkpoint(tmp_path / "states")
    _, manifest = register(registry, states, Order("vectors", rules=AnswerRules(Task.EMBEDDING)))
    token_ids = [golden.token_ids for golden in manifest.golden]
    package, identity, tokens = judge_replica(manifest, "f" * 64, running="f" * 64, token_ids=token_ids)
    assert (package.outcome, identity.outcome, tokens.outcome) == (Outcome.FAIL, Outcome.PASS, Outcome.PASS)
    assert "A release compares classes" in package.reason


@pytest.mark.parametrize(
    ("said", "rules"),
    [
        ((None, None, None), None),
        ((Task.SEQUENCE_CLASSIFICATION, None, None), AnswerRules()),
        ((None, LongTexts.TRUNCATE, None), AnswerRules()),
        ((None, LongTexts.MEAN, None), AnswerRules(windows=Windows(64, Aggregate.MEAN))),
        ((None, LongTexts.MAX, 16), AnswerRules(windows=Windows(16, Aggregate.MAX))),
        ((Task.EMBEDDING, LongTexts.MEAN, 0), AnswerRules(Task.EMBEDDING, Windows(0))),
    ],
)
def test_flags_become_rules(said: tuple[Task | None, LongTexts | None, int | None], rules: AnswerRules | None) -> None:
    assert _rules(*said, normalise=False) == rules


@pytest.mark.parametrize(
    ("said", "normalise", "problem"),
    [
        ((None, None, 8), False, "--overlap-tokens is for windows"),
        ((None, LongTexts.TRUNCATE, 8), False, "--overlap-tokens is for windows"),
        ((None, LongTexts.MEAN, -1), False, "must not be negative"),
        ((None, None, None), True, "normalise is for the task embedding"),
        ((Task.TOKEN_CLASSIFICATION, LongTexts.MAX, None), False, "max is for the task sequence-classification"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(
    said: tuple[Task | None, LongTexts | None, int | None], normalise: bool, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        _rules(*said, normalise=normalise)


@pytest.mark.integration
def test_the_int8_variant_passes_preflight_and_suite_on_a_real_replica(
    registry: KeepingRegistry, tmp_path: Path
) -> None:
    """As any version does: its own fingerprint, its golden token ids, and right answers; nothing is assumed of it."""
    pytest.importorskip("onnx")
    checkpoint = INTENTS / "checkpoints" / "v1"
    register(registry, checkpoint, Order("intent"))
    version, manifest = register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1"))
    package = registry.package(version)
    replicas, (_, fingerprint) = HttpReplicas(), read_manifest(package)
    with replica(package, version="2") as running:
        token_ids = replicas.token_ids(running.url, [golden.text for golden in manifest.golden])
        verdicts = judge_replica(manifest, fingerprint, running=replicas.fingerprint(running.url), token_ids=token_ids)
        results = run(load(INTENTS / "suite.jsonl").cases, lambda texts: replicas.probabilities(running.url, texts))
    replicas.close()
    assert [verdict.outcome for verdict in verdicts] == [Outcome.PASS] * 3
    gates = {verdict.gate: verdict.outcome for verdict in judge_suite(results, None, GatePolicy())}
    assert gates["accuracy.suite"] is Outcome.PASS


@pytest.mark.integration
def test_a_replica_without_classes_cannot_be_asked_for_them(tmp_path: Path) -> None:
    registry = KeepingRegistry(tmp_path)
    version, _ = register(
        registry, embedding_checkpoint(tmp_path / "states"), Order("vectors", rules=AnswerRules(Task.EMBEDDING))
    )
    replicas = HttpReplicas()
    with replica(registry.package(version)) as running, pytest.raises(PermanentError, match="no class probabilities"):
        replicas.probabilities(running.url, ["refund"])
    replicas.close()
