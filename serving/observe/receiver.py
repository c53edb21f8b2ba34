"""The receiver of sampled predictions: the controller, over one connection that is kept while it works. The receiver is
not trusted: of its answer, only a limited length is read, for a limited time, and the answer counts only if it is one
that a controller gives."""

import http.client
import logging
import select
import ssl
import time
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from serving.contract import CAPTURE_RATIO_FIELD, CAPTURE_RATIO_MIN, PREDICTIONS_ROUTE
from serving.text.jsonlines import Unreadable, loads
from serving.text.printable import shown

_log = logging.getLogger(__name__)

ANSWER_BYTES_MAX: Final = 2**14
TIMEOUT_S: Final = 2.0


class Reply(Enum):
    """The end that a batch came to."""

    TAKEN = auto()
    REFUSED = auto()
    TRY_AGAIN = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a batch. ``ratio``: the share of requests that the controller wants from now on; None if it does
    not say."""

    reply: Reply
    ratio: float | None = None


def asked_ratio(body: bytes) -> float | None:
    """Return the ratio that an answer asks for; None if it does not say, like the answer of an older controller.

    Raises:
        ValueError: it is no answer of a controller.
    """
    if not body.strip():
        return None
    try:
        document: Any = loads(body)
    except Unreadable as error:
        raise ValueError(str(error)) from error
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - somebody else's answer, and no defect of ours
    ratio = document.get(CAPTURE_RATIO_FIELD)
    if ratio is None:
        return None
    is_number = isinstance(ratio, int | float) and not isinstance(ratio, bool)
    if not is_number or not (ratio == 0 or CAPTURE_RATIO_MIN <= ratio <= 1):
        raise ValueError(f"{CAPTURE_RATIO_FIELD}: {shown(str(ratio))} is not a ratio")
    return float(ratio)


class Receiver:
    """The connection to the controller. A problem is logged as a warning once, until another one comes or it is
    over."""

    def __init__(
        self, url: str, token_file: Path | None, *, ca_file: Path | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        """``timeout_s``: how long each part of an answer may take, and its body as a whole. ``ca_file``: the CAs to
        trust, in place of those that this machine knows.

        Raises:
            ValueError: the URL is not an http:// or https:// address with a host.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"capture URL must start with http:// or https:// and name a host, got {url!r}")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._ca_file = ca_file
        self._connection: http.client.HTTPConnection | None = None
        self._path = parts.path.rstrip("/") + PREDICTIONS_ROUTE
        self._token_file = token_file
        self._timeout_s = timeout_s
        self._trouble = ""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        """Return the connection. A new one is made if the other end has closed it, as servers do with an idle
        connection after some seconds; it reads the CA file anew."""
        if self._connection is not None and _is_over(self._connection):
            self.close()
        if self._connection is None and self._secure:
            trust = ssl.create_default_context(cafile=self._ca_file)
            self._connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=trust
            )
        elif self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return self._connection

    def post(self, body: bytes) -> Answer:
        """Send a batch, and return what became of it."""
        try:
            connection = self._connected()
            connection.request("POST", self._path, body, self._headers())
            response = connection.getresponse()
            content = self._read(response)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.close()  # the next request opens a new one
            self._warn(f"captured predictions could not be delivered: {error}")
            return Answer(Reply.TRY_AGAIN)
        if response.status >= 300:
            self._warn(f"the receiver of captured predictions answered {response.status}")
            overloaded = response.status >= 500 or response.status == http.HTTPStatus.TOO_MANY_REQUESTS
            return Answer(Reply.TRY_AGAIN if overloaded else Reply.REFUSED)
        try:
            ratio = asked_ratio(content) if content is not None else None
        except ValueError as error:
            self._warn(f"the receiver of captured predictions gave an answer that no controller gives: {error}")
            return Answer(Reply.TAKEN)
        if content is not None:
            self._trouble = ""
        return Answer(Reply.TAKEN, ratio)

    def _read(self, response: http.client.HTTPResponse) -> bytes | None:
        """Return the body of the answer. If it is too long or too slow, close the connection and return None: the rest
        is not waited for."""
        until_s = time.monotonic() + self._timeout_s
        content = b""
        while part := response.read1(ANSWER_BYTES_MAX):
            content += part
            if len(content) > ANSWER_BYTES_MAX or time.monotonic() > until_s:
                self.close()
                self._warn(
                    f"the receiver of captured predictions sent more than {ANSWER_BYTES_MAX} bytes, or took more than "
                    f"{self._timeout_s:g} s: no controller does so"
                )
                return None
        response.read()  # reads nothing, but without it the connection could not be used again
        return content

    def _headers(self) -> dict[str, str]:
        """Return the headers. The token is read for each batch, so that it can be renewed without a restart."""
        headers = {"content-type": "application/json"}
        if self._token_file is not None:
            headers["authorization"] = f"Bearer {self._token_file.read_text(encoding='ascii').strip()}"
        return headers

    def _warn(self, trouble: str) -> None:
        _log.log(logging.DEBUG if trouble == self._trouble else logging.WARNING, "%s", trouble)
        self._trouble = trouble


def _is_over(connection: http.client.HTTPConnection) -> bool:
    """Return whether the other end has closed the connection: between two requests, there is nothing else to read."""
    if connection.sock is None:
        return False
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return bool(waiting.poll(0))
