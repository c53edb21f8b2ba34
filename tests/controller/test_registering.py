"""A checkpoint becomes a version: of which task, in which variant, and the same gates for all of them."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.adapters.replicas import HttpReplicas
from controller.bootstrap.packaging import Order, package_checkpoint
from controller.bootstrap.registering import register
from controller.cli.app import app
from controller.cli.making import LongTexts, origin, reading, rules_of, tempering
from controller.cli.registry import _classes, _registered, _size, fitted_on_a_suite
from controller.config.settings import Home, Settings
from controller.errors import PermanentError, UsageError
from controller.loop.preflight import judge_replica
from controller.ports.registry import CANDIDATE, CHAMPION, RegisteredVersion
from gates.offline.suite import judge_suite
from gates.outcome import Outcome
from gates.policy import GatePolicy
from serving.package.artifact import Variant, read_manifest, verify
from serving.package.origin import DataSet, Lineage, Temperature
from serving.package.rules import Aggregate, AnswerRules, Side, Task, Windows
from serving.packaging import graphs
from serving.packaging.build import build_package
from serving.packaging.temper import answers, tempered
from suites.cases import load
from suites.runner import run
from tests.controller.test_output_schema import checked
from tests.fakes.registry import FakeRegistry
from tests.serving.graphs import CHECKPOINT, embedding_checkpoint
from tests.serving.replica import replica
from tests.serving.shapes import brain_floats, log_with_mlflow, settle, shard

ORDER = Order("intent")
INTENTS = Path(__file__).parents[2] / "suites" / "intents"


class KeepingRegistry(FakeRegistry):
    """As a server does, it keeps files of its own: the folder they came from may go."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    def register(
        self, package_dir: Path, model: str, *, tags: Mapping[str, str], run: str | None = None
    ) -> RegisteredVersion:
        kept = self._directory / f"{model}-{len(list(self._directory.glob('*')))}"
        shutil.copytree(package_dir, kept)
        return super().register(kept, model, tags=tags, run=run)

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
    version, manifest, *_ = register(registry, checkpoint, Order("intent", candidate=True))
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
    original, first, *_ = register(registry, checkpoint, Order("intent", rules=rules))
    int8 = Order("intent", Variant.INT8, variant_of="1", candidate=True)
    version, manifest, *_ = register(registry, checkpoint, int8)
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
    original = register(registry, checkpoint, Order("intent")).manifest
    manifest = register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1")).manifest
    assert (manifest.max_tokens, manifest.tokens) == (32, original.tokens)
    assert manifest.tokens.truncation_side is Side.LEFT
    settle(checkpoint, truncation_side="right", model_max_length=32)
    with pytest.raises(UsageError, match=r"tokenizer_config\.json: cuts or pads texts differently.*leave --of out"):
        register(registry, checkpoint, Order("intent", Variant.FP16, variant_of="1"))


def test_shards_have_variants_too(registry: KeepingRegistry, checkpoint: Path) -> None:
    """A package holds them as one file, which the shards are compared with."""
    pytest.importorskip("onnx")
    shard(checkpoint)
    register(registry, checkpoint, Order("intent"))
    manifest = register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1")).manifest
    assert manifest.variant is Variant.INT8


@pytest.mark.parametrize(
    ("settings", "rules", "said"),
    [
        (
            {},
            AnswerRules(),
            "Texts longer than 64 tokens (the model's positions) are cut: only their beginning is read.",
        ),
        (
            {"model_max_length": 16, "truncation_side": "left"},
            AnswerRules(),
            "Texts longer than 16 tokens (model_max_length of tokenizer_config.json) are cut: only their end is read.",
        ),
        (
            {},
            AnswerRules(windows=Windows(8, Aggregate.MAX)),
            "Texts longer than 64 tokens (the model's positions) are read in windows (max).",
        ),
    ],
)
def test_registering_says_which_limit_was_taken(
    registry: KeepingRegistry, checkpoint: Path, settings: dict[str, object], rules: AnswerRules, said: str
) -> None:
    settle(checkpoint, **settings)
    manifest = register(registry, checkpoint, Order("intent", rules=rules)).manifest
    assert reading(manifest) == said


def test_registering_says_how_large_a_version_is_and_how_its_weights_are_stored(
    registry: KeepingRegistry, checkpoint: Path
) -> None:
    brain_floats(checkpoint)
    found = register(registry, checkpoint, ORDER)
    assert re.fullmatch(r"5 files of 0\.\d MiB, weights stored as BF16", _size(found.manifest, found.stored))


def test_registering_holds_classes_against_the_champions(registry: KeepingRegistry, checkpoint: Path) -> None:
    """A class that one of the two lacks is answered wrongly by it, and nobody may have meant that."""
    first = register(registry, checkpoint, ORDER)
    assert _classes(first.manifest, first.champion) == "It has 3 classes; there is no champion to compare them with."
    registry.move_alias("intent", CHAMPION, "1", expected=None)
    same = register(registry, checkpoint, ORDER)
    assert _classes(same.manifest, same.champion) == "It has 3 classes, the same as the champion's (version 1)."
    config = json.loads((checkpoint / "config.json").read_bytes())
    config["id2label"] |= {"0": "closed"}
    config["label2id"] = {name: int(place) for place, name in config["id2label"].items()}
    (checkpoint / "config.json").write_text(json.dumps(config))
    other = register(registry, checkpoint, ORDER)
    assert _classes(other.manifest, other.champion) == (
        f"It has 3 classes, and the champion (version 1) 3; new: 'closed'; gone: {first.manifest.labels[0]!r}"
    )


def test_a_champion_that_cannot_be_read_stops_nobody(registry: KeepingRegistry, checkpoint: Path) -> None:
    first = register(registry, checkpoint, ORDER)
    registry.move_alias("intent", CHAMPION, "1", expected=None)
    manifest = registry.package(first.version) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"created_by": "', '"created_by": "mallory, '))
    found = register(registry, checkpoint, ORDER)
    assert found.champion is not None
    assert found.champion.unknown == "its manifest is not what was registered"
    manifest.unlink()
    found = register(registry, checkpoint, ORDER)
    assert "those of the champion, version 1, are not known: intent version 1 has no manifest.json" in _classes(
        found.manifest, found.champion
    )


def test_a_limit_that_was_asked_for_is_kept_by_its_variants(registry: KeepingRegistry, checkpoint: Path) -> None:
    pytest.importorskip("onnx")
    original = register(registry, checkpoint, Order("intent", max_tokens=24)).manifest
    assert reading(original) == "Texts longer than 24 tokens (as was asked for) are cut: only their beginning is read."
    variant = register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1")).manifest
    assert (variant.max_tokens, variant.tokens) == (24, original.tokens)


def test_other_files_are_no_variant(registry: KeepingRegistry, checkpoint: Path) -> None:
    register(registry, checkpoint, Order("intent"))
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_bytes())
    tokenizer["normalizer"]["lowercase"] = False
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UsageError, match=r"tokenizer\.json of .* is not that of intent version 1: leave --of out"):
        register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1"))
    with pytest.raises(UsageError, match="intent version 1 is fp32 already"):
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
    manifest = register(registry, states, Order("vectors", rules=rules)).manifest
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
    manifest = register(registry, states, Order("vectors", rules=AnswerRules(Task.EMBEDDING))).manifest
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
    assert rules_of(*said, normalise=False) == rules


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
        rules_of(*said, normalise=normalise)


@pytest.mark.integration
def test_the_int8_variant_passes_preflight_and_suite_on_a_real_replica(
    registry: KeepingRegistry, tmp_path: Path
) -> None:
    """As any version does: its own fingerprint, its golden token ids, and right answers; nothing is assumed of it."""
    pytest.importorskip("onnx")
    checkpoint = INTENTS / "checkpoints" / "v1"
    register(registry, checkpoint, Order("intent"))
    version, manifest, *_ = register(registry, checkpoint, Order("intent", Variant.INT8, variant_of="1"))
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
    order = Order("vectors", rules=AnswerRules(Task.EMBEDDING))
    version = register(registry, embedding_checkpoint(tmp_path / "states"), order).version
    replicas = HttpReplicas()
    with replica(registry.package(version)) as running, pytest.raises(PermanentError, match="no class probabilities"):
        replicas.probabilities(running.url, ["refund"])
    replicas.close()


# --- temperature ------------------------------------------------------------------------------------------------------
def labelled(path: Path, checkpoint: Path, *, wanted: float, count: int = 400) -> Path:
    """Cases whose labels are drawn from the checkpoint's own answers with their logits divided by ``wanted``."""
    package = path.with_name("plain")
    manifest = build_package(checkpoint, package)
    words = [
        "where",
        "is",
        "my",
        "order",
        "i",
        "want",
        "to",
        "cancel",
        "it",
        "please",
        "refund",
        "the",
        "money",
        "back",
        "track",
        "parcel",
    ]
    rng = np.random.default_rng(3)
    texts = list(dict.fromkeys(" ".join(rng.choice(words, rng.integers(2, 9))) for _ in range(2 * count)))[:count]
    chances = tempered(answers(package, texts), wanted)
    labels = [manifest.labels[rng.choice(len(manifest.labels), p=row / row.sum())] for row in chances]
    lines = [
        json.dumps({"id": str(n), "text": text, "label": label})
        for n, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    shutil.rmtree(package)
    return path


def test_a_temperature_is_fitted_on_held_out_cases_put_into_the_graph_and_recorded(
    registry: KeepingRegistry, checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    held_out = labelled(tmp_path / "held-out.jsonl", checkpoint, wanted=3.0)
    plain = register(registry, checkpoint, ORDER)
    found = register(registry, checkpoint, Order("intent", fit_on=held_out))
    temperature, fit = found.manifest.temperature, found.packaged.fit
    assert temperature is not None
    assert fit is not None
    assert temperature.value == pytest.approx(3.0, rel=0.35)
    assert temperature.fitted_on == f"held-out.jsonl, 400 cases, SHA-256 {load(held_out).sha256}"
    assert fit.after < 0.5 * fit.before
    told = tempering(found.manifest, fit)
    assert told.startswith(f"Logits are divided by {temperature.value:g} in the graph, fitted on held-out.jsonl")
    assert registry.tags_of["intent", "2"]["serin.temperature"] == f"{temperature.value:g}"
    texts = ["where is my order", "refund", "i want to cancel it please"]
    before, after = (answers(registry.package(one.version), texts) for one in (plain, found))
    np.testing.assert_allclose(after, tempered(before, temperature.value), atol=1e-6)
    assert not np.allclose(after, before, atol=1e-2)
    assert found.manifest.golden == plain.manifest.golden
    assert found.manifest.files["model.onnx"] != plain.manifest.files["model.onnx"]


@pytest.mark.parametrize("variant", [Variant.INT8, Variant.FP16])
def test_a_variant_has_its_originals_temperature(registry: KeepingRegistry, checkpoint: Path, variant: Variant) -> None:
    pytest.importorskip("onnx")
    register(registry, checkpoint, Order("intent", temperature=1.5))
    plain = register(registry, checkpoint, Order("other", variant))
    found = register(registry, checkpoint, Order("intent", variant, variant_of="1"))
    assert found.manifest.temperature == Temperature(1.5)
    texts = ["where is my order", "refund"]
    before, after = (answers(registry.package(one.version), texts) for one in (plain, found))
    np.testing.assert_allclose(after, tempered(before, 1.5), atol=1e-4)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ['{"id": "1", "text": "refund", "label": "refund"}'],
            "has 1 cases: fitting a temperature needs at least 100",
        ),
        (['{"id": "1", "text": "refund", "label": "other"}'], "the label 'other' is not a class of the version"),
        (["{"], "line 1"),
    ],
)
def test_a_file_that_no_temperature_can_be_fitted_on_is_refused(
    registry: KeepingRegistry, checkpoint: Path, tmp_path: Path, lines: list[str], words: str
) -> None:
    path = tmp_path / "held-out.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(words)):
        register(registry, checkpoint, Order("intent", fit_on=path))
    assert registry.models() == []


# --- packages that are judged before they are registered --------------------------------------------------------------
def test_a_package_is_made_judged_and_then_registered_as_it_is(
    registry: KeepingRegistry, checkpoint: Path, tmp_path: Path
) -> None:
    """What was judged is what is registered: the same fingerprint."""
    made = package_checkpoint(None, checkpoint, tmp_path / "made", Order("", max_tokens=24))
    found = register(registry, tmp_path / "made", Order("intent", candidate=True))
    assert found.manifest == made.manifest
    told = checked(json.dumps(_registered("intent", found, candidate=True)))
    assert (told["version"], told["max_tokens"], told["champion"], told["run"]) == ("1", 24, None, None)
    assert found.version.fingerprint == read_manifest(tmp_path / "made")[1]
    assert registry.aliases("intent") == {CANDIDATE: "1"}
    with pytest.raises(UsageError, match="is a package: how it answers was fixed when it was made"):
        register(registry, tmp_path / "made", Order("intent", max_tokens=32))
    with pytest.raises(UsageError, match="made exists already: name another folder"):
        package_checkpoint(None, checkpoint, tmp_path / "made", Order(""))
    (tmp_path / "made" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"cannot become a version: config\.json: has 2 bytes"):
        register(registry, tmp_path / "made", Order("intent"))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".made")] == []


def test_a_package_is_told_as_json(checkpoint: Path, tmp_path: Path) -> None:
    arguments = ["package", str(checkpoint), str(tmp_path / "made"), "--home", str(tmp_path / "none"), "-o", "json"]
    told = checked(CliRunner().invoke(app, arguments).stdout)
    manifest, _ = read_manifest(tmp_path / "made")
    assert (told["folder"], told["classes"]) == (str(tmp_path / "made"), list(manifest.labels))


# --- where a version comes from ---------------------------------------------------------------------------------------
RUN = "0123456789abcdef0123456789abcdef"
LINEAGE = Lineage(RUN, "c0ffee" * 6, (("epochs", "3"), ("seed", "7")), (DataSet("tickets", "ab12", "training"),))


def test_the_run_that_a_version_comes_from_stands_in_its_manifest_and_tags(
    registry: KeepingRegistry, checkpoint: Path
) -> None:
    """In the manifest, which the fingerprint covers: whoever verifies the version knows what it was made of."""
    registry.runs[RUN] = LINEAGE
    found = register(registry, checkpoint, Order("intent", run=RUN))
    assert read_manifest(registry.package(found.version))[0].lineage == LINEAGE
    tags = registry.tags_of["intent", "1"]
    assert (tags["serin.run"], tags["serin.commit"]) == (RUN, LINEAGE.commit)
    assert registry.run_of["intent", "1"] == RUN
    told = "It comes from run 0123456789abcdef0123456789abcdef, commit c0ffeec0ffee, 2 parameters, data tickets (ab12)."
    assert origin(found.manifest) == told
    with pytest.raises(UsageError, match="there is no run 'none'"):
        register(registry, checkpoint, Order("intent", run="none"))


def test_a_checkpoint_that_mlflow_logged_tells_its_run(registry: KeepingRegistry, checkpoint: Path) -> None:
    registry.runs[RUN] = LINEAGE
    log_with_mlflow(checkpoint)
    with (checkpoint / "MLmodel").open("a") as file:
        file.write(f"run_id: {RUN}\n")
    assert register(registry, checkpoint, ORDER).manifest.lineage == LINEAGE
    registry.runs.clear()
    found = register(registry, checkpoint, ORDER)
    assert found.manifest.lineage == Lineage(RUN)
    assert found.packaged.note == f"there is no run {RUN!r}"
    assert registry.run_of["intent", "2"] == ""


def test_a_version_that_was_logged_as_it_was_trained_is_taken_over_by_its_address(
    registry: KeepingRegistry, checkpoint: Path
) -> None:
    log_with_mlflow(checkpoint)
    registry.runs[RUN] = LINEAGE
    FakeRegistry.register(registry, checkpoint, "trained", tags={}, run=RUN)
    registry.move_alias("trained", "best", "1", expected=None)
    for address in ("models:/trained/1", "models:/trained@best"):
        found = register(registry, address, Order("intent", candidate=True))
        assert found.manifest.lineage == LINEAGE
        assert registry.tags_of["intent", found.version.version]["serin.taken_from"] == address
        assert verify(registry.package(found.version)) == found.manifest
    with pytest.raises(UsageError, match="models:/intent/1 is a Serin package already"):
        register(registry, "models:/intent/1", ORDER)
    with pytest.raises(UsageError, match="trained has no alias 'worst'"):
        register(registry, "models:/trained@worst", ORDER)
    with pytest.raises(UsageError, match="there is no trained version 2"):
        register(registry, "models:/trained/2", ORDER)


def test_a_temperature_that_is_fitted_on_a_suite_is_told(tmp_path: Path) -> None:
    """What was fitted on a file looks better on it than it is."""
    home = Home(tmp_path / "home")
    for name in ("suite", "other"):
        case = {"id": "1", "text": name, "label": "refund"}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(case), encoding="utf-8")
    shutil.copy(tmp_path / "suite.jsonl", tmp_path / "copy.jsonl")
    home.policies.mkdir(parents=True)
    home.save(Settings())
    policy = {"apiVersion": "serin/v1", "kind": "ReleasePolicy", "model": "intent", "suites": ["../../suite.jsonl"]}
    (home.policies / "intent.yaml").write_text(json.dumps(policy), encoding="utf-8")
    found = fitted_on_a_suite(home, "intent", tmp_path / "copy.jsonl")
    assert found is not None
    assert Path(found).name == "suite.jsonl"
    assert fitted_on_a_suite(home, "intent", tmp_path / "other.jsonl") is None
    assert fitted_on_a_suite(home, "another", tmp_path / "copy.jsonl") is None
    assert fitted_on_a_suite(home, "intent", tmp_path / "away.jsonl") is None
    assert fitted_on_a_suite(Home(tmp_path / "none"), "intent", tmp_path / "copy.jsonl") is None
