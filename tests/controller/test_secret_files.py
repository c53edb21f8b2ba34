"""Secrets in files that are mounted: read again once they change, told in one line where they cannot be used, and
nowhere to be seen."""

import base64
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from controller.adapters.sql.database import connect
from controller.adapters.sql.store import open_store
from controller.adapters.sql.upgrade import upgrade_store
from controller.bootstrap.access import access_flags, prepare_access, tokens_at_the_interface, webhook_secret
from controller.bootstrap.stores import opened, share_digest_key, texts_of, upgrade_schema
from controller.cli.app import app
from controller.config.secret_files import SecretFile
from controller.config.settings import Home, Settings
from controller.errors import PermanentError, Source, TransientError, UsageError
from controller.journal.notes import DigestKeyForgotten
from controller.ports.journal import INSTALLATION
from controller.roles import Role
from serving.access.tokens import changing, new_token
from serving.refusals import RefusedError
from tests.postgres_support import PostgresServer


def mounted(folder: Path, content: str, name: str = "secret") -> Path:
    """As Kubernetes mounts a Secret: the file is a link, and what it leads to is replaced in one step."""
    version = folder / f"..{len(list(folder.glob('..*')))}"
    version.mkdir(parents=True)
    (version / name).touch(mode=0o440)
    (version / name).chmod(0o640)
    (version / name).write_text(content)
    (version / name).chmod(0o440)
    link = folder / ".data.new"
    link.symlink_to(version.name)
    link.replace(folder / ".data")
    if not (folder / name).is_symlink():
        (folder / name).symlink_to(f".data/{name}")
    return folder / name


def test_a_secret_that_is_renewed_is_read_anew(tmp_path: Path) -> None:
    secret = SecretFile("a_file", mounted(tmp_path, "one\n"))
    assert (secret.read(), secret.read()) == ("one", "one")
    mounted(tmp_path, "two\n")
    assert secret.read() == "two"
    assert "two" not in repr(secret)


def test_one_that_is_spoilt_while_it_is_used_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is told, once, and what it holds is not."""
    secret = SecretFile("a_file", mounted(tmp_path, "one\n"))
    secret.read()
    mounted(tmp_path, "")
    assert (secret.read(), secret.read()) == ("one", "one")
    assert caplog.text.count("is empty; what was read before stays in force") == 1
    mounted(tmp_path, "three")
    assert secret.read() == "three"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda file: file.unlink(), "cannot be read: No such file"),
        (lambda file: file.write_text(" \n"), "is empty"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "is no text"),
        (lambda file: file.chmod(0o644), "everybody may read it"),
        (lambda file: file.chmod(0o620), "others may write to it"),
        (lambda file: file.write_text("x" * 100_000), "is longer than a secret can be"),
    ],
    ids=["missing", "empty", "binary", "readable", "writable", "long"],
)
def test_one_that_cannot_be_used_is_told_in_a_line(tmp_path: Path, spoil: Callable[[Path], None], told: str) -> None:
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text("hidden")
    spoil(file)
    with pytest.raises(UsageError, match=told) as error:
        SecretFile("a_file", file).read()
    assert str(error.value).startswith(f"a_file {file}: ")
    assert "hidden" not in str(error.value)


# --- the digest key ---------------------------------------------------------------------------------------------------
@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.save(Settings())
    upgrade_schema(place)
    return place


def test_replicas_are_told_the_mounted_key_and_none_is_made(home: Home, tmp_path: Path) -> None:
    settings = replace(home.load(), digest_key_file=str(mounted(tmp_path / "key", "k" * 64)))
    prepare_access(home, settings)
    assert access_flags(home, settings) == ["--digest-key-file", settings.digest_key_file]
    assert not home.digest_key.exists()


def test_controllers_of_one_database_have_one_digest_key(home: Home, tmp_path: Path) -> None:
    """The first one's counts; another is refused by the file's name, and the key is in no message and no table."""
    first, other = (
        replace(home.load(), digest_key_file=str(mounted(tmp_path / letter, letter * 64))) for letter in "ab"
    )
    with opened(home) as store:
        for _ in range(2):
            share_digest_key(home, first, store)
        with pytest.raises(
            PermanentError, match="is not the one with which the digests in this database were made"
        ) as told:
            share_digest_key(home, other, store)
        assert f"digest_key_file {other.digest_key_file}: its key" in str(told.value)
        with store.database.read(Source.STORE) as connection:
            kept = str(connection.execute(text("SELECT * FROM keys")).all())
        assert "a" * 64 not in kept + str(told.value)
        result = CliRunner().invoke(app, ["db", "forget-digest-key", "--reason", "it leaked", "--home", str(home.path)])
        assert result.stdout == "The next controller that starts sets the key.\n"
        share_digest_key(home, other, store)
        last = store.journal.last(INSTALLATION, (DigestKeyForgotten.__name__,))
        assert last is not None
        assert last.entry.payload["reason"] == "it leaked"


def test_texts_are_sealed_with_the_mounted_key(home: Home, tmp_path: Path) -> None:
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    settings = replace(home.load(), capture_text=True, text_key_file=str(mounted(tmp_path / "key", key)))
    prepare_access(home, settings)
    assert not home.text_key.exists()
    texts = texts_of(home, settings)
    assert texts is not None
    kept = texts.kept("where is my order")
    assert kept is not None
    assert "order" not in kept
    assert texts.shown(kept) == "where is my order"


# --- tokens, and the hooks' secret ------------------------------------------------------------------------------------
def test_tokens_of_a_mounted_file_are_let_in_beside_those_of_the_home(home: Home, tmp_path: Path) -> None:
    """The home's own stay: replicas have theirs there."""
    file = tmp_path / "tokens.json"
    entry, token = new_token("ada", datetime.now(UTC), roles=(Role.VIEW,))
    expired, old = new_token("bob", datetime.now(UTC), datetime.now(UTC), roles=(Role.VIEW,))
    with changing(file) as entries:
        entries += [entry, expired]
    settings = replace(home.load(), api_tokens_file=str(file))
    prepare_access(home, settings)
    tokens = tokens_at_the_interface(home, settings)
    assert tokens.entry(token.encode()).name == "ada"
    assert tokens.entry(home.api_token.read_text().strip().encode()).name == "admin"
    with pytest.raises(RefusedError, match="expired"):
        tokens.entry(old.encode())
    with pytest.raises(RefusedError, match="not known"):
        tokens.entry(new_token("eve", datetime.now(UTC))[1].encode())
    with pytest.raises(UsageError, match="nowhere"):
        tokens_at_the_interface(home, replace(settings, api_tokens_file=f"{tmp_path}/nowhere"))


def test_the_hooks_secret_is_read_anew(tmp_path: Path) -> None:
    settings = Settings(webhook_secret_file=str(mounted(tmp_path, "one")))
    secret = webhook_secret(settings)
    assert secret is not None
    assert secret() == b"one"
    mounted(tmp_path, "two")
    assert secret() == b"two"
    with pytest.raises(ValueError, match="webhook_secret and webhook_secret_file: give one of the two"):
        replace(settings, webhook_secret="one")  # noqa: S106 - a test's


# --- what is asked beyond loopback ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"api_listen": "0.0.0.0:8443"}, "api_listen: '0.0.0.0:8443' is asked from other machines: give api_cert_file"),
        ({"api_cert_file": "/c"}, "api_cert_file and api_key_file: a certificate and its key go together"),
        ({"api_listen": "serin:8443", "api_cert_file": "/c", "api_key_file": "/k"}, "is no address to listen at"),
        ({"api_listen": "0.0.0.0:0", "api_cert_file": "/c", "api_key_file": "/k"}, "is no address to listen at"),
        ({"api_drain_s": -1}, "is no number from 0 up"),
        ({"database_url": "postgresql://a", "database_url_file": "/u"}, "give one of the two"),
        ({"database_connections_max": 0}, "is no whole number from 1 up"),
    ],
)
def test_the_interface_listens_beyond_loopback_with_a_certificate_alone(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as error:
        Settings(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


# --- the database's address -------------------------------------------------------------------------------------------
def test_a_job_upgrades_the_database_that_a_file_names(tmp_path: Path) -> None:
    """It has no home; and what a wrong address holds is in no message."""
    file = mounted(tmp_path / "url", f"sqlite:///{tmp_path}/serin.db")
    result = CliRunner().invoke(app, ["db", "upgrade", "--url-file", str(file)])
    assert result.stdout.endswith("It was empty.\n")
    open_store(f"sqlite:///{tmp_path}/serin.db").close()
    for wrong in ("postgresql://serin:hidden@host:port/x", "mysql://serin:hidden@host/x", "hidden"):
        file = mounted(tmp_path / "url", wrong)
        refused = CliRunner().invoke(app, ["db", "upgrade", "--url-file", str(file)]).exception
        assert isinstance(refused, UsageError), refused
        assert "hidden" not in str(refused)


@pytest.mark.integration
def test_a_password_that_is_changed_is_used_by_the_next_connection(postgres: PostgresServer, tmp_path: Path) -> None:
    """And no more connections are opened than the settings allow."""
    with postgres.database() as url:
        upgrade_store(url)
        address = SecretFile("database_url_file", mounted(tmp_path, url))
        database = connect(url, connections_max=2, current=address.read)
        with database.read(Source.STORE) as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        mounted(tmp_path, f"{url}&application_name=renewed")
        with (
            database.read(Source.STORE),
            database.read(Source.STORE) as second,
        ):  # one is of before
            assert second.execute(text("SHOW application_name")).scalar_one() == "renewed"
            with pytest.raises(TransientError, match="did not answer"), database.read(Source.STORE):
                pass
        database.close()
