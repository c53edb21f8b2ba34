"""Support-intent texts from a paraphrase grammar: the same seed gives the same texts on every machine.

Of Python's randomness only `random.Random.random` is used, the one method whose sequence Python promises to keep. A
checksum of a text's clean wording decides which part it belongs to (training, calibration or held out). So no two parts
share a sentence, whatever sizes are asked for, and whatever typos and fillers are added.
"""

import hashlib
import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from suites.intents.grammar import AMBIGUOUS, CLOSERS, INTENTS, OPENERS, OUT_OF_SCOPE, SLOTS

SEED: Final = 20261101
TRAIN_SIZE: Final = 40_000
CALIBRATION_SIZE: Final = 4_000
HELD_OUT_SIZE: Final = 8_000

LABELS: Final[tuple[str, ...]] = tuple(INTENTS)

AMBIGUOUS_RATIO: Final = 0.22
OUT_OF_SCOPE_RATIO: Final = 0.06
TYPO_RATIO: Final = 0.18
CASING_RATIO: Final = 0.15
FILLER_RATIO: Final = 0.30

_IN_SCOPE: Final = tuple(label for label in LABELS if label != OUT_OF_SCOPE)
_ALTERNATIVES: Final = re.compile(r"\[([^\]]*)\]")
_SLOT: Final = re.compile(r"\{(\w+)\}")
_WORD: Final = re.compile(r"[a-z0-9]+")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"

_Choice = TypeVar("_Choice")


class Part(Enum):
    """A part of the data. The value is its range of all wordings, in twentieths: the first, and the one after the
    last."""

    TRAIN = (0, 9)
    CALIBRATION = (9, 11)
    HELD_OUT = (11, 20)


@dataclass(frozen=True, slots=True)
class Example:
    """One text with its true label.

    `slices` are suite slices: those of "typo", "casing", "filler", "ambiguous" and "out_of_scope" that apply, or
    "clean". `family` names the family of the wording ("order_status/late", or "ambiguous"). `majority` is the likeliest
    label: it differs from `label` only in some of the ambiguous texts.
    """

    text: str
    label: str
    slices: tuple[str, ...]
    family: str
    majority: str


def train(size: int = TRAIN_SIZE) -> list[Example]:
    """Return the training part. A smaller size gives its first texts."""
    return _generate(Part.TRAIN, size)


def calibration(size: int = CALIBRATION_SIZE) -> list[Example]:
    """Return the texts for fitting a temperature, which are neither trained on nor held out."""
    return _generate(Part.CALIBRATION, size)


def held_out(size: int = HELD_OUT_SIZE) -> list[Example]:
    """Return the held-out part, in which no text comes twice. A larger size gives the same texts, and more after
    them."""
    return _generate(Part.HELD_OUT, size)


def normalise(text: str) -> str:
    """Return the text by which texts are compared: lower case, words and numbers only, single spaces."""
    return " ".join(_WORD.findall(text.lower()))


def digest(examples: Sequence[Example]) -> str:
    """Return the SHA-256 over texts, labels and slices in order, as hex. It pins the data."""
    sha = hashlib.sha256()
    for e in examples:
        sha.update("\x1f".join((e.text, e.label, *e.slices)).encode() + b"\n")
    return sha.hexdigest()


class _Chance:
    """Choices made from `random.Random.random` alone."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def below(self, bound: int) -> int:
        return int(self._random() * bound)

    def happens(self, ratio: float) -> bool:
        return self._random() < ratio

    def one_of(self, values: Sequence[_Choice]) -> _Choice:
        return values[self.below(len(values))]

    def weighted(self, shares: Sequence[tuple[str, float]]) -> str:
        """Return one of the values, each with the chance of its share; the shares sum to 1."""
        left = self._random()
        for value, share in shares:
            left -= share
            if left < 0:
                return value
        return shares[-1][0]


def _generate(part: Part, size: int) -> list[Example]:
    first, past = part.value
    chance = _Chance(f"{SEED}/{part.name}")
    seen: set[str] = set()
    examples: list[Example] = []
    while len(examples) < size:
        wording, label, majority, family = _wording(chance)
        if not first <= zlib.crc32(normalise(wording).encode()) % 20 < past:
            continue
        text, noises = _noisy(wording, chance)
        key = normalise(text)
        if key in seen:
            continue
        seen.add(key)
        kinds = (("ambiguous", family == "ambiguous"), (OUT_OF_SCOPE, label == OUT_OF_SCOPE))
        slices = (*noises, *(name for name, holds in kinds if holds)) or ("clean",)
        examples.append(Example(text, label, slices, family, majority))
    return examples


def _wording(chance: _Chance) -> tuple[str, str, str, str]:
    """Return a clean text with its label, its likeliest label and its family."""
    if chance.happens(AMBIGUOUS_RATIO):
        template, shares = chance.one_of(AMBIGUOUS)
        return _expand(template, chance), chance.weighted(shares), shares[0][0], "ambiguous"
    label = OUT_OF_SCOPE if chance.happens(OUT_OF_SCOPE_RATIO) else chance.one_of(_IN_SCOPE)
    family, templates = chance.one_of(tuple(INTENTS[label].items()))
    return _expand(chance.one_of(templates), chance), label, label, f"{label}/{family}"


def _expand(template: str, chance: _Chance) -> str:
    chosen = _ALTERNATIVES.sub(lambda m: chance.one_of(m[1].split("|")), template)
    filled = _SLOT.sub(lambda m: _slot(m[1], chance), chosen)
    return " ".join(filled.split())


def _slot(name: str, chance: _Chance) -> str:
    match name:
        case "order":
            return f"{chance.one_of(('', '#', 'no. '))}{10_000 + chance.below(90_000)}"
        case "amount":
            return f"{5 + chance.below(195)}{chance.one_of((' euros', ' dollars', ' eur'))}"
        case "count":
            return str(2 + chance.below(18))
        case "code":
            return f"{chance.one_of(('save', 'hello', 'spring', 'vip'))}{chance.below(100)}"
        case _:
            return chance.one_of(SLOTS[name])


def _noisy(wording: str, chance: _Chance) -> tuple[str, tuple[str, ...]]:
    """Return the wording as a hurried person sends it, and the names of what was done to it."""
    text, noises = wording, []
    if chance.happens(TYPO_RATIO):
        text = _misspelt(text, chance)
        noises.append("typo")
    if chance.happens(FILLER_RATIO):
        where = chance.below(3)  # before, after, both
        text = f"{chance.one_of(OPENERS)} {text}" if where != 1 else text
        text = f"{text}, {chance.one_of(CLOSERS)}" if where != 0 else text
        noises.append("filler")
    if chance.happens(CASING_RATIO):
        text = chance.one_of((str.upper, str.title, str.capitalize))(text)
        noises.append("casing")
    return text + chance.one_of(("", "", ".", "?", "!", " ...")), tuple(noises)


def _misspelt(text: str, chance: _Chance) -> str:
    """Return the text with one or two slips, in words of four letters or more. Numbers stay, or an order would become
    another one."""
    words = text.split(" ")
    long_words = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    for _ in range(1 + chance.below(2)):
        i = chance.one_of(long_words)
        word, at = words[i], 1 + chance.below(len(words[i]) - 2)
        match chance.below(4):
            case 0:
                words[i] = word[:at] + word[at + 1 :]
            case 1:
                words[i] = word[:at] + word[at] + word[at:]
            case 2:
                words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            case _:
                words[i] = word[:at] + chance.one_of(_LETTERS) + word[at + 1 :]
    return " ".join(words)
