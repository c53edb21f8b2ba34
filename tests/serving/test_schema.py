"""Bad input is refused with a reason before anything can reach the model."""

import json
from typing import Any

import pytest

from serving.http.schema import parse_texts
from serving.refusals import ApiError
from serving.settings import Limits

LIMITS = Limits(text_chars_max=20, texts_max=3)


def refusal(body: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse_texts(body, LIMITS)
    return caught.value


def test_one_text_and_a_list_are_told_apart() -> None:
    assert parse_texts(b'{"text": "a"}', LIMITS) == (("a",), False)
    assert parse_texts(b'{"texts": ["a"]}', LIMITS) == (("a",), True)


def test_a_text_reaches_the_model_as_it_was_sent() -> None:
    """White space and accents belong to the text: only a text without anything else is empty."""
    assert parse_texts(json.dumps({"text": "  Café\n"}).encode(), LIMITS) == (("  Café\n",), False)


@pytest.mark.parametrize("body", [b"", b"{", b"text=a", b"\xff", b'{"text": "\\ud800"}'])
def test_broken_json_is_400(body: bytes) -> None:
    error = refusal(body)
    assert (error.status, error.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "missing_text", "text"),
        ({"text": None}, "missing_text", "text"),
        ({"text": 3}, "wrong_type", "text"),
        ({"text": ["a"]}, "wrong_type", "text"),
        ({"texts": "a"}, "wrong_type", "texts"),
        ({"texts": ["a", None]}, "wrong_type", "texts[1]"),
        ([], "wrong_type", None),
        ("a", "wrong_type", None),
        ({"text": "a", "texts": ["a"]}, "ambiguous", "texts"),
        ({"text": "a", "label": "b"}, "unknown_field", "label"),
        ({"text": ""}, "empty_text", "text"),
        ({"text": " \n\t"}, "empty_text", "text"),
        ({"texts": []}, "empty_text", "texts"),
        ({"texts": ["a", ""]}, "empty_text", "texts[1]"),
        ({"text": "a" * 21}, "text_too_long", "text"),
        ({"texts": ["a", "a" * 21]}, "text_too_long", "texts[1]"),
        ({"texts": ["a"] * 4}, "too_many_texts", "texts"),
    ],
)
def test_a_wrong_body_is_422_and_names_the_field(body: Any, code: str, field: str | None) -> None:
    error = refusal(json.dumps(body).encode())
    assert (error.status, error.code, error.field) == (422, code, field)
    assert str(error)


def test_the_error_never_repeats_the_text() -> None:
    """Error bodies end up in logs; texts do not belong there."""
    assert "secret" not in str(refusal(b'{"text": "' + b"secret" * 10 + b'"}'))
    assert "secret" not in str(refusal(b'{"texts": "secret"}'))
