"""What is served is what transformers answers: the same checkpoint on torch, text by text.

Needs torch and transformers (extra ``export``), which the server does not: skipped where they are not installed.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.inference.engine import Engine, load
from serving.package.artifact import Variant
from serving.package.rules import Aggregate, AnswerRules, Task, Windows
from serving.packaging.build import build_package
from tests.serving.conftest import CHECKPOINT
from tests.serving.graphs import PROBABILITIES_APART, SPAN_LABELS, STATES_APART

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = [
    "where is my order", "i want to cancel it please " * 6, "Ünknown wörds 🙂 refund", "orders, parcels; money back!",
    "  tabs\tand\x00control \u200bcharacters ", "",
]  # fmt: skip
LONG = "where is my order i want to cancel it please refund zzz the money back " * 12
SPECIAL = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
KINDS = {
    Task.SEQUENCE_CLASSIFICATION: "DistilBertForSequenceClassification",
    Task.EMBEDDING: "DistilBertModel",
    Task.TOKEN_CLASSIFICATION: "DistilBertForTokenClassification",
}


def checkpoint(directory: Path, task: Task) -> Any:
    """A random model of the tiny configuration, saved with the tiny tokenizer; returns it on torch."""
    torch.manual_seed(11)
    config = transformers.DistilBertConfig.from_pretrained(CHECKPOINT)
    if task is Task.TOKEN_CLASSIFICATION:
        config.id2label = dict(enumerate(SPAN_LABELS))
        config.label2id = {label: index for index, label in enumerate(SPAN_LABELS)}
    model = getattr(transformers, KINDS[task])(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(directory)
    (directory / "tokenizer.json").write_bytes((CHECKPOINT / "tokenizer.json").read_bytes())
    return model


def tokenizer() -> Any:
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(CHECKPOINT / "tokenizer.json"),
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
        **SPECIAL,
    )


def served(tmp_path: Path, rules: AnswerRules) -> tuple[Any, Engine]:
    model = checkpoint(tmp_path / "checkpoint", rules.task)
    build_package(tmp_path / "checkpoint", tmp_path / "package", rules=rules)
    return model, load(tmp_path / "package")


def test_classes(tmp_path: Path) -> None:
    model, engine = served(tmp_path, AnswerRules())
    for text, found in zip(TEXTS, engine.answer(TEXTS), strict=True):
        with torch.no_grad():
            logits = model(**tokenizer()(text, return_tensors="pt", truncation=True)).logits
        np.testing.assert_allclose(found, logits.softmax(-1)[0].numpy(), rtol=0, atol=PROBABILITIES_APART)


def test_classes_of_windows(tmp_path: Path) -> None:
    """With the windows that transformers itself makes (``return_overflowing_tokens``)."""
    model, engine = served(tmp_path, AnswerRules(windows=Windows(10, Aggregate.MEAN)))
    windows = tokenizer()(
        LONG, return_tensors="pt", truncation=True, stride=10, return_overflowing_tokens=True, padding=True
    )
    windows.pop("overflow_to_sample_mapping")
    with torch.no_grad():
        expected = model(**windows).logits.softmax(-1).mean(0).numpy()
    (found,) = engine.answer([LONG])
    np.testing.assert_allclose(found, expected, rtol=0, atol=PROBABILITIES_APART)


@pytest.mark.parametrize("normalise", [False, True])
def test_embeddings(tmp_path: Path, normalise: bool) -> None:
    model, engine = served(tmp_path, AnswerRules(Task.EMBEDDING, normalise=normalise))
    batch = tokenizer()(TEXTS, return_tensors="pt", truncation=True, padding=True)
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    expected = (states * mask).sum(1) / mask.sum(1)
    if normalise:
        expected = torch.nn.functional.normalize(expected)
    np.testing.assert_allclose(engine.answer(TEXTS), expected.numpy(), rtol=0, atol=STATES_APART)


def test_a_classifier_has_a_body_to_embed_with(tmp_path: Path) -> None:
    """Its checkpoint is exported for another task; the head is left out."""
    model = checkpoint(tmp_path / "checkpoint", Task.SEQUENCE_CLASSIFICATION)
    build_package(tmp_path / "checkpoint", tmp_path / "package", rules=AnswerRules(Task.EMBEDDING))
    with torch.no_grad():
        states = model.distilbert(**tokenizer()(TEXTS[0], return_tensors="pt")).last_hidden_state
    (found,) = load(tmp_path / "package").answer(TEXTS[:1])
    np.testing.assert_allclose(found, states.mean(1)[0].numpy(), rtol=0, atol=STATES_APART)


@pytest.mark.parametrize("task", [Task.EMBEDDING, Task.TOKEN_CLASSIFICATION])
def test_every_task_has_an_int8_variant(tmp_path: Path, task: Task) -> None:
    """Near the original, and not the same: what that does to its answers is not for packaging to say."""
    checkpoint(tmp_path / "checkpoint", task)
    rules = AnswerRules(task, normalise=task is Task.EMBEDDING)
    engines = []
    for variant in (Variant.FP32, Variant.INT8):
        build_package(tmp_path / "checkpoint", tmp_path / variant, variant=variant, rules=rules)
        engines.append(load(tmp_path / variant))
    first, second = (engine.run(engine.tokenizer.tokenize(TEXTS[:1])) for engine in engines)
    assert 0 < np.abs(first - second).max() < 0.2 * np.abs(first).max()


def test_entities(tmp_path: Path) -> None:
    """As the token-classification pipeline with ``aggregation_strategy="first"``."""
    model, engine = served(tmp_path, AnswerRules(Task.TOKEN_CLASSIFICATION))
    pipeline = transformers.pipeline(
        "token-classification", model=model, tokenizer=tokenizer(), aggregation_strategy="first"
    )
    texts = [text for text in TEXTS if text]
    seen = 0
    for text, found in zip(texts, engine.answer(texts), strict=True):
        expected = pipeline(text)
        assert [(e.label, e.start, e.end) for e in found] == [
            (entity["entity_group"], entity["start"], entity["end"]) for entity in expected
        ], text
        assert [e.score for e in found] == pytest.approx(
            [float(entity["score"]) for entity in expected], abs=PROBABILITIES_APART
        )
        seen += len(found)
    assert seen >= 5, "texts in which nothing is named prove nothing"
