"""The connection to a cluster's API server: by a kubeconfig or, inside a pod, by the pod's service account."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import yaml

from controller.errors import Source, TransientError, UsageError

_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_CONNECT_S_MAX: Final = 3.0
_USER_AGENT: Final = "serin"
_REST: Final = 0.5
"""How long a server that did not answer is left alone, as a share of the time-out. Otherwise each of many models would
wait for it in turn, and a person's command behind them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the server: its status code and its JSON object."""

    code: int
    body: dict[str, Any]


class _Credentials(Protocol):
    """The part of `kubernetes.client.Configuration` that is used here."""

    host: str

    def auth_settings(self) -> Mapping[str, Mapping[str, str]]: ...


class Connection:
    """Sends requests to one API server. Any thread may use it.

    Every request has a time-out. None is repeated here: only the caller knows whether that is safe. After a request
    that got no answer in time, those of the next moments fail at once and are not sent.
    """

    def __init__(
        self,
        credentials: _Credentials,
        namespace: str,
        *,
        timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        from kubernetes.client.rest import RESTClientObject

        self.namespace = namespace
        self._credentials = credentials
        self._pool = RESTClientObject(credentials).pool_manager
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._silent: tuple[float, str] | None = None  # until when nothing is sent (monotonic), and why

    def ask(
        self,
        method: str,
        path: str,
        *,
        source: Source,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Answer:
        """Return the answer, whatever its status code.

        Raises:
            TransientError: no answer came in time, or its content was not a JSON object.
        """
        with self._opened(method, path, query, body, content_type, source, self._timeout_s) as response:
            return Answer(response.status, _object(response.data, response.status, source))

    def lines(
        self, path: str, *, source: Source, query: Mapping[str, str], silence_s: float
    ) -> Iterator[dict[str, Any] | Answer]:
        """Yield the JSON objects of an answer, one a line, until it ends; or a single `Answer`, if it is a refusal.

        Raises:
            TransientError: the connection broke, or nothing came for ``silence_s`` seconds.
        """
        with self._opened("GET", path, query, None, "", source, silence_s) as response:
            if response.status >= 400:
                yield Answer(response.status, _object(response.read(), response.status, source))
                return
            rest = b""
            for chunk in response.stream(amt=None):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (_object(line, response.status, source) for line in whole if line)

    def close(self) -> None:
        self._pool.clear()

    @contextmanager
    def _opened(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        content_type: str,
        source: Source,
        silence_s: float,
    ) -> Iterator[Any]:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        if (silent := self._silent) is not None and self._monotonic() < silent[0]:
            raise TransientError(source, silent[1])
        headers = {"Accept": "application/json", "User-Agent": _USER_AGENT}
        try:
            for one in self._credentials.auth_settings().values():  # for each request: a pod's token is renewed
                headers[one["key"]] = one["value"]
        except (OSError, ValueError) as error:
            raise TransientError(source, f"the token for the cluster cannot be read: {type(error).__name__}") from None
        if body is not None:
            headers["Content-Type"] = content_type
        url = f"{self._credentials.host.rstrip('/')}{path}" + (f"?{urlencode(query)}" if query else "")
        response = None
        try:
            response = self._pool.request(
                method,
                url,
                body=json.dumps(body).encode() if body is not None else None,
                headers=headers,
                timeout=Timeout(connect=min(_CONNECT_S_MAX, silence_s), read=silence_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            yield response
        except (HTTPError, OSError) as error:
            said = f"the API server at {self._credentials.host} {_why(error, silence_s)}"
            if isinstance(error, ReadTimeoutError):
                self._silent = (self._monotonic() + _REST * self._timeout_s, said)
            raise TransientError(source, said) from None
        finally:
            if response is not None:
                response.close()
                response.release_conn()


def connect(
    kubeconfig: Path | None,
    *,
    context: str | None = None,
    namespace: str | None = None,
    timeout_s: float = 10.0,
    monotonic: Callable[[], float] = time.monotonic,
) -> Connection:
    """Return a connection by this kubeconfig or, if it is None, by the service account of the pod that this process
    runs in.

    ``context`` and ``namespace`` replace those that are current in the kubeconfig. ``timeout_s`` holds for each
    request.

    Raises:
        UsageError: the package is not installed, or the kubeconfig or the account cannot be read.
    """
    try:
        import kubernetes.config
        from kubernetes.client import Configuration
    except ImportError:
        raise UsageError("a cluster needs the package `kubernetes`: pip install 'serin[kubernetes]'") from None
    config: Any = kubernetes.config  # only half of it is typed
    credentials: Any = Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=credentials)
            found = _POD_NAMESPACE.read_text(encoding="utf-8").strip()
        else:
            config.load_kube_config(str(kubeconfig), context, credentials, persist_config=False)
            contexts, current = config.list_kube_config_contexts(str(kubeconfig))
            chosen = next((one for one in contexts if one["name"] == context), current)
            found = chosen["context"].get("namespace", "default")
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError) as error:
        where = f"kubeconfig {kubeconfig}" if kubeconfig is not None else "the account of this pod"
        raise UsageError(f"{where}: {_first_line(error)}") from None
    return Connection(credentials, namespace or found, timeout_s=timeout_s, monotonic=monotonic)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _why(error: Exception, silence_s: float) -> str:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError, SSLError

    if isinstance(error, ReadTimeoutError | TimeoutError) and not isinstance(error, ConnectTimeoutError):
        return f"did not answer within {silence_s:g} s"
    if isinstance(error, SSLError):
        return f"has a certificate that the kubeconfig's authority did not sign: {_first_line(error)}"
    if isinstance(error, NewConnectionError | ConnectTimeoutError):
        return "cannot be reached"
    return f"broke off the connection ({type(error).__name__})"


def _object(data: bytes, code: int, source: Source) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    if code >= 400:
        return {}
    raise TransientError(
        source, f"the API server answered {code} with something other than a JSON object: is there a proxy in between?"
    )
