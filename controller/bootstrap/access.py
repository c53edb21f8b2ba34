"""The secrets of an installation: made when they are first needed, each in a file that only its owner can read."""

import base64
import os
import secrets
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from controller.adapters.local.records import Records
from controller.adapters.sql.texts import KEY_BYTES
from controller.api.access import SeveralTokens, Tokens
from controller.bootstrap.stores import digest_key_file
from controller.config.secret_files import SecretFile
from controller.config.settings import Home, Settings
from controller.errors import Source, UsageError, our_fault
from controller.naming import model_named
from controller.roles import REPLICA, Role
from serving.access.tokens import Entry, TokenFile, TokenFileError, changing, id_of, new_token, read_tokens
from serving.contract import deployment_name

OWN_CLIENT: Final = "serin"  # under which the controller and Prometheus ask replicas
OWN_ADMIN: Final = "admin"  # under which whoever has the home asks the controller
OWN_SCRAPER: Final = "serin-prometheus"  # under which our Prometheus reads the controller's metrics
RESERVED_NAMES: Final = frozenset({OWN_ADMIN, OWN_SCRAPER, REPLICA})


def prepare_access(home: Home, settings: Settings) -> None:
    """Make the key of text digests and, where texts are kept, the one that seals them; the admin's token at the
    interface and, where replicas require tokens, Serin's own at those.

    Safe to repeat. A token of Serin's own that was revoked, or that others could read, is made anew: without it no
    release could be judged.

    Raises:
        UsageError: a token file is damaged, or others may write to it.
    """
    if settings.digest_key_file is None:
        _once(home.digest_key, secrets.token_hex(32))
    if settings.capture_text and settings.text_key_file is None:
        _once(home.text_key, base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode())
    try:
        _keep_own(home.api_token, home.api_tokens, OWN_ADMIN, roles=(Role.ADMIN,))
        _keep_own(home.scrape_token, home.api_tokens, OWN_SCRAPER, roles=(Role.VIEW,))
        if settings.require_tokens:
            _keep_own(home.own_token, home.tokens, OWN_CLIENT, unlimited=True)
    except TokenFileError as error:
        raise UsageError(str(error)) from error


def access_flags(home: Home, settings: Settings) -> list[str]:
    """Return what every replica is told of it."""
    flags = ["--digest-key-file", str(digest_key_file(home, settings))]
    if settings.require_tokens:
        flags += ["--token-file", str(home.tokens), "--access-log", str(home.logs / "access.log")]
    return flags


def replica_token(home: Home, model: str, version: str, file: Path, *, running: Container[tuple[str, str]]) -> None:
    """Write the token by which a replica that is about to start sends its own predictions, and no others.

    One that was made for it before is valid no more, nor are those of replicas that are not among the ``running``.

    Raises:
        TransientError: the file of tokens is damaged, or nothing can be written: ours, and no version's.
    """
    entry, token = new_token(REPLICA, datetime.now(UTC), roles=(REPLICA,), model=model, version=version)

    def stays(other: Entry) -> bool:
        of = (other.model or "", other.version or "")
        return REPLICA not in other.roles or (of != (model, version) and of in running)

    try:
        with changing(home.api_tokens) as entries:
            entries[:] = [*filter(stays, entries), entry]
        _write(file, token)
    except (TokenFileError, OSError) as error:
        raise our_fault(Source.DEPLOYMENTS, f"cannot give version {version} of {model} its token", error) from error


def token_of_version(home: Home, records: Records, model: str, version: str, *, starting: str) -> Path:
    """Return the file of the token that the version's replicas share. It is made anew unless another one than the one
    that is ``starting`` runs by it. Raises as `replica_token`."""
    file, known = records.token_file(deployment_name(model, version)), records.all()
    beside = [one for one in known if (one.model, one.version) == (model, version) and one.name != starting]
    if not (file.exists() and any(not one.failure for one in beside)):
        replica_token(home, model, version, file, running={(one.model, one.version) for one in known})
    return file


def tokens_at_the_interface(home: Home, settings: Settings) -> Tokens:
    """Return the tokens of all who may ask the controller: those made here, and those in a file that is mounted.

    Raises:
        UsageError: a file of tokens cannot be used.
    """
    files = [home.api_tokens, *([Path(settings.api_tokens_file)] if settings.api_tokens_file is not None else [])]
    try:
        return SeveralTokens(*map(TokenFile, files))
    except TokenFileError as error:
        raise UsageError(str(error)) from error


def webhook_secret(settings: Settings) -> Callable[[], bytes] | None:
    """Return how the secret that MLflow signs its webhooks with is read; None where there is none.

    Raises:
        UsageError: its file cannot be used.
    """
    if settings.webhook_secret_file is not None:
        file = SecretFile("webhook_secret_file", settings.webhook_secret_file)
        file.read()
        return lambda: file.read().encode()
    kept = settings.webhook_secret
    return kept.encode if kept else None


def argilla_secret(settings: Settings) -> Callable[[], bytes] | None:
    """Return how the secret that Argilla signs its webhooks with is read, which it shows in base64; None where there is
    none.

    Raises:
        UsageError: its file cannot be used, or holds no such secret.
    """
    if settings.argilla_secret_file is None:
        return None
    file = SecretFile("argilla_secret_file", settings.argilla_secret_file)

    def read() -> bytes:
        try:
            return base64.b64decode(file.read().removeprefix("whsec_"), validate=True)
        except ValueError:
            raise UsageError(
                f"argilla_secret_file {file.path}: is not a secret as Argilla shows it, in base64"
            ) from None

    read()
    return read


def create_token(
    home: Home, name: str, roles: Sequence[Role], *, model: str | None, lasts: timedelta | None
) -> tuple[Entry, str]:
    """A new token for the interface: what is kept of it, and itself.

    Raises:
        UsageError: the name cannot be one or is Serin's own, no model can be called so, or the file of tokens cannot be
            used.
    """
    if name in RESERVED_NAMES:
        raise UsageError(f"--name {name}: Serin uses this name itself; choose that of a person or a program")
    if model is not None:
        model_named(model)
    if model is not None and Role.LABELS in roles:
        raise UsageError("--model: a token for labels cannot be bound to a model, because labels only name requests")
    now = datetime.now(UTC)
    try:
        entry, token = new_token(
            name, now, None if lasts is None else now + lasts, roles=tuple(dict.fromkeys(roles)), model=model
        )
        with changing(home.api_tokens) as entries:
            entries.append(entry)
    except TokenFileError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(f"--name: {error}") from error
    return entry, token


def tokens_of(home: Home) -> Sequence[Entry]:
    """Return what is kept of the tokens for the interface. Raises UsageError where the file cannot be used."""
    home.load()
    try:
        return read_tokens(home.api_tokens).tokens if home.api_tokens.exists() else ()
    except TokenFileError as error:
        raise UsageError(str(error)) from error


def revoke_tokens(home: Home, *, name: str | None, token_id: str | None) -> tuple[str, ...]:
    """The ids of the tokens that were revoked.

    Raises:
        UsageError: the file of tokens cannot be used.
    """
    if not tokens_of(home):
        return ()
    with changing(home.api_tokens) as entries:
        kept = [entry for entry in entries if name != entry.name and token_id != entry.id]
        revoked = tuple(entry.id for entry in entries if entry not in kept)
        entries[:] = kept
    return revoked


def _keep_own(file: Path, tokens: Path, name: str, *, roles: tuple[str, ...] = (), unlimited: bool = False) -> None:
    known = {entry.id for entry in read_tokens(tokens).tokens} if tokens.exists() else set()
    if file.exists() and not file.stat().st_mode & 0o077 and id_of(file.read_text().strip()) in known:
        return
    entry, token = new_token(name, datetime.now(UTC), unlimited=unlimited, roles=roles)
    with changing(tokens) as entries:
        entries[:] = [*(other for other in entries if other.name != name), entry]
    _write(file, token)


def _once(path: Path, content: str) -> None:
    if not path.exists():
        _write(path, content)


def _write(path: Path, content: str) -> None:
    """Whole, and its owner's alone from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.unlink(missing_ok=True)
    whole.touch(mode=0o600)
    whole.write_text(content + "\n")
    whole.replace(path)
