"""The session through which Prometheus is read: one deadline for the whole exchange, a bounded answer, and no silent
half-truths.

``prometheus-api-client`` alone retries, follows redirects and proxies, waits as long as bytes trickle in, and drops
``warnings``. It accepts a ``requests.Session``; this one returns complete and checked answers, or raises
``TransientError``.
"""

import http.client
import io
import json
import ssl
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter

from controller.adapters.bounded_http import CHUNK_BYTES, Deadline, connection_to
from controller.errors import Source, TransientError

SOURCE: Final = Source.METRICS
_QUOTED_CHARACTERS: Final = 200


class PrometheusSession(requests.Session):
    """A session in which every request ends within ``deadline_s`` (name look-up aside), with an answer or an error.

    The environment is ignored: no proxy, no CA, no ``.netrc``. ``token`` is called for each request, and sent as a
    bearer token. ``ca_file``: the CAs to trust, in place of those that this machine knows.
    """

    def __init__(
        self,
        *,
        deadline_s: float,
        answer_bytes_max: int,
        token: Callable[[], str] | None = None,
        ca_file: str | None = None,
    ) -> None:
        super().__init__()
        self.trust_env = False
        self._token = token
        self._adapter = _BoundedAdapter(deadline_s, answer_bytes_max, ca_file)

    def get_adapter(self, url: str | bytes) -> BaseAdapter:  # noqa: ARG002 - one for every address
        """Return our own adapter, although the client mounts one on the session that it is given."""
        return self._adapter

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request to Prometheus' HTTP API, and return the checked answer.

        Raises:
            TransientError: no answer came in time, or it is not a complete, successful result without warnings.
        """
        shown = {} if self._token is None else {"Authorization": f"Bearer {self._token()}"}
        headers = {**(kwargs.get("headers") or {}), **shown}
        return _checked(super().request(*args, **{**kwargs, "allow_redirects": False, "headers": headers}))


class _Answer(requests.Response):
    """A response whose JSON was parsed once, when it was checked."""

    envelope: dict[str, Any]

    def json(self, **_kwargs: Any) -> dict[str, Any]:
        return self.envelope


def _checked(response: requests.Response) -> requests.Response:
    answer = cast("_Answer", response)
    if answer.status_code in (401, 403):
        raise _unusable(
            f"status {answer.status_code}: it does not let Serin in; set prometheus_token_file in the "
            "settings to the file of a token that it accepts"
        )
    try:
        envelope = json.loads(answer.content)
    except ValueError:
        raise _unusable(
            f"status {answer.status_code} with something other than JSON: {_quote(answer.content)}"
        ) from None
    if not isinstance(envelope, dict):
        raise _unusable(f"status {answer.status_code} with JSON that is not an object")
    if answer.status_code != 200 or envelope.get("status") != "success":
        said = f"{envelope.get('errorType', 'error')}: {envelope.get('error', _quote(answer.content))}"
        raise _unusable(f"status {answer.status_code}, {said}")
    if envelope.get("warnings"):
        raise _unusable(f"a result with warnings: {envelope['warnings']}")
    if envelope.get("isPartial"):
        raise _unusable("a partial result")
    data = envelope.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("result"), list):
        raise _unusable("a success without a result")
    answer.envelope = envelope
    return answer


def _unusable(what: str) -> TransientError:
    return TransientError(SOURCE, f"Prometheus answered {what}")


def _quote(content: bytes) -> str:
    return repr(content[:_QUOTED_CHARACTERS].decode(errors="replace"))


class _BoundedAdapter(BaseAdapter):
    """Makes one connection for each request: a look sends few, and a connection that is never kept can never be
    stale."""

    def __init__(self, deadline_s: float, answer_bytes_max: int, ca_file: str | None) -> None:
        super().__init__()
        self._ca_file = ca_file
        self._deadline_s = deadline_s
        self._answer_bytes_max = answer_bytes_max

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002, FBT001, FBT002 - the base class's signature
        timeout: Any = None,  # noqa: ARG002
        verify: bool | str = True,  # noqa: ARG002, FBT001, FBT002
        cert: Any = None,  # noqa: ARG002
        proxies: Any = None,  # noqa: ARG002
    ) -> requests.Response:
        """Send the request, and return the whole answer.

        Raises:
            TransientError: it did not come within the deadline and the size limit.
        """
        url = urlsplit(str(request.url))
        place = f"{url.scheme}://{url.netloc}"
        clock = Deadline(self._deadline_s)
        try:
            with connection_to(url, clock, self._ca_file) as connection:
                return self._exchange(request, connection)
        except TimeoutError as error:
            raise TransientError(SOURCE, f"Prometheus at {place} gave no answer in {self._deadline_s:g} s") from error
        except ssl.SSLCertVerificationError as error:
            said = f"Prometheus at {place} has a certificate that is not trusted ({error.verify_message})"
            raise TransientError(
                SOURCE, f"{said}: set prometheus_ca_file in the settings to the file of its CA"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(SOURCE, f"Prometheus at {place} is not reachable: {error!r}") from error

    def close(self) -> None:
        """Leave everything as it is: no connection is kept open."""

    def _exchange(self, request: requests.PreparedRequest, connection: http.client.HTTPConnection) -> requests.Response:
        headers = {**request.headers, "Accept-Encoding": "identity", "Connection": "close"}
        body = cast("bytes | str | None", request.body)
        connection.request(str(request.method), request.path_url, body=body, headers=headers)
        reply = connection.getresponse()
        if 300 <= reply.status < 400:
            raise _unusable(f"a redirect ({reply.status}), which is never followed: give the final address")
        answer = _Answer()
        answer.status_code, answer.reason, answer.url = reply.status, reply.reason, str(request.url)
        answer.headers.update(reply.getheaders())
        answer.request = request
        answer.raw = io.BytesIO(self._read(reply))
        return answer

    def _read(self, reply: http.client.HTTPResponse) -> bytes:
        content = bytearray()
        while chunk := reply.read1(CHUNK_BYTES):
            content += chunk
            if len(content) > self._answer_bytes_max:
                raise _unusable(f"more than {self._answer_bytes_max} bytes")
        if reply.length:  # announced, but not sent: read1 does not report that
            raise http.client.IncompleteRead(bytes(content[:0]), reply.length)
        return bytes(content)
