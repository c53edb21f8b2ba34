"""The glossary defines each word once, as the code has it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/glossary.md"
ROW = re.compile(r"^\| ([a-z ]+) \| (.+) \| \[`([\w.]+)`\]\(\.\./([\w/]+\.py)\) \|$", re.MULTILINE)
TERMS = ROW.findall(PAGE.read_text(encoding="utf-8"))


def test_every_row_is_read_and_no_word_is_defined_twice() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| (?!word|---)", line)]
    words = [word for word, *_ in TERMS]
    assert len(rows) == len(words) >= 30
    assert len(words) == len(set(words))


@pytest.mark.parametrize(("word", "meaning", "name", "file"), TERMS, ids=[word for word, *_ in TERMS])
def test_a_word_is_said_in_one_or_two_sentences_and_the_code_has_it(
    word: str, meaning: str, name: str, file: str
) -> None:
    assert 1 <= len(re.findall(r"[.](?= |$)", meaning)) <= 2, f"{word}: {meaning}"
    source = (ROOT / file).read_text(encoding="utf-8")
    for part in name.split("."):
        defined = rf"^\s*(class|def|async def) {part}\b|^\s*{part}(: | = )"
        assert re.search(defined, source, re.MULTILINE), f"{word}: {file} defines no {part}"


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_readers_find_it(page: str) -> None:
    assert "glossary.md)" in (ROOT / page).read_text(encoding="utf-8")
