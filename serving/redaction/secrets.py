"""Keys and passwords: by the marks that their makers gave them, or because they are assigned to a telling name."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from serving.redaction.spans import SECRET, Span

_MARKED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+"  # GitHub
    r"|glpat-[\w-]{16,}+|xox[abeoprs]-[\w-]{10,}+"  # GitLab, Slack
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{10,}+|AIza[\w-]{35}"  # Stripe, Google
    r"|hf_[A-Za-z0-9]{20,}+|npm_[A-Za-z0-9]{30,}+|pypi-[\w-]{30,}+|sk-[\w-]{20,}+"  # hubs, model services
    r"|serin_[0-9a-f]{12}_[\w-]{20,}+"  # our own
    r")",
    re.ASCII,
)
_JWT: Final = re.compile(r"(?<![\w-])eyJ[\w-]{5,}+\.[\w-]{5,}+(?:\.[\w-]++){0,3}", re.ASCII)
_URL_PASSWORD: Final = re.compile(r"://[^\s/@:?#]{0,128}:([^\s/@]{1,256})@")
_BEARER: Final = re.compile(r"\b(?:bearer|basic)[ \t]{1,4}([A-Za-z0-9._~+/-]{16,}+=*+)", re.IGNORECASE)
_KEY_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_NAMES: Final = (
    r"pass(?:word|wd|phrase|code)?|pwd|passwort|kennwort|contrase\u00f1a|mot[ _-]de[ _-]passe|secret|token|credentials?"
    r"|(?:api|access|secret|private|account|auth|encryption|signing)[ _-]?key|authorization"
)
_ASSIGNED: Final = re.compile(
    rf"(?:{_NAMES})[\"'\])]{{0,3}}\s{{0,5}}(:=|=>|[=:])\s{{0,5}}(?:\"([^\"\n]{{1,512}})\"|'([^'\n]{{1,512}})'|[\"']?([^\s\"',;]++))",
    re.IGNORECASE,
)
_TOLD_CHARACTERS_MIN: Final = 6
_LONG_CHARACTERS: Final = 16
_BITS_MIN: Final = 3.0  # a character; English words of this length have about 2.8


def find_secrets(text: str) -> Iterator[Span]:
    for pattern in (_MARKED, _JWT):
        for match in pattern.finditer(text):
            yield Span(*match.span(), SECRET)
    for pattern in (_URL_PASSWORD, _BEARER):
        for match in pattern.finditer(text):
            yield Span(*match.span(1), SECRET)
    yield from _find_assigned(text)
    yield from _find_private_keys(text)


def _find_assigned(text: str) -> Iterator[Span]:
    """``password=...`` always; after a colon, where sentences go on as well, only what does not look like a word."""
    for match in _ASSIGNED.finditer(text):
        group = match.lastindex or 0
        value = match[group]
        if match[1] != ":" or group < 4 or looks_secret(value):
            yield Span(*match.span(group), SECRET)


def looks_secret(value: str) -> bool:
    """Letters mixed with digits or signs inside, or so evenly spread characters that it is no word."""
    inner = value.strip(".!?)(")
    if len(inner) < _TOLD_CHARACTERS_MIN:
        return False
    if any(c.isalpha() for c in inner) and any(not c.isalpha() for c in inner):
        return True
    return len(inner) >= _LONG_CHARACTERS and entropy_bits(inner) >= _BITS_MIN


def entropy_bits(value: str) -> float:
    """Shannon's entropy of the characters, in bits a character."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values())


def _find_private_keys(text: str) -> Iterator[Span]:
    """From BEGIN to END, or to the end of the text where the END was cut off."""
    end = 0
    while (begin := _KEY_BEGIN.search(text, end)) is not None:
        last = _KEY_END.search(text, begin.end())
        end = last.end() if last is not None else len(text)
        yield Span(begin.start(), end, SECRET)
