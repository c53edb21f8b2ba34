"""Encoders beyond DistilBERT: each family is exported, packaged and served through the same path as DistilBERT.

Models are small and random; everything else is the real library's: configuration, weights, tokenizer, files. Needs
torch and transformers (``make test-export``). The bound of a probability is ``TOLERANCE``, 1e-4: single precision keeps
seven digits, and a few hundred sums taken in another order move the last two or three of them; what is packaged is
refused beyond it, so that here it is only measured again, from outside.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from controller.bootstrap.packaging import Order
from controller.bootstrap.registering import register
from controller.errors import UsageError
from serving.inference.engine import load
from serving.package.artifact import Variant, read_manifest, verify
from serving.package.families import FAMILIES
from serving.package.rules import AnswerRules, Task
from serving.packaging.build import build_package
from serving.packaging.check import check
from serving.packaging.export import quiet_library
from serving.packaging.graphs import TOLERANCE
from tests.fakes.registry import FakeRegistry
from tests.serving.library_models import RECIPES, SENTENCES, pipeline_of, save

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = [*SENTENCES, "", "Ünknown wörds 🙂", "my order " * 90 + "now", "  tabs\tand\nlines "]


def test_every_family_that_is_served_is_tried_here() -> None:
    assert set(RECIPES) == set(FAMILIES)


@pytest.mark.integration
@pytest.mark.parametrize("family", RECIPES)
def test_a_family_answers_as_the_library_does(family: str, tmp_path: Path) -> None:
    """Alone and in company, texts of every length; the version says which family it is."""
    with quiet_library():
        save(tmp_path / "checkpoint", family)
    manifest = build_package(tmp_path / "checkpoint", tmp_path / "package")
    assert (manifest.family, manifest.max_tokens) == (family, 64)
    assert verify(tmp_path / "package") == manifest
    assert family in str(check(tmp_path / "package"))
    engine = load(tmp_path / "package")
    library = pipeline_of(tmp_path / "checkpoint", 64)
    expected = [library(text) for text in TEXTS]
    alone = [engine.answer([text])[0] for text in TEXTS]
    np.testing.assert_allclose(alone, expected, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(engine.answer(TEXTS), expected, atol=TOLERANCE, rtol=0)
    assert np.ptp(expected, axis=0).max() > 0.05, "a model that answers everything alike proves nothing"
    print(f"\n{family}: largest difference {np.abs(np.subtract(alone, expected)).max():.1e}")


@pytest.mark.integration
@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
@pytest.mark.parametrize(("task", "made"), [(Task.EMBEDDING, ""), (Task.TOKEN_CLASSIFICATION, "TokenClassification")])
def test_a_family_serves_the_other_tasks(family: str, task: Task, made: str, tmp_path: Path) -> None:
    """States and labels of tokens; where padding stands must not matter to them."""
    spans = {"id2label": {0: "O", 1: "B-X", 2: "I-X"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2}}
    with quiet_library():
        save(tmp_path / "checkpoint", family, task=made, **(spans if made else {}))
    build_package(tmp_path / "checkpoint", tmp_path / "package", rules=AnswerRules(task))
    engine = load(tmp_path / "package")
    texts = [text for text in TEXTS if text]
    together, alone = engine.answer(texts), [engine.answer([text])[0] for text in texts]
    if task is Task.EMBEDDING:
        np.testing.assert_allclose(together, alone, atol=1e-4)
    else:
        places = [[(entity.label, entity.start, entity.end) for entity in found] for found in together]
        assert places == [[(entity.label, entity.start, entity.end) for entity in found] for found in alone]
        assert any(places)


@pytest.mark.integration
@pytest.mark.parametrize("variant", [Variant.INT8, Variant.FP16])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_family_has_variants(family: str, variant: Variant, tmp_path: Path) -> None:
    with quiet_library():
        save(tmp_path / "checkpoint", family)
    build_package(tmp_path / "checkpoint", tmp_path / "plain")
    build_package(tmp_path / "checkpoint", tmp_path / "variant", variant=variant)
    first, second = (load(tmp_path / name).answer(SENTENCES) for name in ("plain", "variant"))
    assert 0 < np.abs(np.subtract(first, second)).max() < 0.2


@pytest.mark.integration
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("family", ["distilbert", "roberta"])
def test_half_precision_is_exported_in_single(family: str, dtype: str, tmp_path: Path) -> None:
    """Whatever the library's default precision is in this version of it; its answers in single precision are ours."""
    with quiet_library():
        save(tmp_path / "checkpoint", family, dtype=getattr(torch, dtype))
    assert json.loads((tmp_path / "checkpoint" / "config.json").read_bytes())["dtype"] == dtype
    build_package(tmp_path / "checkpoint", tmp_path / "package")
    library = pipeline_of(tmp_path / "checkpoint", 64)
    found = load(tmp_path / "package").answer(SENTENCES)
    np.testing.assert_allclose(found, [library(text) for text in SENTENCES], atol=TOLERANCE, rtol=0)
    assert read_manifest(tmp_path / "package")[0].variant is Variant.FP32


@pytest.mark.integration
def test_a_family_that_is_not_served_is_one_line_before_any_export(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("funnel", d_model=16, n_head=2, d_head=8, d_inner=16, vocab_size=40)
    with quiet_library():
        transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "checkpoint")
        save(tmp_path / "other", "bert")
    (tmp_path / "other" / "tokenizer.json").rename(tmp_path / "checkpoint" / "tokenizer.json")
    with pytest.raises(
        UsageError, match="model_type 'funnel' is not served; supported are distilbert, bert"
    ) as refusal:
        register(FakeRegistry(), tmp_path / "checkpoint", Order("intent"))
    assert "\n" not in str(refusal.value)
