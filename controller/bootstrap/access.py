"""The secrets of an installation: made when they are first needed, each in a file that only its owner can read."""

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from controller.errors import UsageError
from controller.settings import Home, Settings
from serving.access.tokens import TokenFileError, changing, new_token, read_tokens

OWN_CLIENT = "serin"  # under which the controller and Prometheus ask replicas


def prepare_access(home: Home, settings: Settings) -> None:
    """Make the key of the text digests and, where tokens are required, Serin's own token and that of the interface.

    Safe to repeat. A token of Serin's own that was revoked is made anew: without it no release could be judged.

    Raises:
        UsageError: the token file is damaged.
    """
    _once(home.digest_key, secrets.token_hex(32))
    if not settings.require_tokens:
        return
    _once(home.api_token, secrets.token_urlsafe(32))
    try:
        known = {entry.id for entry in read_tokens(home.tokens).tokens} if home.tokens.exists() else set()
        if not (home.own_token.exists() and home.own_token.read_text().split("_")[1] in known):
            entry, token = new_token(OWN_CLIENT, datetime.now(UTC), unlimited=True)
            home.own_token.unlink(missing_ok=True)
            _once(home.own_token, token)
            with changing(home.tokens) as entries:
                entries[:] = [*(other for other in entries if other.name != OWN_CLIENT), entry]
    except TokenFileError as error:
        raise UsageError(str(error)) from error


def access_flags(home: Home, settings: Settings) -> list[str]:
    """What a replica is told of it."""
    flags = ["--digest-key-file", str(home.digest_key)]
    if settings.require_tokens:
        flags += ["--token-file", str(home.tokens), "--capture-token-file", str(home.api_token)]
        flags += ["--access-log", str(home.logs / "access.log")]
    return flags


def api_token(home: Home, settings: Settings) -> str | None:
    """What who writes to the interface must show."""
    return home.api_token.read_text().strip() if settings.require_tokens else None


def _once(path: Path, content: str) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.touch(mode=0o600)
    whole.write_text(content + "\n")
    whole.replace(path)
