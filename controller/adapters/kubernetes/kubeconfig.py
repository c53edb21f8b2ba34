"""The kubeconfig of the person on call, read with the standard library alone if it is written as `kubectl` writes
it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.errors import UsageError, in_words

_KEY: Final = re.compile(r"([A-Za-z][A-Za-z0-9._/-]*):(?: +(\S.*))?")
_PLAIN: Final = re.compile(r"(?:--)?[A-Za-z/][A-Za-z0-9/+=_.@:,%~-]*(?<!:)")
_QUOTED: Final = re.compile(r"\"([ !#-\[\]-~]*)\"|'([ -&(-~]*)'")
_WORDS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None, "{}": {}, "[]": []}
_OTHER_WORDS: Final = frozenset({"yes", "no", "on", "off", *_WORDS})  # values in YAML and no text, in any letter case


@dataclass(frozen=True, slots=True)
class Account:
    """The address of a server, and the credentials to use there. ``user`` is the kubeconfig's entry for the user."""

    server: str
    namespace: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]
    folder: Path  # where relative paths in the kubeconfig begin


def account_of(kubeconfig: Path, context: str | None, namespace: str | None) -> Account:
    """Return the account of the kubeconfig's current context, or of ``context``.

    Raises:
        UsageError: the file cannot be read, or lacks something that is needed.
    """
    try:
        document = values_of(kubeconfig.read_text(encoding="utf-8"))
        chosen = context or document["current-context"]
        place = _named(document, "contexts", chosen)["context"]
        cluster = _named(document, "clusters", place["cluster"])["cluster"]
        user = _named(document, "users", place["user"]).get("user") or {}
        return Account(
            server=str(cluster["server"]).rstrip("/"),
            namespace=namespace or str(place.get("namespace") or "default"),
            cluster=cluster,
            user=user,
            folder=kubeconfig.absolute().parent,
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"kubeconfig {kubeconfig}: {in_words(error)}") from error
    except KeyError as error:
        raise UsageError(f"kubeconfig {kubeconfig}: {error} is missing: see `kubectl config view`") from error
    except (TypeError, AttributeError) as error:
        raise UsageError(
            f"kubeconfig {kubeconfig}: is not written as a kubeconfig: see `kubectl config view`"
        ) from error


def _named(document: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    found = next((one for one in document.get(kind) or () if one["name"] == name), None)
    if found is None:
        raise KeyError(f"{kind[:-1]} {name!r}")
    return dict(found)


def values_of(text: str) -> Any:
    """Return the content of a kubeconfig.

    The YAML library takes longer to import than a rollback takes to be written. So it reads only files that are not
    written as `kubectl` writes them.

    Raises:
        ValueError: the text is not YAML, or uses YAML that is not supported.
    """
    try:
        return block_values(text)
    except UnusualError:
        from controller.config.plain_yaml import parse

        return parse(text)[1]


class UnusualError(Exception):
    """The text has something that only a complete YAML parser understands."""


def block_values(text: str) -> Any:
    """Return the content of mappings and lists in block style, in which each text is on one line.

    Raises:
        UnusualError: the text has anything else.
    """
    reader = _Reader(text)
    found = reader.value()
    if reader.left:
        raise UnusualError
    return found


class _Reader:
    """Reads ``left`` from its last line to its first; each line is an indentation and a content."""

    def __init__(self, text: str) -> None:
        lines = [line for line in text.split("\n") if line.strip(" ") and not line.startswith("#")]
        self.left = [(len(line) - len(line.lstrip(" ")), line.strip(" ")) for line in reversed(lines)]
        if not self.left or not text.isascii():
            raise UnusualError

    def value(self) -> Any:
        indent, content = self.left[-1]
        return self._list(indent) if content.startswith("- ") else self._mapping(indent)

    def _mapping(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.left and self.left[-1][0] == indent and not self.left[-1][1].startswith("- "):
            key = _KEY.fullmatch(self.left.pop()[1])
            if key is None or key[1] in found or key[1].lower() in _OTHER_WORDS:
                raise UnusualError
            found[key[1]] = self._of_key(indent) if key[2] is None else self._text(key[2], indent)
        return found

    def _of_key(self, indent: int) -> Any:
        """Return the value on the lines below a key. A list may have the same indentation as its key."""
        if not self.left:
            return None
        below, content = self.left[-1]
        return self.value() if below > indent or (below == indent and content.startswith("- ")) else None

    def _list(self, indent: int) -> list[Any]:
        found: list[Any] = []
        while self.left and self.left[-1][0] == indent and self.left[-1][1].startswith("- "):
            _, content = self.left.pop()
            rest = content[2:].lstrip(" ")
            if _KEY.fullmatch(rest) is not None:
                within = indent + len(content) - len(rest)
                self.left.append((within, rest))
                found.append(self._mapping(within))
            else:
                found.append(self._text(rest, indent))
        return found

    def _text(self, text: str, indent: int) -> Any:
        if self.left and self.left[-1][0] > indent:  # the text continues on the next line
            raise UnusualError
        if text in _WORDS:
            return _WORDS[text] if text not in ("{}", "[]") else type(_WORDS[text])()
        if (quoted := _QUOTED.fullmatch(text)) is not None:
            return quoted[1] if quoted[1] is not None else quoted[2]
        if _PLAIN.fullmatch(text) is None or text.lower() in _OTHER_WORDS:
            raise UnusualError
        return text
