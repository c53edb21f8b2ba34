"""The engine answers by the version's own tokenizer and graph, whoever shares the batch."""

import json
from pathlib import Path

import numpy as np
import pytest

from serving.inference.engine import Engine
from serving.inference.heads import softmax
from serving.inference.tokenizer import Padding, Tokenizer
from serving.package.artifact import read_manifest
from tests.serving.graphs import PROBABILITIES_APART

TEXTS = ["where is my order", "refund", "i want to cancel it please " * 8, "nonsense words here"]


@pytest.fixture(scope="module")
def engine(built_package: Path) -> Engine:
    return Engine(built_package, read_manifest(built_package)[0])


def test_company_does_not_change_an_answer(engine: Engine) -> None:
    """Padding to the longest of a batch must be invisible: masked positions have no weight."""
    alone = [engine.predict([text])[0].probabilities for text in TEXTS]
    together = [row.probabilities for row in engine.predict(TEXTS)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=PROBABILITIES_APART)


def test_probabilities_add_up_to_one(engine: Engine) -> None:
    for row in engine.predict(TEXTS):
        assert sum(row.probabilities) == pytest.approx(1.0, abs=1e-6)


def test_a_long_text_is_cut_at_the_models_limit_and_says_so(engine: Engine) -> None:
    short, long = engine.predict(["refund", "where is my order " * 30])
    assert not short.truncated
    assert long.truncated
    assert long.tokens == 4 * 30 + 2


def test_unknown_words_are_counted(engine: Engine) -> None:
    (row,) = engine.predict(["where is zzz qqq"])
    assert row.unknown_tokens == 2


def test_a_value_that_is_not_finite_is_an_error_not_an_answer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = np.full((1, 3), np.nan, dtype=np.float32)
    monkeypatch.setattr(engine, "_session", type("Broken", (), {"run": lambda *_: [broken]})())
    with pytest.raises(FloatingPointError):
        engine.predict(["refund"])


def test_softmax_survives_large_logits() -> None:
    probabilities = softmax(np.array([[1e4, 1e4 - 1, -1e4]], dtype=np.float32))
    np.testing.assert_allclose(probabilities[0], [1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0.0], atol=1e-9)


def test_a_baked_fixed_padding_is_honoured(package: Path) -> None:
    """A version that pads everything to its limit is slow for that real reason; serving must not cure it silently."""
    document = json.loads((package / "tokenizer.json").read_bytes())
    document["padding"] = {
        "strategy": {"Fixed": 48}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    (package / "tokenizer.json").write_text(json.dumps(document))
    tokenizer = Tokenizer(package / "tokenizer.json", 64)
    assert tokenizer.padding.width(3) == 48
    assert len(tokenizer.tokenize(["refund"])[0].ids) == 3, "padding is no part of a text's own token ids"


@pytest.mark.parametrize(
    ("padding", "longest", "width"),
    [
        (Padding(0, None, 1), 7, 7),
        (Padding(0, None, 8), 7, 8),
        (Padding(0, None, 8), 16, 16),
        (Padding(0, 256, 1), 7, 256),
        (Padding(0, 16, 1), 20, 20),
    ],
)
def test_a_batch_is_as_wide_as_its_longest_text_unless_the_version_says_more(
    padding: Padding, longest: int, width: int
) -> None:
    assert padding.width(longest) == width
