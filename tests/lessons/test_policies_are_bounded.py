"""A policy is read within bounds, whatever its YAML stands for: one line says what is too much, or what is no YAML."""

import itertools

import pytest

from controller.config.plain_yaml import BYTES_MAX, DEPTH_MAX
from controller.config.policy_file import parse_policy
from controller.errors import UsageError

HEADER = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
LETTERS = "abcdefghij"


def laughs(line: str) -> str:
    """Each anchor holds ten aliases of the one before: 10 to the tenth."""
    first = "a: &a {x: 1}\n"
    return first + "".join(
        line.format(name=name, inner=", ".join([f"*{before}"] * 10)) for before, name in itertools.pairwise(LETTERS)
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (laughs("{name}: &{name} [{inner}]\n"), "aliases written out"),
        (laughs("{name}: &{name} {{<<: [{inner}]}}\n"), "aliases written out"),
        ("steps: &s [*s]\n", "line 4: an alias within what it stands for"),
        ("gates: " + "[" * 100_000, f"line 4: nested deeper than {DEPTH_MAX}"),
        ("gates: " + "{a: " * 5_000, f"line 4: nested deeper than {DEPTH_MAX}"),
        ("#" * BYTES_MAX, "longer than"),
        ("look_every_s: " + "9" * 5_000, "not YAML"),
        ("look_every_s: 0x" + "f" * 3_000, "line 4: .* is not a number"),
        ("deadline_s: 2026-99-99", "not YAML: month"),
        ("deadline_s: !!python/object/apply:os.getcwd []", "not YAML: .*tag"),
        ("? [model]\n: x", "not YAML"),
        ("model: topic", "line 4: 'model' occurs twice"),
        ("<<: {deadline_s: 1}", "line 4: unknown key '<<'"),
    ],
)
def test_what_is_too_much_is_one_line_at_once(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as refusal:
        parse_policy(HEADER + text)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1_000


def test_an_anchor_that_saves_writing_is_taken() -> None:
    """Bounded is not forbidden."""
    policy = parse_policy(
        f"{HEADER}gates:\n  slices:\n    - {{name: 'app:a', accuracy: &limits {{guard_points: 1.0}}}}\n"
        "    - {name: 'app:b', accuracy: *limits}\n"
    )
    assert [part.accuracy.guard_points for part in policy.gates.slices] == [1.0, 1.0]
