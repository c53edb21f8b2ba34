"""Counts agree with what is counted, and verbs with the count."""

import pytest

from controller.core.counted import agreed, counted


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 labels"), (1, "1 label"), (2, "2 labels"), (1_204, "1,204 labels")]
)
def test_a_count_agrees_with_its_noun(count: int, words: str) -> None:
    assert counted(count, "label") == words


def test_a_noun_may_have_a_plural_of_its_own() -> None:
    assert [counted(count, "class", "classes") for count in (1, 3)] == ["1 class", "3 classes"]


@pytest.mark.parametrize(("verb", "one"), [("name", "names"), ("match", "matches"), ("contradict", "contradicts")])
def test_a_verb_agrees_with_its_count(verb: str, one: str) -> None:
    assert [agreed(count, verb) for count in (0, 1, 2)] == [verb, one, verb]
