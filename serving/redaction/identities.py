"""National identity numbers of five countries, each by its form and, where it has one, its check digit.

United States: social security number. United Kingdom: national insurance number. France: NIR. Germany: tax
identification number. Spain: DNI and NIE. Others are added as recognisers.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from serving.redaction.spans import NATIONAL_ID, Span

_S: Final = r"[ \u00a0\u202f.-]?"
# Area 000, 666 and 9xx, group 00 and serial 0000 are never given out. Nine digits in a row could be anything.
_US: Final = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}([ -])(?!00)\d\d\1(?!0000)\d{4}(?![\w-])", re.ASCII)
_UK: Final = re.compile(
    r"(?<!\w)(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?(?:\d\d ?){3}[A-D](?!\w)",
    re.ASCII | re.IGNORECASE,
)
_FRANCE: Final = re.compile(
    rf"(?<!\w)([1-478]){_S}(\d\d){_S}(\d\d){_S}(\d\d|2[ABab]){_S}(\d{{3}}){_S}(\d{{3}}){_S}(\d\d)(?!\w)", re.ASCII
)
_GERMANY: Final = re.compile(r"(?<!\w)[1-9]\d ?\d{3} ?\d{3} ?\d{3}(?!\w)", re.ASCII)
_SPAIN: Final = re.compile(r"(?<!\w)(?:([XYZ])[ -]?)?(\d{7,8})[ -]?([A-Z])(?!\w)", re.ASCII | re.IGNORECASE)
_SPAIN_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"


def find_national_ids(text: str) -> Iterator[Span]:
    for pattern, is_valid in _KINDS:
        for match in pattern.finditer(text):
            if is_valid(match):
                yield Span(*match.span(), NATIONAL_ID)


def _form_is_all(_: re.Match[str]) -> bool:
    return True


def _is_french(match: re.Match[str]) -> bool:
    """The key is 97 minus the number modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    *number, key = match.groups()
    number[3] = {"2A": "19", "2B": "18"}.get(number[3].upper(), number[3])
    return 97 - int("".join(number)) % 97 == int(key)


def _is_german(match: re.Match[str]) -> bool:
    """ISO 7064 MOD 11,10; of the first ten digits exactly one occurs more than once (two or three times)."""
    digits = [int(character) for character in match[0] if character.isdigit()]
    repeated = [count for count in Counter(digits[:10]).values() if count > 1]
    if len(repeated) != 1 or repeated[0] > 3:
        return False
    product = 10
    for digit in digits[:10]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == digits[10]


def _is_spanish(match: re.Match[str]) -> bool:
    """The letter stands for the number modulo 23; a foreigner's X, Y or Z counts as 0, 1 or 2."""
    prefix, digits, letter = match.groups()
    if len(digits) != (7 if prefix else 8):
        return False
    number = ("XYZ".index(prefix.upper()) if prefix else 0) * 10**7 + int(digits)
    return _SPAIN_LETTERS[number % 23] == letter.upper()


_KINDS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], bool]], ...]] = (
    (_US, _form_is_all),
    (_UK, _form_is_all),
    (_FRANCE, _is_french),
    (_GERMANY, _is_german),
    (_SPAIN, _is_spanish),
)
