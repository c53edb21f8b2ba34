"""Requests to the HTTP interface of an installation on another machine, and what people are told if one fails. Standard
library only, so that an on-call command is done before other commands have finished importing.

Proxies and CAs of the environment are ignored, no redirect is followed, and one deadline covers the whole answer.
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlencode, urlsplit

from controller.errors import PermanentError, Source, TransientError, UsageError
from controller.skew import RELEASE_HEADER, own_release
from serving.access.address import is_loopback

DEADLINE_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 256 * 2**20
_CHUNK_BYTES: Final = 2**20
_QUOTED: Final = 120
_SOURCE: Final = Source.CONTROLLER
_MALFORMED: Final = (KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Address:
    """The address of an interface, and how to ask it. ``token`` is called for each request, because a token may be
    renewed."""

    url: str
    token: Callable[[], str] | None = None
    ca_file: Path | None = None
    deadline_s: float = DEADLINE_S

    def __post_init__(self) -> None:
        """Raises UsageError if the URL is not an address of a controller, or if a token would be sent there
        unencrypted."""
        parts = urlsplit(self.url)
        try:
            fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
        except ValueError:
            fits = False
        if not fits or parts.username is not None or parts.query or parts.fragment:
            raise UsageError(f"--server {self.url!r}: is not the address of a controller: write https://HOST:PORT")
        if self.token is not None and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise UsageError(f"--server {self.url}: the token would be sent unencrypted: use https://")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whatever its status."""

    status: int
    content_type: str
    body: bytes


class Wire:
    """Asks one interface. A connection is made for each request."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._place = urlsplit(address.url)
        self._release = ""  # the release of Serin that gave the last answer

    def document(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: object) -> Any:
        """Return the JSON object of the answer. Raises as `ask` does."""
        answer = self.ask(method, path, body, **query)
        try:
            found = json.loads(answer.body)
        except ValueError:
            raise self._no_serin(answer) from None
        if not isinstance(found, dict):
            self.cannot_read(f"JSON that is not an object: {_quoted(answer.body)}")
        return found

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: object) -> Answer:
        """Return the answer if it is a success. Values of ``query`` that are None are left out.

        Raises:
            UsageError: the interface refuses the caller, does not know what was asked, or is not Serin's.
            TransientError: no answer came in time, or the installation cannot answer now.
            PermanentError: the installation failed to answer this request.
        """
        given = {name: value for name, value in query.items() if value is not None}
        target = self._place.path.rstrip("/") + path + (f"?{urlencode(given)}" if given else "")
        answer = self._sent(method, target, None if body is None else json.dumps(body).encode())
        if not 200 <= answer.status < 300:
            self._refuse(answer)
        return answer

    def cannot_read(self, what: object) -> NoReturn:
        """Raise UsageError: the last answer was a success, but this release of Serin cannot read it."""
        if self._release != own_release():
            raise UsageError(self._skew(f"an answer cannot be read ({what!r})"))
        raise UsageError(f"{self.address.url}: an answer cannot be read ({what!r})")

    def _sent(self, method: str, target: str, body: bytes | None) -> Answer:
        url, give_up_at_s = self.address.url, time.monotonic() + self.address.deadline_s
        connection = self._connection()
        try:
            connection.request(method, target, body, self._headers(body))
            with closing(connection.getresponse()) as reply:
                content = _content(reply, give_up_at_s, url)
        except TimeoutError as error:
            said = f"{url} gave no answer in {self.address.deadline_s:g} s"
            raise TransientError(_SOURCE, said) from error
        except ssl.SSLCertVerificationError as error:
            raise UsageError(self._not_trusted(error)) from error
        except ssl.SSLError as error:
            raise UsageError(f"{url} does not speak TLS as this command does ({error.reason or error})") from error
        except socket.gaierror as error:
            raise UsageError(f"--server {url}: there is no host {self._place.hostname} ({error.strerror})") from error
        except ConnectionRefusedError as error:
            said = (
                f"{url}: nothing listens there (connection refused); check the address, and whether the "
                "controller is running"
            )
            raise TransientError(_SOURCE, said) from error
        except (OSError, http.client.HTTPException) as error:
            why = "the answer broke off" if isinstance(error, http.client.IncompleteRead) else error or repr(error)
            raise TransientError(_SOURCE, f"{url} does not answer: {why}") from error
        finally:
            connection.close()
        content_type = (reply.getheader("content-type") or "").partition(";")[0].strip().lower()
        self._release = reply.getheader(RELEASE_HEADER) or ""
        return Answer(reply.status, content_type, content)

    def _connection(self) -> http.client.HTTPConnection:
        host, port, timeout_s = self._place.hostname or "", self._place.port, self.address.deadline_s
        if self._place.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        file = self.address.ca_file
        try:
            trust = ssl.create_default_context(cafile=file)
        except OSError as error:  # an ssl.SSLError is one, too
            raise UsageError(f"--ca-file {file}: holds no certificates that can be read ({error})") from error
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=trust)

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {"accept": "application/json", "user-agent": "serin"}
        if body is not None:
            headers["content-type"] = "application/json"
        if self.address.token is not None:
            headers["authorization"] = f"Bearer {self.address.token()}"
        return headers

    def _not_trusted(self, error: ssl.SSLCertVerificationError) -> str:
        url, said = self.address.url, error.verify_message or str(error)
        if "mismatch" in said.lower() or "not valid for" in said.lower():
            return f"{url}: its certificate is for another name: {said}"
        if "expired" in said.lower():
            return f"{url}: its certificate has expired: renew it there"
        known = f"of {self.address.ca_file}" if self.address.ca_file else "that this machine knows"
        return f"{url}: its certificate was issued by no CA {known}: name its CA with --ca-file ({said})"

    def _refuse(self, answer: Answer) -> NoReturn:
        url, status = self.address.url, answer.status
        try:
            error = json.loads(answer.body)["error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, KeyError, TypeError):
            raise self._no_serin(answer) from None
        if status == HTTPStatus.UNAUTHORIZED and self.address.token is None:
            message = f"{message}; then name its file with --token-file or SERIN_TOKEN_FILE"
        if status == HTTPStatus.MISDIRECTED_REQUEST:
            name = self._place.hostname
            message = f"the controller does not answer to the name {name}: add {name} to api_hosts in its settings"
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) and code in (
            "not_found",
            "method_not_allowed",
        ):
            unknown_route = self._release != own_release() and "there is no" not in message
            raise UsageError(self._skew(message) if unknown_route else message)
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            raise TransientError(_SOURCE, f"{url}: {message}")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PermanentError(f"{url}: {message}")
        known = code in ("no_policy", "invalid", "conflict")  # the same message as on the installation's own machine
        raise UsageError(message if known else f"{url}: {message}")

    def _no_serin(self, answer: Answer) -> Exception:
        """Return the error for an answer that Serin never gives."""
        url, kind = self.address.url, answer.content_type or "nothing named"
        if 300 <= answer.status < 400:
            return UsageError(f"{url} answered with a redirect ({answer.status}), which is never followed")
        said = (
            f"{url} answered {answer.status} as {kind}, which Serin never does: there is a proxy in "
            "between, or another server"
        )
        return TransientError(_SOURCE, said) if answer.status >= 500 else UsageError(said)

    def _skew(self, what: str) -> str:
        theirs = f"Serin {self._release}" if self._release else "a server that does not say which Serin it is"
        return f"{self.address.url} is {theirs}, this is {own_release()}, and they differ: {what}; use the same release"


class Reading:
    """A block that reads an answer. Whatever the answer lacks is reported as a difference between releases."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, _MALFORMED):
            self._wire.cannot_read(error)


def _content(reply: http.client.HTTPResponse, give_up_at_s: float, url: str) -> bytes:
    """Return the whole content.

    Raises:
        TimeoutError: it is not complete at ``give_up_at_s``, by the monotonic clock.
        IncompleteRead: a part of it is missing.
        UsageError: it is longer than any answer may be.
    """
    content = bytearray()
    while chunk := reply.read1(_CHUNK_BYTES):
        content += chunk
        if len(content) > ANSWER_BYTES_MAX:
            raise UsageError(f"{url} answered more than {ANSWER_BYTES_MAX >> 20} MiB: ask for less")
        if time.monotonic() > give_up_at_s:
            raise TimeoutError
    if reply.length:  # announced, but not sent
        raise http.client.IncompleteRead(b"", reply.length)
    return bytes(content)


def _quoted(content: bytes) -> str:
    return repr(content[:_QUOTED].decode(errors="replace"))
