"""Numbers that people write in groups: payment cards, bank accounts, telephones.

A run of groups ("4111 1111 1111 1111") is read once, and every short window of whole groups is tried, so that a number
is found also where other digits stand beside it. Windows are bounded, so the time is linear in the text.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from serving.redaction.spans import CARD, IBAN, PHONE, Span

_GAP: Final = r"[ \u00a0\u2009\u202f./()\u2010-\u2015\u2212-]{1,3}"
_GROUP: Final = re.compile(r"\d++")
_RUN: Final = re.compile(rf"(?<!\w)\d++(?!\w)(?:{_GAP}\d++(?!\w))*+")
_CARD_GAP: Final = re.compile(r"[ \u00a0\u2009\u202f\u2010-\u2015-]")
_CARD_DIGITS: Final = range(13, 20)
_CARD_FIRST: Final = re.compile(r"3[0-9]|4|5[0-9]|6|2[2-7]|9792|1800|2131")  # of the large card schemes
_DATE: Final = re.compile(r"(?:\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}[./-]\d{1,2}[./-]\d{1,2})(?!\d)")
_PHONE_DIGITS: Final = range(8, 16)  # E.164: at most 15
_NATIONAL_DIGITS: Final = range(9, 13)
_NANP: Final = ((3, 3, 4), (1, 3, 3, 4))
_PLUS: Final = re.compile(r"(?:\+|\b00)[ (]?$")

# Registered lengths by country (SWIFT's IBAN registry).
_IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip
_IBAN_HEAD: Final = re.compile(r"(?<![^\W_])([A-Za-z]{2})[ -]?\d[ -]?\d(?=[ -]{0,2}[A-Za-z0-9])", re.ASCII)
_IBAN_REST: Final = re.compile(r"(?:[ -]?[A-Za-z0-9]){1,33}", re.ASCII)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_is_valid(iban: str) -> bool:
    """ISO 13616: country, length, and ISO 7064 MOD 97-10. Without spaces, in capitals."""
    if _IBAN_LENGTHS.get(iban[:2]) != len(iban):
        return False
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


def find_cards(text: str) -> Iterator[Span]:
    for groups in _runs(text):
        at = 0
        while at < len(groups):
            end = _card_end(text, groups, at)
            if end:
                yield Span(groups[at].start(), groups[end - 1].end(), CARD)
            at = end or at + 1


def _card_end(text: str, groups: Sequence[re.Match[str]], first: int) -> int:
    """The end of the longest card number that begins with this group; 0 where none does."""
    digits, found = "", 0
    for index in range(first, len(groups)):
        if index > first and not _CARD_GAP.fullmatch(text, groups[index - 1].end(), groups[index].start()):
            break
        digits += groups[index][0]
        if len(digits) > _CARD_DIGITS[-1] or (len(digits) > 3 and not _CARD_FIRST.match(digits)):
            break
        if len(digits) in _CARD_DIGITS and luhn(digits):
            found = index + 1
    return found


def find_ibans(text: str) -> Iterator[Span]:
    end = 0
    for head in _IBAN_HEAD.finditer(text):
        length = _IBAN_LENGTHS.get(head[1].upper())
        if length is None or head.start() < end:
            continue
        rest = _IBAN_REST.match(text, head.start())
        if rest is None:
            continue
        characters = [place for place in range(*rest.span()) if text[place].isalnum()][:length]
        if iban_is_valid("".join(text[place] for place in characters).upper()):
            end = characters[-1] + 1
            yield Span(head.start(), end, IBAN)


def find_phones(text: str) -> Iterator[Span]:
    """International numbers (+ or 00), national ones that begin with 0, and North American ones in their groups.

    Not found: national numbers in other forms, which nothing sets apart from order numbers.
    """
    for groups in _runs(text):
        at = 0
        while at < len(groups):
            end = _phone_end(text, groups, at)
            if end:
                yield _phone(text, groups[at].start(), groups[end - 1].end())
            at = end or at + 1


def _phone_end(text: str, groups: Sequence[re.Match[str]], first: int) -> int:
    start = groups[first].start()
    digits = groups[first][0]
    if digits.startswith("00") and len(digits) > 2:
        return _longest(groups, first, range(10, 18))
    if _PLUS.search(text, max(0, start - 4), start):
        return _longest(groups, first, _PHONE_DIGITS)
    if digits.startswith("0") and not _DATE.match(text, start):
        return _longest(groups, first, _NATIONAL_DIGITS)
    for shape in _NANP:
        if len(digits) == shape[0] and not _DATE.match(text, start):
            window = groups[first : first + len(shape)]
            if tuple(len(group[0]) for group in window) == shape:
                return first + len(shape)
    return 0


def _longest(groups: Sequence[re.Match[str]], first: int, digits: range) -> int:
    """The end of the longest window of whole groups with so many digits; 0 where none has."""
    count, found = 0, 0
    for index in range(first, len(groups)):
        count += len(groups[index][0])
        if count in digits:
            found = index + 1
        if count >= digits[-1]:
            break
    return found


def _phone(text: str, start: int, end: int) -> Span:
    """With its plus sign, and with the bracket that it closes itself."""
    if text[start - 1 : start] == "(" and ")" in text[start:end]:
        start -= 1
    if text[start - 1 : start] == "+":
        start -= 1
    return Span(start, end, PHONE)


def _runs(text: str) -> Iterator[list[re.Match[str]]]:
    for run in _RUN.finditer(text):
        yield list(_GROUP.finditer(text, *run.span()))
