"""The store that commands read and write without a running controller, and the keys of what stands in it."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from controller.adapters.sql.recordings import Digest
from controller.adapters.sql.store import Store, open_store
from controller.adapters.sql.texts import SealedTexts, Texts
from controller.config.secret_files import SecretFile, read_line, read_secret
from controller.config.settings import Home, Settings
from controller.errors import PermanentError, Source
from controller.files import locked
from controller.ports.recordings import KnownTexts
from serving.contract import DIGEST_KEY_BYTES_MAX, text_digest

DIGEST_KEY: Final = "digest key"


def upgrade_schema(home: Home) -> tuple[str | None, str]:
    """As `upgrade_database`, of the home's. Raises UsageError where no installation is here, too."""
    return upgrade_database(home.database_url(home.load()))


def upgrade_database(url: str) -> tuple[str | None, str]:
    """Bring the database at the URL to the schema of this release: the one that it had (None: none), and this one.

    Raises:
        UsageError: it cannot be the address of a database.
        TransientError: the database does not answer.
        PermanentError: it has the schema of a newer release.
    """
    from controller.adapters.sql.upgrade import upgrade_store  # Alembic takes longer to import than a store to open

    changed = upgrade_store(url)
    return changed.before, changed.after


def share_digest_key(home: Home, settings: Settings, store: Store) -> None:
    """See that texts are digested with the key that this database's digests are made with, so that the controllers of
    one database, and the replicas of each, make the same of one text.

    Raises:
        UsageError: the file of the key cannot be read.
        PermanentError: it is another key.
    """
    file = digest_key_file(home, settings)
    recorded, mine = store.keys.claim(DIGEST_KEY, read_secret("digest_key_file", file).encode())
    if recorded != mine:
        raise PermanentError(
            f"digest_key_file {file}: its key ({mine}) is not the one with which the digests in this "
            f"database were made ({recorded}): give all controllers of one database the same file, or "
            "forget that key with `serin db forget-digest-key`"
        )


def prepare_own_database(home: Home) -> str | None:
    """Before `serin up`: a home's own database is made, or upgraded (the schema that it had is returned; None: nothing
    to tell). One that it names by ``database_url`` may be others' as well, and is left as it is.

    Raises:
        PermanentError: the database has the schema of a newer release.
    """
    settings = home.load()
    if settings.database_url is not None or settings.database_url_file is not None:
        return None
    before, after = upgrade_schema(home)
    return before if before != after else None


def digest_key_file(home: Home, settings: Settings) -> Path:
    """The file of the key that texts are digested with."""
    return home.digest_key if settings.digest_key_file is None else Path(settings.digest_key_file)


def open_home(home: Home) -> Store:
    """The store of an installation. Raises UsageError where none is, or its schema is that of an older release."""
    return store_of(home, home.load())


def digest_of(home: Home, settings: Settings) -> Digest:
    """Return how the replicas of this home digest texts."""

    @cache
    def key() -> bytes:
        return digest_key_file(home, settings).read_bytes().strip()[:DIGEST_KEY_BYTES_MAX]

    return lambda text: text_digest(text, key())


def store_of(
    home: Home,
    settings: Settings,
    texts: Texts | None = None,
    digest: Digest | None = None,
    known_texts: KnownTexts | None = None,
) -> Store:
    url = home.database_url(settings)
    file = settings.database_url_file
    current = None if file is None else SecretFile("database_url_file", file).read
    connections_max = settings.database_connections_max
    return open_store(
        url, texts, connections_max=connections_max, current=current, digest=digest, known_texts=known_texts
    )


@contextmanager
def only_controller(home: Home) -> Iterator[str]:
    """See that no other controller runs in this home while the block lasts, and yield the name that this one competes
    by for its database: of this machine, this folder, and this folder alone, should it have been copied.

    Raises:
        TransientError: another one runs, or the home cannot be written to.
    """
    with locked(home.controller_lock, source=Source.HOME):
        name = home.controller_lock.read_text(encoding="ascii")
        if not name:
            name = secrets.token_hex(4)
            home.controller_lock.write_text(name, encoding="ascii")
        yield f"{home.path} on {socket.gethostname()} ({name})"


def texts_of(home: Home, settings: Settings) -> Texts | None:
    """Return how the controller keeps captured texts: sealed, and only where that was asked for.

    Raises:
        UsageError: the key is damaged.
    """
    if settings.text_key_file is not None:
        return SealedTexts(read_line("text_key_file", Path(settings.text_key_file)), keeping=settings.capture_text)
    if not home.text_key.exists():
        return None
    return SealedTexts(home.text_key.read_text(encoding="ascii").strip(), keeping=settings.capture_text)


@contextmanager
def opened(home: Home) -> Iterator[Store]:
    """The store of an installation, closed afterwards."""
    store = open_home(home)
    try:
        yield store
    finally:
        store.close()
