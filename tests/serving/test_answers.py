"""Answers are valid JSON whatever the labels are called, and say what became of a text that is too long."""

import json

import numpy as np
import pytest

from serving.inference.answers import ClassAnswers, EmbeddingAnswers, EntityAnswers
from serving.inference.heads import Entity
from serving.inference.tokenizer import TokenizedText

SHORT = TokenizedText((2, 5, 3), 3, 0)
CUT = TokenizedText((2, 5, 3), 4, 0)
IN_WINDOWS = TokenizedText((2, 5, 3), 4, 0, ((2, 6, 3),))


def test_the_likeliest_label_is_the_answer() -> None:
    write = ClassAnswers(["a", "b"]).write
    first, second = write(SHORT, np.array([0.25, 0.75])), write(CUT, np.array([0.9999999999, 1e-10]))
    assert json.loads(first) == {"label": "b", "probabilities": {"a": 0.25, "b": 0.75}, "truncated": False}
    assert json.loads(second) == {"label": "a", "probabilities": {"a": 1.0, "b": 0.0}, "truncated": True}


def test_any_name_is_a_label() -> None:
    names = ['say "hi"', "100 %", "%s", "ä\\n\n", "{0}"]
    prediction = ClassAnswers(names).write(SHORT, np.full(5, 0.2))
    assert list(json.loads(prediction)["probabilities"]) == names
    assert json.loads(prediction)["label"] == names[0]


def test_a_version_that_reads_in_windows_says_how_many() -> None:
    answers = ClassAnswers(["a", "b"], windowed=True)
    assert json.loads(answers.write(SHORT, np.array([0.5, 0.5])))["windows"] == 1
    long = json.loads(answers.write(IN_WINDOWS, np.array([0.5, 0.5])))
    assert (long["windows"], long["truncated"]) == (2, False)


def test_an_embedding_keeps_the_digits_of_a_float32() -> None:
    vector = np.array([1 / 3, -2e-9, 12345.678, 0.0])
    answer = json.loads(EmbeddingAnswers().write(SHORT, vector))
    assert answer["embedding"] == pytest.approx(vector.tolist(), rel=1e-6)
    assert answer["truncated"] is False


def test_entities_carry_characters_not_the_text() -> None:
    answer = json.loads(EntityAnswers().write(CUT, [Entity("PER", 3, 8, 0.123456789)]))
    assert answer == {"entities": [{"label": "PER", "start": 3, "end": 8, "score": 0.1234568}], "truncated": True}
