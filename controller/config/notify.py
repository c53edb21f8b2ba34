"""The targets of notices, as the setting ``notify`` names them: one mapping each, its ``kind`` says which keys it has.

What is secret (the key of a signature, an address that is one itself, a password) stands in files that the target
names.
"""

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final
from urllib.parse import urlsplit

from controller.config.setting_values import sends_in_the_clear
from controller.core.notices import Severity
from controller.errors import UsageError

_DEFAULT_SEVERITIES: Final = (Severity.PAGE.value, Severity.TICKET.value)
_PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The keys of every target. ``models`` empty: of all of them. ``within_s``: of one attempt."""

    name: str
    severities: tuple[str, ...] = _DEFAULT_SEVERITIES
    models: tuple[str, ...] = ()
    within_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget(Target):
    """A CloudEvent each, signed as Standard Webhooks are."""

    url: str
    secret_file: str
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTarget(Target):
    """An incoming webhook of Slack, or of Teams (Workflows); its address is the secret."""

    kind: str
    url_file: str
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerTarget(Target):
    """The API v2 of an Alertmanager. ``lasts_s``: how long an alert fires by itself."""

    url: str
    token_file: str | None = None
    ca_file: str | None = None
    lasts_s: float = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailTarget(Target):
    """Mail by SMTP. Without ``to`` it goes to the contact of each model's policy, where that is an address."""

    host: str
    sender: str
    port: int = 587
    to: tuple[str, ...] = ()
    tls: str = "starttls"  # or "implicit" (from the first byte on), or "none"
    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    within_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTarget(Target):
    """A program of this machine, with the CloudEvent on its standard input. Exit code 0: it arrived."""

    argv: tuple[str, ...]
    within_s: float = 30.0


AnyTarget = WebhookTarget | ChatTarget | AlertmanagerTarget | EmailTarget | CommandTarget
KINDS: Final[Mapping[str, type[AnyTarget]]] = {
    "webhook": WebhookTarget,
    "slack": ChatTarget,
    "teams": ChatTarget,
    "alertmanager": AlertmanagerTarget,
    "email": EmailTarget,
    "command": CommandTarget,
}


def targets_of(setting: Sequence[Mapping[str, Any]]) -> tuple[AnyTarget, ...]:
    """The targets that the setting names.

    Raises:
        UsageError: one cannot be; names it, its key, and the way out.
    """
    found: list[AnyTarget] = []
    for place, document in enumerate(setting):
        try:
            found.append(_target(document))
        except ValueError as error:
            name = document.get("name") if isinstance(document, Mapping) else None
            where = f"notify[{place}]" + (f" ({name})" if isinstance(name, str) else "")
            raise UsageError(f"settings.json: {where}: {error}") from error
    names = [target.name for target in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"settings.json: notify: two targets are called {twice!r}: each needs a name of its own")
    return tuple(found)


def _target(document: Any) -> AnyTarget:
    if not isinstance(document, Mapping):
        raise ValueError("it is no object")  # noqa: TRY004 - a value somebody wrote, and no defect of ours
    kind = KINDS.get(str(document.get("kind")))
    if kind is None:
        raise ValueError(f"kind: {document.get('kind')!r} is none of {', '.join(KINDS)}")
    known = {field.name: field for field in fields(kind)}
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
    if "kind" not in known:
        given.pop("kind")
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted({*known, 'kind'}))}"
            raise ValueError(f"unknown key {key!r}; {hint}")
    missing = next((key for key, one in known.items() if one.default is MISSING and key not in given), None)
    if missing is not None:
        raise ValueError(f"{missing}: is missing")
    hints = typing.get_type_hints(kind)
    for key, value in given.items():
        _check_type(key, value, hints[key])
    make: Any = kind  # whose fields were held against their types
    target: AnyTarget = make(**given)
    _check(target)
    return target


def _check_type(key: str, value: Any, hint: Any) -> None:
    """Raise ValueError where the value is not of the field's type."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if typing.get_origin(option) is tuple:
            if isinstance(value, tuple) and all(isinstance(item, str) and item for item in value):
                return
        elif option is float:
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
                return
        elif option is int:
            if isinstance(value, int) and not isinstance(value, bool):
                return
        elif isinstance(value, option) and (option is not str or (value.strip() and value.isprintable())):
            return
    wanted = {float: "a number above 0", int: "a whole number", str: "a text on one line"}
    said = wanted.get(options[0], "a list of texts")
    raise ValueError(f"{key}: {value!r} is not {said}")


def _check(target: AnyTarget) -> None:
    odd = next((one for one in target.severities if one not in {*Severity}), None)
    if odd is not None or not target.severities:
        raise ValueError(f"severities: {odd!r} is none of {', '.join(Severity)}")
    for key in ("url_file", "secret_file", "token_file", "password_file", "ca_file"):
        path = getattr(target, key, None)
        if path is not None and not path.startswith("/"):
            raise ValueError(f"{key}: {path!r} is no file's path from the root on")
    if isinstance(target, WebhookTarget | AlertmanagerTarget):
        check_url("url", target.url)
    if isinstance(target, AlertmanagerTarget) and target.token_file is not None and sends_in_the_clear(target.url):
        raise ValueError(f"token_file: would be sent in the clear to {target.url}: use https://")
    if isinstance(target, EmailTarget):
        _check_mail(target)
    if isinstance(target, CommandTarget) and not (target.argv and target.argv[0].startswith("/")):
        raise ValueError("argv: the program's path from the root on comes first, then its arguments, each by itself")


def _check_mail(target: EmailTarget) -> None:
    if not 1 <= target.port <= _PORT_MAX:
        raise ValueError(f"port: {target.port} is none")
    if target.tls not in ("starttls", "implicit", "none"):
        raise ValueError(f"tls: {target.tls!r} is none of starttls, implicit, none")
    if (target.user is None) != (target.password_file is None):
        raise ValueError("user and password_file: go together")
    if target.user is not None and target.tls == "none":
        raise ValueError("tls: none would send the password in the clear")
    if odd := next((one for one in (target.sender, *target.to) if not is_address(one)), None):
        raise ValueError(f"sender, to: {odd!r} is no address of a mailbox")


def is_address(text: str) -> bool:
    """Return whether mail could go there: one name, one host, nothing that a header would take for more."""
    name, at, host = text.partition("@")
    return bool(at and name and host) and text.isascii() and not set(text) & set(' \t,;:<>()[]"\\') and "@" not in host


def check_url(key: str, url: str) -> None:
    """Raise ValueError where nothing can be posted to the address."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{key}: is no address that begins with http:// or https://")
