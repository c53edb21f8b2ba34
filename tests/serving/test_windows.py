"""Long texts: cut, or read in windows whose answers become one; the same whoever asks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serving.inference.engine import Engine, load
from serving.inference.tokenizer import TokenizedText, Tokenizer
from serving.package.artifact import ArtifactError
from serving.package.rules import Aggregate, AnswerRules, Windows
from serving.packaging.build import build_package
from tests.serving.conftest import CHECKPOINT
from tests.serving.graphs import PROBABILITIES_APART

LONG = "where is my order i want to cancel it please refund zzz the money back " * 12  # 180 tokens and 2
MAX_TOKENS = 64


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Aggregate], Engine]:
    directory = tmp_path_factory.mktemp("windows")
    for aggregate in Aggregate:
        build_package(CHECKPOINT, directory / aggregate, rules=AnswerRules(windows=Windows(10, aggregate)))
    return lambda aggregate: load(directory / aggregate)


def by_hand(overlap: int) -> list[tuple[int, ...]]:
    """The rows of ``LONG``, cut from its token ids without the library's own windows."""
    tokenizer = Tokenizer(CHECKPOINT / "tokenizer.json", 10_000)
    (text,) = tokenizer.tokenize([LONG])
    first, *content, last = text.ids
    room = MAX_TOKENS - 2
    rows = []
    for start in range(0, len(content), room - overlap):
        rows.append((first, *content[start : start + room], last))
        if start + room >= len(content):
            break
    return rows


@pytest.mark.parametrize("overlap", [0, 1, 10, 31])
def test_windows_overlap_and_hold_all_of_the_text(overlap: int) -> None:
    tokenizer = Tokenizer(CHECKPOINT / "tokenizer.json", MAX_TOKENS, overlap_tokens=overlap)
    (text,) = tokenizer.tokenize([LONG])
    assert [row.ids for row in text.split()] == by_hand(overlap)
    assert (text.tokens, text.truncated) == (182, False)
    assert text.unknown == 12, "an unknown token in two windows is one token"


def test_the_first_window_is_what_a_cut_text_keeps() -> None:
    """So golden token ids are the same under both rules."""
    cut, windows = (Tokenizer(CHECKPOINT / "tokenizer.json", MAX_TOKENS, overlap_tokens=n) for n in (None, 10))
    (one,), (other,) = cut.tokenize([LONG]), windows.tokenize([LONG])
    assert one.ids == other.ids
    assert (one.tokens, one.truncated, one.rows) == (other.tokens, True, 1)


def test_the_mean_of_the_windows_is_the_answer(windowed: Callable[[Aggregate], Engine], built_package: Path) -> None:
    plain = load(built_package)
    rows = [plain.run([TokenizedText(ids, len(ids), 0)])[0] for ids in by_hand(10)]
    (prediction,) = windowed(Aggregate.MEAN).predict([LONG])
    assert prediction.windows == len(rows) == 4
    np.testing.assert_allclose(prediction.probabilities, np.mean(rows, axis=0), rtol=0, atol=PROBABILITIES_APART)
    assert sum(prediction.probabilities) == pytest.approx(1.0, abs=1e-6)


def test_max_lets_one_window_decide(windowed: Callable[[Aggregate], Engine], built_package: Path) -> None:
    plain = load(built_package)
    rows = [plain.run([TokenizedText(ids, len(ids), 0)])[0] for ids in by_hand(10)]
    largest = np.max(rows, axis=0)
    (prediction,) = windowed(Aggregate.MAX).predict([LONG])
    np.testing.assert_allclose(prediction.probabilities, largest / largest.sum(), rtol=0, atol=2 * PROBABILITIES_APART)


def test_a_text_within_the_limit_is_answered_as_without_windows(
    windowed: Callable[[Aggregate], Engine], built_package: Path
) -> None:
    texts = ["where is my order", "refund " * 60, "", "\x00\x1b[31m control \x7f", " \t\n"]
    for with_windows, plain in zip(
        windowed(Aggregate.MEAN).predict(texts), load(built_package).predict(texts), strict=True
    ):
        assert with_windows == plain


def test_company_and_order_do_not_change_a_long_text(windowed: Callable[[Aggregate], Engine]) -> None:
    engine = windowed(Aggregate.MEAN)
    (alone,) = engine.answer([LONG])
    for texts in (["refund", LONG, "where is my order"], [LONG, LONG[:300], "refund"] * 4):
        np.testing.assert_allclose(engine.answer(texts)[texts.index(LONG)], alone, rtol=0, atol=PROBABILITIES_APART)
    small = engine.outputs(engine.tokenizer.tokenize([LONG, "refund"]), rows_max=1)
    np.testing.assert_allclose(small[0], alone, rtol=0, atol=PROBABILITIES_APART)


def test_100_kb_of_text_is_many_windows_not_an_error(windowed: Callable[[Aggregate], Engine]) -> None:
    """Whether it may cost that much is for the server's limit to say."""
    text = ("where is my order, it has not come back yet. 🙂 " * 2500)[:100_000]
    (prediction,) = windowed(Aggregate.MEAN).predict([text])
    assert prediction.windows > 300
    assert sum(prediction.probabilities) == pytest.approx(1.0, abs=1e-6)


def test_an_overlap_that_leaves_no_progress_is_refused_when_packaged(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json: overlap_tokens may be at most 31"):
        build_package(CHECKPOINT, tmp_path / "out", rules=AnswerRules(windows=Windows(32)))
