"""The gateway that a command sends requests to, where it is named, and the token that clients show to it."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from controller.errors import UsageError
from controller.naming import model_named


def gateway_named(given: str) -> str:
    """Return the address of a gateway, as it was named. Raises UsageError where it is none."""
    try:
        parts = urlsplit(given)
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        fits = False
    if not fits or parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"--gateway {given!r}: not the address of a gateway: write http://HOST:PORT")
    return given.rstrip("/")


def predict_url(gateway: str, model: str) -> str:
    """Return where the model is asked. Raises UsageError where no model can be called so."""
    return f"{gateway}/models/{quote(model_named(model), safe='')}/predict"


def shown_to(bearer_file: Path | None, url: str) -> Mapping[str, str]:
    """Return the headers with the token of the file; none without one. Raises UsageError where it would be sent in the
    clear."""
    from controller.config.secret_files import read_line
    from controller.config.setting_values import sends_in_the_clear

    if bearer_file is None:
        return {}
    if sends_in_the_clear(url):
        raise UsageError(f"--bearer-file: the token would be sent in the clear to {url}: use https://")
    return {"authorization": f"Bearer {read_line('--bearer-file', bearer_file)}"}
