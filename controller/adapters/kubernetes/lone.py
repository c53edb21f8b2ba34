"""A client for the API server that uses a kubeconfig and only the standard library: for the person on call.

The usual client library takes a third of a second to import, which is too long for a rollback.
"""

import base64
import http.client
import json
import os
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

from controller.adapters.kubernetes.kubeconfig import Account
from controller.errors import ConflictError, PermanentError, Source, TransientError, UsageError, in_words
from serving.text.printable import printable

_TIMEOUT_S: Final = 5.0
_PLUGIN_WITHIN_S: Final = 30.0  # a person may have to log in
_SAID_MAX: Final = 300


class LoneClient:
    """One connection, kept open; requests go one after another. Use it as a context manager: files that were written
    for the connection are deleted at the end."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._stack = ExitStack()
        self._headers = {"accept": "application/json", "user-agent": "serin-rollback"}
        self._connection = self._connected()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._stack.close()

    def ask(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        """Return the status code of the answer, and its JSON object.

        Raises:
            TransientError: no answer came, or its content is not JSON.
        """
        headers = self._headers | ({"content-type": content_type} if body is not None else {})
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            answer = self._connection.getresponse()
            document = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            why = str(error) or type(error).__name__
            raise TransientError(Source.TRAFFIC, f"the API server at {self._account.server}: {why}") from error
        return answer.status, document if isinstance(document, dict) else {}

    def _connected(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._account.server)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise UsageError(f"kubeconfig: server {self._account.server!r} is not an http:// or https:// address")
        user = self._account.user
        if "exec" in user:
            user = {**user, **self._by_plugin(user["exec"])}
        token = user.get("token")
        if token is None and "tokenFile" in user:
            token = (self._account.folder / user["tokenFile"]).read_text(encoding="ascii").strip()
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        name = self._account.cluster.get("tls-server-name")
        return _Https(parts.hostname, parts.port, self._context(user), None if name is None else str(name))

    def _context(self, user: Mapping[str, Any]) -> ssl.SSLContext:
        cluster = self._account.cluster
        data = cluster.get("certificate-authority-data")
        file = cluster.get("certificate-authority")
        try:
            held = None if data is None else base64.b64decode(data).decode("ascii")
            context = ssl.create_default_context(
                cafile=None if file is None else str(self._account.folder / file), cadata=held
            )
            if cluster.get("insecure-skip-tls-verify"):
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            certificate, key = (self._file(user, f"client-{what}") for what in ("certificate", "key"))
            if certificate is not None:
                context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as error:
            raise UsageError(f"kubeconfig: its certificates cannot be used: {error}") from error
        return context

    def _file(self, user: Mapping[str, Any], name: str) -> Path | None:
        """Return the file of a certificate or key: the one that the kubeconfig names, or a private temporary file with
        the data that the kubeconfig holds. None if it has neither."""
        if (data := user.get(f"{name}-data")) is not None:
            import tempfile  # it imports much of the standard library, and most kubeconfigs do not need it

            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="serin-")))
            file = folder / name
            file.touch(mode=0o600)
            file.write_bytes(base64.b64decode(data))
            return file
        return self._account.folder / user[name] if name in user else None

    def _by_plugin(self, plugin: Mapping[str, Any]) -> dict[str, Any]:
        """Return the credentials that a cloud's own program prints, such as `aws eks get-token`. Raises UsageError if
        it fails."""
        import subprocess

        try:
            command = [str(plugin["command"]), *(str(one) for one in plugin.get("args") or ())]
            info = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
            env = {**os.environ, **{one["name"]: one["value"] for one in plugin.get("env") or ()}}
        except KeyError as error:
            raise UsageError(f"kubeconfig: exec: {error} is missing: see `kubectl config view`") from error
        env["KUBERNETES_EXEC_INFO"] = json.dumps(info)
        try:
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, timeout=_PLUGIN_WITHIN_S, check=True)
            status = json.loads(done.stdout)["status"]
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"kubeconfig: {command[0]} gave no credentials: {in_words(error)}") from error
        told = {"token": status.get("token")}
        for ours, its in (("client-certificate-data", "clientCertificateData"), ("client-key-data", "clientKeyData")):
            if its in status:
                told[ours] = base64.b64encode(status[its].encode()).decode()
        return {key: value for key, value in told.items() if value is not None}


class _Https(http.client.HTTPSConnection):
    """An HTTPS connection whose certificate may be for a name other than the host's (``tls-server-name``)."""

    def __init__(self, host: str, port: int | None, context: ssl.SSLContext, name: str | None) -> None:
        super().__init__(host, port, timeout=_TIMEOUT_S, context=context)
        self._name = name
        self._tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name or self.host)


def route_path(namespace: str, name: str) -> str:
    """Return the path of an HTTPRoute."""
    return f"/apis/gateway.networking.k8s.io/v1/namespaces/{quote(namespace)}/httproutes/{quote(name)}"


def taken(status: int, document: Mapping[str, Any], doing: str) -> Mapping[str, Any]:
    """Return the object of a successful answer.

    Raises:
        ConflictError: one of a patch's tests failed, or somebody else wrote at the same time.
        UsageError: the object does not exist.
        PermanentError: the kubeconfig's user may not do it.
        TransientError: it is refused for another reason. All errors have the server's own words.
    """
    if status < 300:
        return document
    said = printable(str(document.get("message", "")))[:_SAID_MAX]
    if status == 404:
        raise UsageError(f"cannot {doing}: {said or 'it is not there'}")
    if status in (401, 403):
        raise PermanentError(f"cannot {doing}: {said}: the kubeconfig needs get and patch on this one route")
    if status in (409, 422):
        raise ConflictError(Source.TRAFFIC, f"cannot {doing}: {said}")
    raise TransientError(Source.TRAFFIC, f"cannot {doing}: {status} {said}")
