"""The reference of the policy and the table of the gates are what the code has: keys, defaults, descriptions."""

import dataclasses
import re
import typing
from pathlib import Path

import pytest

from controller.config.policy_file import json_schema, parse_policy
from controller.config.reference import Key, policy_sections, rewritten, section_type, section_types
from controller.core.policy import ReleasePolicy
from gates.policy import SliceAccuracyPolicy, SlicePolicy

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = {section.path: section for section in policy_sections()}
HEADER = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: m\n"


@pytest.mark.parametrize("page", ["policy.md", "gates.md"])
def test_the_tables_of_the_documents_are_those_of_the_code(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert rewritten(text) == text, "run: make docs"


def test_every_section_has_its_table_and_no_table_is_of_another() -> None:
    page = (DOCS / "policy.md").read_text(encoding="utf-8")
    told = re.findall(r"^<!-- policy(?:: ([a-z_.]+))? -->$", page, re.MULTILINE)
    assert told == list(SECTIONS)
    with pytest.raises(ValueError, match=r"no section 'gates\.latencies'"):
        rewritten("<!-- policy: gates.latencies -->\n<!-- end -->")


def test_a_table_that_differs_from_the_code_is_rewritten() -> None:
    page = "before\n<!-- policy: replica -->\nold\n<!-- end -->\nafter\n"
    assert "| `processes_max` | `512` | processes and threads |\n<!-- end -->\nafter" in rewritten(page)


@pytest.mark.parametrize("path", list(SECTIONS))
def test_every_key_says_what_it_means(path: str) -> None:
    assert SECTIONS[path].about
    assert [key.name for key in SECTIONS[path].keys if not key.description.strip()] == []
    assert not [key for key in SECTIONS[path].keys if "\n" in key.description or "|" in key.description]


@pytest.mark.parametrize("kind", list(section_types()), ids=lambda kind: kind.__name__)
def test_the_schema_describes_every_key(kind: type) -> None:
    schema = json_schema()
    properties = (schema if kind is ReleasePolicy else schema["$defs"][kind.__name__])["properties"]
    assert [name for name, key in properties.items() if not key.get("description") and "const" not in key] == []


def test_a_key_without_a_description_is_seen() -> None:
    @dataclasses.dataclass(frozen=True)
    class Bare:
        silent: float = 1.0

    (section,) = policy_sections(Bare)
    assert section.keys == (Key("silent", "`1`", ""),)


def at(value: object, path: str) -> object:
    for name in path.split(".") if path else ():
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("kind", list(section_types()), ids=lambda kind: kind.__name__)
def test_a_section_written_in_part_has_the_defaults_of_one_not_written(kind: type) -> None:
    """Else a key that is written changes others in silence: of a slice, that promotion waits for it."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        part, several = section_type(hints[field.name])
        if part is not None and not several:
            made = field.default_factory is not dataclasses.MISSING
            default = field.default_factory() if made else field.default
            assert default == part() or default is None  # judged only where it is written
            assert type(default) in (part, type(None))


def test_a_documented_default_is_what_a_policy_has_that_does_not_write_it() -> None:
    policy = parse_policy(HEADER + "gates:\n  slices:\n    - {name: 'lang:en', accuracy: {pairs_min: 50}}\n")
    (written,) = policy.gates.slices
    assert written == SlicePolicy("lang:en", SliceAccuracyPolicy(pairs_min=50))
    documented = {key.name: key.default for key in SECTIONS["gates.slices.accuracy"].keys}
    assert (documented["required"], documented["alpha_share"]) == ("`false`", "`0.5`")
    assert (written.accuracy.required, written.accuracy.alpha_share) == (False, 0.5)
    assert (documented["guard_points"], documented["margin_points"]) == ("`2`", "`3`")


def test_every_documented_default_is_one_that_a_policy_file_may_say() -> None:
    """And says nothing new: the policy is the one that leaves it out."""
    plain = parse_policy(HEADER)
    for path, section in SECTIONS.items():
        keys = [key for key in section.keys if key.default.startswith("`")]
        of_items = ("steps", "gates.slices", "gates.slices.accuracy", "gates.floors", "gates.budget.service_windows")
        if not keys or path in of_items or path.startswith("gates.costs"):
            continue  # of the items of a list, and of what is not judged unless it is written
        depth = path.split(".") if path else []
        lines = [f"{'  ' * place}{name}:" for place, name in enumerate(depth)]
        lines += [f"{'  ' * len(depth)}{key.name}: {key.default.strip('`')}" for key in keys]
        assert parse_policy(HEADER + "\n".join(lines) + "\n") == plain
        assert at(plain, path) is not None
