"""The reference of the commands, from their own parsers."""

import argparse
import inspect
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

import typer.main

from controller.cli.app import app
from controller.cli.rollback import parser as rollback_parser
from controller.cli.topic_texts import TOPICS
from controller.cli.topics import drawn
from tests.reference.blocks import table

PLACE: Final = ("--home", "--server", "--token-file", "--ca-file")
_EXAMPLE: Final = re.compile(r"^(?:[A-Z][^:\n]*): (?P<command>serin [a-z][^\n]*)$", re.MULTILINE)
_ROLLBACK: Final = "serin rollback"
_OF_ALL: Final = {"serin COMMAND --help", "serin --version", "serin --install-completion", "serin get", "serin retry"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option or argument. ``default`` as one would write it; empty where none is shown."""

    names: tuple[str, ...]
    default: str
    help: str
    variable: str = ""

    @property
    def row(self) -> tuple[str, str, str]:
        return ", ".join(f"`{name}`" for name in self.names), self.default, self.help


@dataclass(frozen=True, slots=True)
class Command:
    """One command as its parser has it. ``about`` is Markdown, without the examples."""

    name: str
    usage: str
    about: str
    examples: tuple[str, ...]
    options: tuple[Option, ...]


def parsers() -> Mapping[str, Any]:
    """The parser of each command that is no word of others, by its name."""
    return dict(_walk(typer.main.get_command(app), "serin"))


def _walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from _walk(one, f"{path} {name}")
        elif not one.hidden:
            yield f"{path} {name}", one


def commands() -> Iterator[Command]:
    """Every command, in the order of `serin --help`."""
    for name, parser in parsers().items():
        text = inspect.cleandoc(parser.help or "")
        examples = tuple(found["command"] for found in _EXAMPLE.finditer(text))
        about = _EXAMPLE.sub("", text).strip()
        options = tuple(_of_argparse(rollback_parser()) if name == _ROLLBACK else map(_of_typer, _shown(parser)))
        arguments = [option.names[0] for option in options if not option.names[0].startswith("-")]
        yield Command(name, " ".join([name, *arguments]), about, examples, options)


def _shown(parser: Any) -> Iterator[Any]:
    yield from (one for one in parser.params if not getattr(one, "hidden", False) and one.name != "help")


def _of_typer(one: Any) -> Option:
    if one.param_type_name == "argument":
        name = one.name.upper()
        return Option((name if one.required else f"[{name}]",), "required" if one.required else "", one.help or "")
    default = "required" if one.required else _written(one.default, shown=one.show_default)
    choices = ""
    if isinstance(kind := _kind(one), type) and issubclass(kind, Enum):
        choices = f" One of {', '.join(f'`{member.value}`' for member in kind)}."
    repeated = " (repeatable)" if one.multiple and "repeat" not in (one.help or "") else ""
    return Option((*one.opts, *one.secondary_opts), default, f"{one.help}{choices}{repeated}", str(one.envvar or ""))


def _kind(one: Any) -> Any:
    """The type of one value."""
    kind = one.type_descriptor.annotation
    return kind.__args__[0] if one.multiple else kind


def _written(value: object, *, shown: bool) -> str:
    if value in (None, "", False) or not shown:
        return ""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if not isinstance(value, PurePath) else f"`{value.as_posix()}`"


def _of_argparse(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for one in parser._actions:
        if one.dest == "help":
            continue
        words = f"{(one.help or '')[:1].upper()}{(one.help or '')[1:]}."
        named = re.search(r" \((SERIN_\w+)\)\.$", words)
        words = words.removesuffix(named[0]) + "." if named is not None else words
        names = tuple(reversed(one.option_strings)) or (one.dest.upper(),)
        names = tuple(sorted(names, key=len, reverse=True))
        needed = not one.option_strings or one.dest == "reason"
        default = "required" if needed else _written(one.default, shown=True)
        choices = f" One of {', '.join(f'`{choice}`' for choice in one.choices)}." if one.choices else ""
        yield Option(names, default, words + choices, named[1] if named is not None else "")


def parsed(line: str) -> str:
    """The name of the command that the line calls, once its own parser has taken all of the line.

    Raises:
        LookupError: there is no such command.
        Exception, SystemExit: the parser's own, of a line that it refuses.
    """
    words = shlex.split(line.split(" | ", maxsplit=1)[0], comments=True)
    words = words[: next((place for place, word in enumerate(words) if word.startswith(">")), None)]
    known = parsers()
    name = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in known), None)
    if name is None:
        raise LookupError(f"there is no command {' '.join(words[:3])}")
    given = words[len(name.split()) :]
    if name == _ROLLBACK:
        rollback_parser().parse_args(given)
    else:
        known[name].make_context(name, given)
    return name


def spans_of(page: str) -> Iterator[str]:
    """The calls of `serin` within a page's sentences."""
    return (found for found in re.findall(r"`(serin [^`]*)`", page) if found not in _OF_ALL)


def unknown_in(span: str) -> list[str]:
    """What there is not of a call that may have words in place of arguments: its command, or options."""
    words, known = span.split(), parsers()
    name = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in known), None)
    if name is None:
        return [] if len(words) == 2 and any(one.startswith(f"{span} ") for one in known) else [span]
    of_parser = (option for one in known[name].params for option in (*one.opts, *one.secondary_opts))
    options = {"--help", "-h"}.union(of_parser)
    if name == _ROLLBACK:
        options = options.union(*(one.option_strings for one in rollback_parser()._actions))
    return [word for word in words if word.startswith("--") and word not in options]


def text() -> str:
    """Every command, as Markdown."""
    return "\n\n".join(_section(one) for one in commands())


def _section(one: Command) -> str:
    own = [option for option in one.options if option.names[0] not in (*PLACE, "--output")]
    names = {option.names[0] for option in one.options}
    parts = [f"### {one.name}", f"`{one.usage}`", one.about]
    if own:
        parts.append(table(("", "default", ""), (option.row for option in own)))
    parts.append("\n".join(["```sh", *one.examples, "```"]))
    shared = []
    if "--server" in names:
        shared.append("[that say which installation](#which-installation)")
    elif "--home" in names:
        shared.append("[`--home`](#which-installation)")
    if "--output" in names:
        shared.append("[`--output`](output.md)")
    if shared:
        parts.append(f"And the options {' and '.join(shared)}.")
    return "\n\n".join(parts)


def place() -> str:
    """The options that name an installation."""
    (status,) = (one for one in commands() if one.name == "serin status")
    rows = [
        (option.row[0], f"`{option.variable}`", option.default, option.help)
        for option in status.options
        if option.names[0] in PLACE
    ]
    return table(("option", "variable", "default", ""), rows)


def exit_codes() -> str:
    """What `serin help exit-codes` says."""
    return f"```text\n{drawn(TOPICS['exit-codes'][1](), 100)}\n```"


BLOCKS: Final = {"commands": text, "place": place, "exit-codes": exit_codes}


def lines_of(page: str) -> Iterator[str]:
    """The calls of `serin` in a page's blocks of code, with those that go on in the next line."""
    code: Sequence[str] = re.findall(r"^```(?:sh|console|shell|bash)?\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^(?: {4,}).*\n)+", page, re.MULTILINE)
    for block in (*code, *indented):
        for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines():
            if (found := re.match(r"\s*(?:\$ )?(serin .*)", line)) is not None:
                yield found[1]
