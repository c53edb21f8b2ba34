"""Predictions are valid JSON whatever the labels are called."""

import json

import numpy as np

from serving.answers import Answers


def test_the_likeliest_label_is_the_answer() -> None:
    (first, second) = Answers(["a", "b"]).write(np.array([[0.25, 0.75], [0.9999999999, 1e-10]]), [False, True])
    assert json.loads(first) == {"label": "b", "probabilities": {"a": 0.25, "b": 0.75}, "truncated": False}
    assert json.loads(second) == {"label": "a", "probabilities": {"a": 1.0, "b": 0.0}, "truncated": True}


def test_any_name_is_a_label() -> None:
    names = ['say "hi"', "100 %", "%s", "ä\\n\n", "{0}"]
    (prediction,) = Answers(names).write(np.full((1, 5), 0.2), [False])
    assert list(json.loads(prediction)["probabilities"]) == names
    assert json.loads(prediction)["label"] == names[0]
