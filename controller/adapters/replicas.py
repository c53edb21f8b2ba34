"""Questions to a running replica over HTTP."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from controller.errors import PermanentError, RefusedRequestError, Source, TransientError
from serving.contract import INFO_ROUTE, PREDICT_ROUTE, QUESTION_HEADER, TOKENIZE_ROUTE

_SOURCE = Source.DEPLOYMENTS
# Our token or our rate: nothing that the candidate has done.
_ABOUT_US = (
    httpx.codes.UNAUTHORIZED,
    httpx.codes.FORBIDDEN,
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.REQUEST_TIMEOUT,
)
_NO_SUCH_ROUTE = (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED)
_TEXT = re.compile(r"texts\[(\d{1,6})\]")  # how a replica names the text that it refuses


class HttpReplicas:
    """Implements the port ``Replicas``."""

    def __init__(self, *, timeout_s: float = 30.0, token_file: Path | None = None) -> None:
        """``token_file`` holds the bearer token to show; it is read for each request, so that it may be renewed."""
        self._token_file = token_file
        self._client = httpx.Client(timeout=timeout_s, trust_env=False, follow_redirects=False)

    def close(self) -> None:
        self._client.close()

    def token_ids(self, url: str, texts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        answer = self._ask("POST", url + TOKENIZE_ROUTE, {"texts": list(texts)})
        return tuple(tuple(int(token) for token in ids) for ids in answer["token_ids"])

    def fingerprint(self, url: str) -> str:
        return str(self._ask("GET", url + INFO_ROUTE)["fingerprint"])

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        answer = self._ask("POST", url + PREDICT_ROUTE, {"texts": list(texts)})
        predictions = answer["predictions"]
        if any("probabilities" not in prediction for prediction in predictions):
            raise PermanentError(f"{url} gives no class probabilities: its version has another task")
        return [prediction["probabilities"] for prediction in predictions]

    def _headers(self) -> dict[str, str]:
        headers = {QUESTION_HEADER: "1"}
        if self._token_file is not None:
            headers["authorization"] = f"Bearer {self._token_file.read_text(encoding='ascii').strip()}"
        return headers

    def _ask(self, method: str, url: str, body: object = None) -> Any:
        try:
            response = self._client.request(method, url, json=body, headers=self._headers())
        except (httpx.HTTPError, OSError) as error:
            raise TransientError(_SOURCE, f"{url} did not answer: {error}") from error
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or response.status_code in _ABOUT_US:
            raise TransientError(_SOURCE, f"{url} answered {response.status_code}: {response.text[:200]}")
        if response.is_error and response.status_code not in _NO_SUCH_ROUTE:
            raise _refusal(url, response)
        if response.is_error:
            raise PermanentError(f"{url} refused the request with {response.status_code}: {response.text[:200]}")
        try:
            return response.json()
        except ValueError as error:
            raise PermanentError(f"{url} answered something that is not JSON: {response.text[:200]!r}") from error


def _refusal(url: str, response: httpx.Response) -> RefusedRequestError:
    """Return what a replica has against a request: its own sentence, where it is one of ours."""
    said, place = response.text[:200], None
    try:
        error = response.json()["error"]
        said, field = str(error["message"])[:200], str(error.get("field", ""))
        place = int(match[1]) if (match := _TEXT.fullmatch(field)) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # somebody else's words
    return RefusedRequestError(f"{url} refused the request with {response.status_code}: {said}", place=place)
