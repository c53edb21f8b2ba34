"""Bearer tokens: made once, kept as digests, found again, expired, revoked, followed while the replica runs."""

import asyncio
import json
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving.access.__main__ import main
from serving.access.clients import Client, bearer_of
from serving.access.tokens import PREFIX, TokenFile, TokenFileError, changing, new_token, read_tokens
from serving.refusals import Refusal, RefusedError

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def made(path: Path, name: str = "alice", *, expires_at: datetime | None = None, unlimited: bool = False) -> str:
    entry, token = new_token(name, NOW, expires_at, unlimited=unlimited)
    with changing(path) as entries:
        entries.append(entry)
    return token


def asked(tokens: TokenFile, token: str) -> Client | Refusal:
    try:
        return asyncio.run(tokens.client(token.encode()))
    except RefusedError as error:
        return error.refusal


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = NOW.timestamp()

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_each_token_leads_to_its_client(path: Path) -> None:
    first, second = made(path, "alice"), made(path, "bob", unlimited=True)
    tokens = TokenFile(path)
    assert asked(tokens, first) == Client("alice")
    assert asked(tokens, second) == Client("bob", unlimited=True)


def test_the_file_holds_no_token_and_is_its_owners_alone(path: Path) -> None:
    token = made(path)
    assert token not in path.read_text()
    assert token.removeprefix(PREFIX).partition("_")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_tokens_are_long_random_and_never_the_same(path: Path) -> None:
    tokens = {new_token("x", NOW)[1] for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {len("serin_") + 12 + 1 + 43}


@pytest.mark.parametrize(
    "change",
    [lambda it: it[:-1] + "!", lambda it: it[:-1], lambda it: it + "a", lambda it: "x" + it, lambda _: "", str.upper],
)
def test_a_token_that_is_not_the_very_one_is_unknown(path: Path, change: Callable[[str], str]) -> None:
    token = made(path)
    assert asked(TokenFile(path), change(token)) is Refusal.UNKNOWN_TOKEN


def test_the_right_id_with_another_secret_is_unknown(path: Path) -> None:
    token = made(path)
    stranger = new_token("mallory", NOW)[1]
    forged = token[: len("serin_") + 13] + stranger[len("serin_") + 13 :]
    assert asked(TokenFile(path), forged) is Refusal.UNKNOWN_TOKEN


def test_a_token_expires(path: Path, clock: Time) -> None:
    token = made(path, expires_at=NOW + timedelta(days=1))
    tokens = TokenFile(path, unix_s=clock)
    assert asked(tokens, token) == Client("alice")
    clock.now_s += 86_400
    assert asked(tokens, token) is Refusal.EXPIRED_TOKEN


def test_a_changed_file_counts_within_a_second_or_so(path: Path, clock: Time) -> None:
    old = made(path)
    tokens = TokenFile(path, monotonic_s=clock)
    new = made(path, "bob")
    with changing(path) as entries:
        del entries[0]
    clock.now_s += 1.1
    assert asked(tokens, new) == Client("bob")
    assert asked(tokens, old) is Refusal.UNKNOWN_TOKEN


def test_a_new_token_counts_at_once(path: Path, clock: Time) -> None:
    """Who has just been given one is not told that it is nobody's: a replica would lose its first samples."""
    made(path)
    tokens = TokenFile(path, monotonic_s=clock)
    assert asked(tokens, made(path, "bob")) == Client("bob")


@pytest.mark.parametrize("damage", ["", "{", '{"tokens": [{"id": 1}]}', '{"token": []}'])
def test_a_damaged_change_locks_nobody_out_and_is_said(
    path: Path, clock: Time, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = made(path)
    tokens = TokenFile(path, monotonic_s=clock)
    path.write_text(damage)
    clock.now_s += 1.1
    assert asked(tokens, token) == Client("alice")
    assert "stay in force" in caplog.text


def test_a_replica_does_not_start_without_its_token_file(path: Path) -> None:
    with pytest.raises(TokenFileError, match=r"python -m serving\.access new"):
        TokenFile(path)


def test_a_damaged_file_is_left_as_it_is(path: Path) -> None:
    path.write_text("{")
    with pytest.raises(TokenFileError):
        made(path)
    assert path.read_text() == "{"


@pytest.mark.parametrize("header", [None, b"", b"Basic abc", b"Bearer", b"Bearer   ", b"serin_abc"])
def test_without_a_bearer_token_no_error_is_named(header: bytes | None) -> None:
    """RFC 6750, 3.1: a challenge without credentials carries no error code."""
    with pytest.raises(RefusedError) as refused:
        bearer_of(header)
    assert refused.value.headers["www-authenticate"] == 'Bearer realm="serin"'
    assert refused.value.refusal is Refusal.NO_TOKEN


@pytest.mark.parametrize("header", [b"Bearer abc", b"bearer abc", b"BEARER  abc "])
def test_the_scheme_is_written_as_one_likes(header: bytes) -> None:
    assert bearer_of(header) == b"abc"


def test_a_huge_credential_is_not_looked_at() -> None:
    with pytest.raises(RefusedError):
        bearer_of(b"Bearer " + b"a" * 10_000)


def test_the_command_makes_lists_and_revokes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "--file", str(path), "--name", "alice", "--expires", "30d"]) == 0
    shown = capsys.readouterr()
    token = shown.out.strip()
    assert asked(TokenFile(path), token) == Client("alice")
    assert token not in shown.err
    (entry,) = read_tokens(path).tokens
    assert entry.expires_at is not None
    assert abs(entry.expires_at.timestamp() - time.time() - 30 * 86_400) < 60

    assert main(["list", "--file", str(path)]) == 0
    listed = capsys.readouterr().out
    assert "alice" in listed
    assert "valid" in listed
    assert json.loads(path.read_text())["tokens"][0]["sha256"] not in listed

    assert main(["revoke", "--file", str(path), "--name", "alice"]) == 0
    assert asked(TokenFile(path), token) is Refusal.UNKNOWN_TOKEN
    assert main(["revoke", "--file", str(path), "--name", "alice"]) == 1, "there is none any more"


def test_tokens_for_the_controller_are_made_without_a_home(path: Path) -> None:
    """For a Secret that is mounted: `api_tokens_file` of the settings."""
    assert main(["new", "--file", str(path), "--name", "ops", "--role", "view", "--role", "labels"]) == 0
    (entry,) = read_tokens(path).tokens
    assert entry.roles == ("view", "labels")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["new", "--name", "a b"], "name 'a b'"),
        (["new", "--name", "a", "--expires", "soon"], "30m, 12h or 90d, or never"),
        (["list"], "python -m serving.access new"),
        (["revoke"], "either --name or --id"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    path: Path, flags: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*flags, "--file", str(path)])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
