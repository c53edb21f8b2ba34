"""The values that each setting may have, whoever wrote it: a flag of `serin up`, or somebody who edited
``settings.json``."""

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from controller.config.settings import AUTO, PORTS
from serving.access.address import is_loopback
from serving.access.hosts import Hosts
from serving.contract import CAPTURE_RATIO_MIN

RUNTIMES: Final = ("local", "kubernetes")
FILES: Final = (
    "api_cert_file",
    "api_key_file",
    "api_tokens_file",
    "argilla_secret_file",
    "database_url_file",
    "digest_key_file",
    "prometheus_ca_file",
    "prometheus_token_file",
    "text_key_file",
    "webhook_secret_file",
)
"""The settings of what is in files that somebody else puts there and renews."""
_PORT_MAX: Final = 65_535
_METRIC_LABEL: Final = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")  # what begins with two underscores is never kept
_REGION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2


def check_setting(name: str, value: Any) -> None:
    """
    Raises:
        ValueError: naming the setting, and what it may be.
    """
    problem = _CHECKS[name](value) if name in _CHECKS else None
    if problem is not None:
        raise ValueError(f"{name}: {value!r} {problem}")


def check_together(ports: Mapping[str, int]) -> None:
    """
    Raises:
        ValueError: two of them listen on one port.
    """
    taken: dict[int, str] = {}
    for name, port in ports.items():
        other = taken.setdefault(port, name)
        if other != name:
            raise ValueError(f"{name}: {port} is {other} already: choose another port for one of the two")


def check_pairs(value: Callable[[str], Any]) -> None:
    """
    Raises:
        ValueError: of two settings that only make sense together, or only one without the other, it is the wrong ones.
    """
    for one, other in (("database_url", "database_url_file"), ("webhook_secret", "webhook_secret_file")):
        if value(one) is not None and value(other) is not None:
            raise ValueError(f"{one} and {other}: give one of the two")
    if (value("api_cert_file") is None) != (value("api_key_file") is None):
        raise ValueError("api_cert_file and api_key_file: a certificate and its key go together")
    if value("api_listen") is not None and value("api_cert_file") is None:
        raise ValueError(
            f"api_listen: {value('api_listen')!r} is asked from other machines: give api_cert_file and api_key_file, "
            "so that no token goes there in the clear"
        )
    if value("prometheus_url") is None:
        lone = next((name for name in ("prometheus_token_file", "prometheus_ca_file") if value(name) is not None), None)
        if lone is not None:
            raise ValueError(f"{lone}: goes with prometheus_url, which is not given")
    elif value("prometheus_token_file") is not None and sends_in_the_clear(value("prometheus_url")):
        raise ValueError(
            f"prometheus_token_file: would be sent in the clear to {value('prometheus_url')}: use https://"
        )


def sends_in_the_clear(url: str) -> bool:
    """Return whether others than this machine could read what is sent there."""
    parts = urlsplit(url)
    return parts.scheme != "https" and not is_loopback(parts.hostname or "")


def check_keys(document: Any, known: Sequence[str]) -> None:
    """
    Raises:
        ValueError: the document is no object, or has a key that is no setting; names the one most alike.
    """
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - a value somebody wrote, and no defect of ours
    unknown = [key for key in document if key not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise ValueError(f"unknown key {unknown[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def names_of(value: Any) -> Any:
    """A list of names as a tuple; anything else as it is, for whoever checks it."""
    return tuple(value) if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _port(value: Any) -> str | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _PORT_MAX
    return None if fits else f"is no port: write a whole number from 1 to {_PORT_MAX}"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "is neither true nor false"


def _positive(value: Any) -> str | None:
    return None if _is_number(value) and value > 0 else "is no number above 0"


def _capture_ratio(value: Any) -> str | None:
    if value == AUTO or (_is_number(value) and (value == 0 or CAPTURE_RATIO_MIN <= value <= 1)):
        return None
    return f'is no number from 0 to 1 (but for 0, {CAPTURE_RATIO_MIN:g} at the least); "{AUTO}" is what gates need'


def _count(value: Any) -> str | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return None if fits else "is no whole number from 1 up"


def _text(value: Any) -> str | None:
    fits = value is None or (isinstance(value, str) and value.strip() and value.isprintable())
    return None if fits else "is no text on one line; leave it out, or write null, for none"


def _url(value: Any) -> str | None:
    fits = value is None or (isinstance(value, str) and value.startswith(("http://", "https://")) and not _text(value))
    return None if fits else "is no address that begins with http:// or https://"


def _region(value: Any) -> str | None:
    fits = isinstance(value, str) and _REGION.fullmatch(value)
    return None if fits else "is no name of a region: use letters, digits, '.', '_' and '-'"


def _listen(value: Any) -> str | None:
    host, separator, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    fits = separator and port.isascii() and port.isdecimal() and not _port(int(port[:9]))
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        fits = False
    return None if value is None or fits else 'is no address to listen at: write one as "0.0.0.0:8443" or "[::]:8443"'


def _file(value: Any) -> str | None:
    fits = value is None or (isinstance(value, str) and value.startswith("/") and value.isprintable())
    return None if fits else "is no file's path from the root on"


def _matchers(value: Any) -> str | None:
    if not (isinstance(value, dict) and all(isinstance(text, str) for item in value.items() for text in item)):
        return 'must be labels with their values, as {"cluster": "eu-1"}'
    odd = next((name for name in value if not _METRIC_LABEL.fullmatch(name)), None)
    return None if odd is None else f"cannot be: {odd!r} is no label of a metric that Prometheus keeps"


def _not_negative(value: Any) -> str | None:
    return None if _is_number(value) and value >= 0 else "is no number from 0 up"


def _header(value: Any) -> str | None:
    fits = value is None or (isinstance(value, str) and _HEADER.fullmatch(value))
    return None if fits else "is no name of a header"


def _hosts(value: Any) -> str | None:
    if not isinstance(value, tuple) or not all(isinstance(name, str) for name in value):
        return 'must be a list, as ["serin.internal"]'
    try:
        Hosts(value)
    except ValueError as error:
        return f"cannot be: {error}"
    return None


def _runtime(value: Any) -> str | None:
    """The rest of it is read by whoever runs by it, where its own package is imported."""
    fits = value is None or (isinstance(value, dict) and value.get("kind") in RUNTIMES)
    return None if fits else f'must be an object whose "kind" is one of {", ".join(RUNTIMES)}'


def _notify(value: Any) -> str | None:
    """The rest of it is read by whoever tells them."""
    fits = isinstance(value, tuple) and all(isinstance(one, dict) and {"name", "kind"} <= one.keys() for one in value)
    return None if fits else 'must be a list of objects, each with a "name" and a "kind"'


def _metric_labels(value: Any) -> str | None:
    if not (isinstance(value, tuple) and value and all(isinstance(name, str) for name in value)):
        return 'must be a list of one label or more, as ["instance"]'
    odd = next((name for name in value if not _METRIC_LABEL.fullmatch(name)), None)
    return None if odd is None else f"cannot be: {odd!r} is no label of a metric that Prometheus keeps"


_CHECKS: Final[Mapping[str, Callable[[Any], str | None]]] = {
    **dict.fromkeys(PORTS, _port),
    **dict.fromkeys(("capture_text", "require_tokens"), _flag),
    **dict.fromkeys(("tick_s", "lease_s", "samples_kept_days", "samples_mb_max"), _positive),
    **dict.fromkeys(("looks_kept_days", "packages_kept_days", "scrape_interval_s"), _positive),
    **dict.fromkeys(("database_url", "webhook_secret"), _text),
    **dict.fromkeys(("api_hosts", "gateway_hosts"), _hosts),
    **dict.fromkeys(("alert_page_url", "alert_ticket_url", "registry_url", "prometheus_url"), _url),
    **dict.fromkeys(FILES, _file),
    "region": _region,
    "runtime": _runtime,
    "notify": _notify,
    "api_listen": _listen,
    "api_drain_s": _not_negative,
    "database_connections_max": _count,
    "prometheus_matchers": _matchers,
    "prometheus_timeout_s": _positive,
    "sticky_header": _header,
    "capture_ratio": _capture_ratio,
    "replica_threads": _count,
    "process_labels": _metric_labels,
}
