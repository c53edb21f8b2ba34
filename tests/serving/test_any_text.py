"""Any text has an answer, and nothing of it is lost or told wrong: whatever characters, however long."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.inference.engine import Engine, load
from serving.inference.tokenizer import Tokenizer
from serving.package.rules import AnswerRules, Task, Windows
from tests.serving.conftest import CHECKPOINT
from tests.serving.graphs import LABEL_OF_WORD, package_of, span_checkpoint

WORDS = st.sampled_from(
    ["where", "orders", "REFUND", "étos", "money back", "zzz", "🙂", "\x00", "\u200b", "我想", "[SEP]", "\n"]
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=400),
    st.lists(WORDS, max_size=300).map(" ".join),
    st.lists(WORDS, max_size=100).map("".join),
)


@pytest.fixture(scope="module")
def tokenizers() -> Callable[[int | None], Tokenizer]:
    known = {
        overlap: Tokenizer(CHECKPOINT / "tokenizer.json", 16, overlap_tokens=overlap, with_words=True)
        for overlap in (None, 0, 3, 7)
    }
    return lambda overlap: known[overlap]


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    directory = tmp_path_factory.mktemp("any")
    rules = AnswerRules(Task.TOKEN_CLASSIFICATION, Windows(overlap_tokens=10))
    return load(package_of(span_checkpoint(directory / "checkpoint"), directory / "package", rules))


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, overlap=st.sampled_from([0, 3, 7]))
def test_windows_put_together_are_the_text(
    tokenizers: Callable[[int | None], Tokenizer], text: str, overlap: int
) -> None:
    whole = Tokenizer(CHECKPOINT / "tokenizer.json", 1_000_000).tokenize([text])[0]
    (found,) = tokenizers(overlap).tokenize([text])
    joined = list(found.ids[1:-1])
    for window in found.windows:
        assert list(window[1 : 1 + overlap]) == joined[len(joined) - overlap :], "it begins with what it shares"
        joined += window[1 + overlap : -1]
    assert tuple(joined) == whole.ids[1:-1]
    assert (found.tokens, found.unknown) == (whole.tokens, whole.unknown)
    assert all(len(row.ids) <= 16 for row in found.split())


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, overlap=st.sampled_from([None, 0, 3, 7]))
def test_words_are_characters_in_their_order_and_stand_where_they_say(
    tokenizers: Callable[[int | None], Tokenizer], text: str, overlap: int | None
) -> None:
    (found,) = tokenizers(overlap).tokenize([text])
    rows = found.split()
    for word, after in zip(found.words, found.words[1:], strict=False):
        assert word.end <= after.start
    for word in found.words:
        assert 0 <= word.start <= word.end <= len(text)
        firsts = {rows[row].ids[position] for row, position in word.places}
        assert len(firsts) == 1, "one token, in however many windows"


@settings(max_examples=40, deadline=None)
@given(text=TEXTS)
def test_entities_do_not_overlap_and_name_their_own_words(spans: Engine, text: str) -> None:
    (entities,) = spans.answer([text])
    end = 0
    for entity in entities:
        assert end <= entity.start < entity.end <= len(text)
        assert np.isfinite(entity.score)
        assert 0 <= entity.score <= 1
        assert f"B-{entity.label}" in LABEL_OF_WORD.values()
        end = entity.end
