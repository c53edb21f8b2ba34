"""The keys of a policy, with defaults and descriptions, as the code has them: for the JSON Schema and the documents.

``python -m controller.config.reference docs/policy.md docs/gates.md`` rewrites what stands between two markers,

    <!-- policy: gates.latency -->
    <!-- end -->

by the keys of that section (``<!-- policy -->``: of the whole), or at ``<!-- gates -->`` by the table of the gates.
"""

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from controller.core.policy import ReleasePolicy
from gates.policy import GatePolicy
from gates.table import kinds

_BLOCK: Final = re.compile(r"<!-- (policy|gates)(?:: ([a-z_.]+))? -->\n.*?<!-- end -->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section: its default as a policy file writes it, or what stands for it, and what it means."""

    name: str
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a policy, by its path: what it is, and its keys."""

    path: str
    about: str
    keys: tuple[Key, ...]


def policy_sections(kind: Any = ReleasePolicy, path: str = "") -> Iterator[Section]:
    """Every section of a policy, the whole first. Defaults are those that a section has of which nothing is written."""
    hints = typing.get_type_hints(kind)
    told = descriptions(kind)
    keys, parts = [], []
    for field in dataclasses.fields(kind):
        part, several = section_type(hints[field.name])
        if part is not None:
            parts.append((part, f"{path}.{field.name}".lstrip(".")))
        keys.append(Key(field.name, _shown_default(field, several=several, part=part), told[field.name]))
    yield Section(path, _about(kind), tuple(keys))
    for part, below in parts:
        yield from policy_sections(part, below)


def section_types(kind: Any = ReleasePolicy) -> Iterator[Any]:
    """The dataclasses that a policy is made of, each once, the whole first."""
    found = [kind]
    for known in found:  # grows while it is walked through
        parts = (section_type(hint)[0] for hint in typing.get_type_hints(known).values())
        found += [part for part in dict.fromkeys(parts) if part is not None and part not in found]
    yield from found


def descriptions(kind: Any) -> dict[str, str]:
    """Return what each field of a dataclass means: its own words, or else the first sentence of what it holds."""
    found = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        texts = [text for text in getattr(hint, "__metadata__", ()) if isinstance(text, str)]
        part, _ = section_type(hint)
        about = _about(part).partition("\n\n")[0].replace("\n", " ") if part is not None else ""
        found[name] = texts[0] if texts else about
    return found


def section_type(hint: Any) -> tuple[Any, bool]:
    """The dataclass that a type holds (None: none), and whether it holds several of them."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    several = typing.get_origin(hint) is tuple
    part = typing.get_args(hint)[0] if several else hint
    return (part, several) if dataclasses.is_dataclass(part) else (None, several)


def rewritten(page: str) -> str:
    """A page with every block as the code has it.

    Raises:
        ValueError: a block names a section that there is not.
    """
    sections = {section.path: section for section in policy_sections()}

    def block(found: re.Match[str]) -> str:
        subject, path = found[1], found[2] or ""
        if subject == "policy" and path not in sections:
            raise ValueError(f"the policy has no section {path!r}")
        body = gates_table() if subject == "gates" else _section_text(sections[path])
        return f"{found[0].splitlines()[0]}\n{body}\n<!-- end -->"

    return _BLOCK.sub(block, page)


def _section_text(section: Section) -> str:
    rows = [f"| `{key.name}` | {key.default} | {key.description} |" for key in section.keys]
    return "\n".join([section.about, "", "| key | default | |", "| --- | --- | --- |", *rows])


def gates_table(policy: type[GatePolicy] = GatePolicy) -> str:
    """The rows of `docs/gates.md` about the gates that watch a release, as Markdown."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for _, kind in kinds(policy):
        doc = kind.doc
        rows.setdefault((doc.judged_on, doc.rolls_back, doc.passes), []).append(doc.gates or f"`{kind.name}`")
    table = [f"| {', '.join(names)} | {' | '.join(told)} |" for told, names in rows.items()]
    return "\n".join(["| gate | judged on | rolls back when | passes when |", "| --- | --- | --- | --- |", *table])


def _about(kind: Any) -> str:
    """Return what the class says of itself, as Markdown."""
    lines = [line.strip() for line in (kind.__doc__ or "").strip().splitlines()]
    return "\n".join(lines).replace("``", "`")


def _shown_default(field: "dataclasses.Field[Any]", *, several: bool, part: Any) -> str:
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return "required"
    default = _default(field)
    return "see below" if part is not None and not several and default is not None else f"`{_written(default)}`"


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def _written(value: Any) -> str:
    """As YAML, on one line: of a section only what differs from its defaults."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        told = (f"{field.name}: {_written(part)}" for field, part in pairs if part != _default(field))
        return f"{{{', '.join(told)}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(rewritten(Path(name).read_text(encoding="utf-8")), encoding="utf-8")
