"""Entities: words get the label of their first token, and B-/I- joins them to spans of characters."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from serving.inference.engine import Engine, load
from serving.inference.heads import Entity, TokenHead
from serving.inference.tokenizer import TokenizedText, Word
from serving.package.artifact import ArtifactError
from serving.package.rules import AnswerRules, Task, Windows
from tests.serving.graphs import SCORES_APART, SPAN_LABELS, package_of, span_checkpoint, span_logits, vocabulary


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return span_checkpoint(tmp_path_factory.mktemp("spans") / "checkpoint")


@pytest.fixture(scope="module")
def engine(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    rules = AnswerRules(Task.TOKEN_CLASSIFICATION)
    return load(package_of(checkpoint, tmp_path_factory.mktemp("spans") / "package", rules))


@pytest.fixture(scope="module")
def windowed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    rules = AnswerRules(Task.TOKEN_CLASSIFICATION, Windows(overlap_tokens=10))
    return load(package_of(checkpoint, tmp_path_factory.mktemp("spans") / "windowed", rules))


def named(engine: Engine, text: str) -> list[tuple[str, str]]:
    """What each entity's characters are, and its label."""
    (entities,) = engine.answer([text])
    return [(text[entity.start : entity.end], entity.label) for entity in entities]


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("i want to cancel my order", [("want to cancel", "WISH"), ("order", "THING")]),
        ("refund refund", [("refund", "WISH"), ("refund", "WISH")]),
        ("to cancel", [("to cancel", "WISH")]),
        ("money back to parcel", [("money back", "THING"), ("to", "WISH"), ("parcel", "THING")]),
        ("where is it", []),
        ("Órder 🙂👍🏽 REFUND", [("Órder", "THING"), ("REFUND", "WISH")]),
        ("e\u0301 \u200border\x00\x07 parcel", [("order", "THING"), ("parcel", "THING")]),
        ("我的 order\uff0crefund!", [("order", "THING"), ("refund", "WISH")]),
        ("  order\t\nrefund  ", [("order", "THING"), ("refund", "WISH")]),
        ("[SEP] order [CLS]", [("order", "THING")]),
        ("", []),
        (" \t\n", []),
        ("\x00\x01\x1f", []),
    ],
)
def test_spans_are_characters_of_the_text_as_it_came(
    engine: Engine, text: str, entities: Sequence[tuple[str, str]]
) -> None:
    """Accents, emoji, invisible characters and upper case are folded for the model, never in the answer."""
    assert named(engine, text) == list(entities)


def test_a_score_is_the_mean_of_its_words_probabilities(engine: Engine) -> None:
    ((entity,),) = engine.answer(["want to"])
    expected = []
    for word in ("want", "to"):
        row = np.exp(span_logits()[vocabulary()[word]].astype(np.float64))
        expected.append(row.max() / row.sum())
    assert entity.score == pytest.approx(np.mean(expected), abs=SCORES_APART)


def test_a_word_has_the_label_of_its_first_token(engine: Engine) -> None:
    """``orders`` is ``order ##s``: one word, one thing."""
    assert named(engine, "orders refund") == [("orders", "THING"), ("refund", "WISH")]


def test_company_does_not_change_entities(engine: Engine) -> None:
    texts = ["i want to cancel", "refund", "where is my parcel " * 10, ""]
    together = engine.answer(texts)
    for text, entities in zip(texts, together, strict=True):
        (alone,) = engine.answer([text])
        assert [(e.label, e.start, e.end) for e in entities] == [(e.label, e.start, e.end) for e in alone]
        assert [e.score for e in entities] == pytest.approx([e.score for e in alone], abs=SCORES_APART)


def test_what_is_cut_off_names_nothing_and_windows_find_it(engine: Engine, windowed: Engine) -> None:
    text = "where is it " * 40 + "my order"
    assert named(engine, text) == []
    assert named(windowed, text) == [("order", "THING")]


def test_windows_give_each_word_once_wherever_they_are_cut(windowed: Engine) -> None:
    """The graph looks at each token alone, so windows must find what one look at the whole text would."""
    text = "i want to cancel my order and get my money back. " * 12
    found = named(windowed, text)
    assert found == [("want to cancel", "WISH"), ("order", "THING"), ("money back", "THING")] * 12


def test_a_word_in_two_windows_has_the_mean_of_both() -> None:
    head = TokenHead(SPAN_LABELS)
    text = TokenizedText((1, 2, 3), 5, 0, ((1, 2, 3),), (Word(0, 5, ((0, 2), (1, 1))),))
    rows = [np.zeros((3, 5)), np.zeros((3, 5))]
    rows[0][2] = (0.5, 0.3, 0.1, 0.1, 0.0)
    rows[1][1] = (0.1, 0.7, 0.1, 0.1, 0.0)
    assert head.merge(text, rows) == [Entity("WISH", 0, 5, pytest.approx(0.5))]


def test_labels_outside_the_scheme_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    config = (checkpoint / "config.json").read_text().replace("B-WISH", "WISH")
    odd = span_checkpoint(tmp_path / "odd")
    (odd / "config.json").write_text(config)
    with pytest.raises(ArtifactError, match=r"config\.json: id2label: label 'WISH' is not of the B-/I-/O scheme"):
        package_of(odd, tmp_path / "package", AnswerRules(Task.TOKEN_CLASSIFICATION))
