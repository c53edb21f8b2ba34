"""A slice's name says which requests belong to it."""

import pytest

from gates.online.slices import Attributes, membership

REQUEST = Attributes("refund", tokens=16, tags={"lang": "en", "app.build": "a:b"})


@pytest.mark.parametrize(
    ("name", "belongs"),
    [
        ("class:refund", True),
        ("class:invoice", False),
        ("tokens:1-16", True),
        ("tokens:16-", True),
        ("tokens:17-", False),
        ("tokens:0-15", False),
        ("lang:en", True),
        ("lang:de", False),
        ("app.build:a:b", True),
        ("channel:app", False),
    ],
)
def test_a_request_belongs_by_class_by_tokens_or_by_tag(name: str, belongs: bool) -> None:
    assert membership(name)(REQUEST) is belongs


def test_what_is_not_known_belongs_nowhere() -> None:
    """An answer without a count of tokens is in no slice of lengths, and one without tags in none of tags."""
    assert not membership("tokens:0-")(Attributes("refund"))
    assert not membership("lang:en")(Attributes("refund"))


@pytest.mark.parametrize("name", ["refund", "", ":", "class:", "tokens:5", "tokens:9-5", "tokens:a-b", "Lang:en"])
def test_a_name_that_says_nothing_is_refused_with_what_would(name: str) -> None:
    with pytest.raises(ValueError, match=r"must be .*tokens:LOW-"):
        membership(name)
