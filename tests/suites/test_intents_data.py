"""The support-intent data set: what its data card promises."""

import json
from collections import Counter

import pytest

from suites.intents import generator
from suites.intents.generator import LABELS, Example, calibration, digest, held_out, normalise, train
from suites.intents.grammar import AMBIGUOUS, INTENTS, OUT_OF_SCOPE
from suites.intents.recipes import LOST, NEWEST, RECENT
from suites.intents.suite import SUITE, SUITE_SIZE, lines

DIGESTS = {
    "train": "6eed51fd132086661541dd9fe2ac0ac91223269836c8185e9c21f4fc07812fbb",
    "calibration": "588e4375be893372181eae488ff084a799233685016ba6d5516b15bd970bff5e",
    "held_out": "7d7d03285a846a68c5aedf6e066b91bce3cb4c506dc52c4d223789e3fe6c26da",
}


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Example]]:
    return {"train": train(), "calibration": calibration(), "held_out": held_out()}


def test_same_texts_on_every_machine(parts: dict[str, list[Example]]) -> None:
    """Texts, labels and slices are pinned: the committed checkpoints' figures mean nothing on other texts."""
    assert {name: digest(part) for name, part in parts.items()} == DIGESTS


def test_no_part_shares_a_text(parts: dict[str, list[Example]]) -> None:
    """After normalisation no text is in two parts, and none is twice in one: pairs must not be dependent."""
    texts = {name: {normalise(e.text) for e in part} for name, part in parts.items()}
    assert {name: len(keys) for name, keys in texts.items()} == {name: len(part) for name, part in parts.items()}
    assert not texts["train"] & texts["held_out"]
    assert not texts["train"] & texts["calibration"]
    assert not texts["calibration"] & texts["held_out"]


def test_parts_are_large_enough(parts: dict[str, list[Example]]) -> None:
    """Training and held-out part have 5,000 texts or more, every intent in each."""
    for name in ("train", "held_out"):
        assert len(parts[name]) >= 5_000
        assert set(Counter(e.label for e in parts[name])) == set(LABELS)


def test_a_longer_stream_starts_with_the_shorter_one() -> None:
    """Load generators may ask for more held-out texts and still know the labels of the first ones."""
    assert held_out(300)[:100] == held_out(100)


def test_twelve_intents_and_out_of_scope() -> None:
    """At least twelve support intents beside the class of everything else."""
    assert len(set(LABELS) - {OUT_OF_SCOPE}) >= 12
    assert OUT_OF_SCOPE in LABELS


def test_some_texts_have_no_right_answer(parts: dict[str, list[Example]]) -> None:
    """Only ambiguous texts carry a label other than the likeliest, at the rate the grammar says."""
    off = [e for e in parts["held_out"] if e.label != e.majority]
    assert {e.family for e in off} == {"ambiguous"}
    ambiguous = sum("ambiguous" in e.slices for e in parts["held_out"])
    expected = 1 - sum(shares[0][1] for _, shares in AMBIGUOUS) / len(AMBIGUOUS)
    assert len(off) / ambiguous == pytest.approx(expected, abs=0.05)


def test_grammar_shares_sum_to_one_and_name_intents() -> None:
    """Shares of an ambiguous template are a distribution over known intents, the likeliest first."""
    for template, shares in AMBIGUOUS:
        assert sum(share for _, share in shares) == pytest.approx(1), template
        assert {label for label, _ in shares} <= set(INTENTS), template
        assert max(shares, key=lambda s: s[1]) == shares[0], template


def test_recipes_leave_out_families_that_exist() -> None:
    """A misspelt family would silently leave nothing out."""
    assert {f"{label}/{family}" for label, families in INTENTS.items() for family in families} >= RECENT | LOST
    assert NEWEST < RECENT


@pytest.mark.parametrize("noise", ["typo", "casing", "filler"])
def test_noise_is_on_the_texts_that_say_so(noise: str, parts: dict[str, list[Example]]) -> None:
    """Each kind of noise is on a share of texts as large as its constant says."""
    ratio = getattr(generator, f"{noise.upper()}_RATIO")
    share = sum(noise in e.slices for e in parts["held_out"]) / len(parts["held_out"])
    assert share == pytest.approx(ratio, abs=0.05)


def test_clean_means_nothing_else_holds(parts: dict[str, list[Example]]) -> None:
    """A text is in the slice "clean" or in slices that say why it is not."""
    assert all(e.slices == ("clean",) or (e.slices and "clean" not in e.slices) for e in parts["held_out"])


def test_suite_file_is_what_the_generator_gives() -> None:
    """suite.jsonl is generated, never edited: some 600 held-out cases in every slice and class."""
    assert SUITE.read_text(encoding="utf-8") == lines()
    cases = [json.loads(line) for line in SUITE.read_text(encoding="utf-8").splitlines()]
    assert len(cases) == len({case["id"] for case in cases}) == SUITE_SIZE
    assert {case["label"] for case in cases} == set(LABELS)
    slices = Counter(name for case in cases for name in case["slices"])
    assert set(slices) == {"clean", "typo", "casing", "filler", "ambiguous", "out_of_scope"}
    assert min(slices.values()) >= 30
