"""`serin token`: made once, shown once, listed and revoked by whoever has the home."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.bootstrap.access import prepare_access
from controller.bootstrap.stores import opened, upgrade_schema
from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.errors import UsageError
from controller.journal.codec import note_of
from controller.journal.notes import TokenMade, TokensRevoked
from controller.ports.journal import INSTALLATION
from serving.access.tokens import TokenFile, read_tokens
from serving.refusals import RefusedError


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.save(Settings())
    prepare_access(place, Settings())
    upgrade_schema(place)
    return place


def serin(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["token", *arguments, "--home", str(home.path)])


def test_a_token_is_shown_once_and_kept_as_a_digest(home: Home) -> None:
    """What is printed lets its holder in under its name and roles, and stands nowhere."""
    result = serin(home, "create", "--role", "labels", "--role", "view", "--name", "helpdesk", "--expires", "12h")
    token = result.stdout.strip()
    entry = TokenFile(home.api_tokens).entry(token.encode())
    assert (entry.name, entry.roles) == ("helpdesk", ("labels", "view"))
    assert entry.expires_at is not None
    assert (entry.expires_at - entry.created_at).total_seconds() == 12 * 3600
    assert token not in home.api_tokens.read_text()
    assert "helpdesk" in result.stderr
    assert token not in result.stderr


def secret_of(token: str) -> str:
    """Its last part, which may hold the sign between the parts."""
    return token.split("_", 2)[2]


def test_tokens_are_listed_with_what_they_may(home: Home) -> None:
    """Never themselves."""
    token = serin(home, "create", "--role", "propose", "--name", "ci", "--model", "intent").stdout.strip()
    rows = [line.split("\t")[1:4] for line in serin(home, "list").stdout.splitlines()]
    assert rows == [["admin", "admin", "-"], ["serin-prometheus", "view", "-"], ["ci", "propose", "intent"]]
    assert secret_of(token) not in serin(home, "list").stdout


def test_who_was_let_in_and_out_stands_in_the_journal(home: Home) -> None:
    """Its chain is checked as it is read; the token itself stands nowhere."""
    token = serin(home, "create", "--role", "labels", "--name", "helpdesk", "--expires", "never").stdout.strip()
    token_id = token.split("_")[1]
    serin(home, "revoke", "--name", "helpdesk")
    with opened(home) as store:
        made, revoked = (note_of(entry) for entry in store.journal.stream_page(INSTALLATION, after=0, limit=10))
    assert isinstance(made, TokenMade)
    assert (made.token_id, made.name, made.roles, made.expires_at_s) == (token_id, "helpdesk", ("labels",), None)
    assert isinstance(revoked, TokensRevoked)
    assert (revoked.token_ids, revoked.by) == ((token_id,), made.by)
    assert secret_of(token) not in (home.path / "serin.db").read_bytes().decode("latin-1")


@pytest.mark.parametrize("by", ["--name", "--id"])
def test_a_revoked_token_lets_nobody_in(home: Home, by: str) -> None:
    """And the others stay."""
    token = serin(home, "create", "--role", "labels", "--name", "helpdesk").stdout.strip()
    other = serin(home, "create", "--role", "view", "--name", "board").stdout.strip()
    chosen = "helpdesk" if by == "--name" else token.split("_")[1]
    assert serin(home, "revoke", by, chosen).stdout == "revoked: 1\n"
    tokens = TokenFile(home.api_tokens)
    with pytest.raises(RefusedError, match="not known"):
        tokens.entry(token.encode())
    assert tokens.entry(other.encode()).name == "board"
    assert "there is no token" in str(serin(home, "revoke", by, chosen).exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--role", "view", "--name", "admin"), "Serin uses this name itself"),
        (("create", "--role", "view", "--name", "replica"), "Serin uses this name itself"),
        (("create", "--role", "view", "--name", "a\nb"), "letters, digits"),
        (("create", "--role", "view", "--name", "a", "--expires", "soon"), "30m, 12h or 90d"),
        (("create", "--role", "labels", "--name", "a", "--model", "intent"), "cannot be bound"),
        (("create", "--role", "propose", "--name", "a", "--model", "../x"), "cannot name a model"),
        (("revoke",), "either --name or --id"),
        (("revoke", "--name", "a", "--id", "b"), "either --name or --id"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(home: Home, arguments: tuple[str, ...], said: str) -> None:
    """By the option, with the way out."""
    before = read_tokens(home.api_tokens)
    result = serin(home, *arguments)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
    assert read_tokens(home.api_tokens) == before


def test_no_replicas_token_is_made_by_hand(home: Home) -> None:
    """Predictions come from what made them."""
    before = read_tokens(home.api_tokens).tokens
    result = serin(home, "create", "--role", "replica", "--name", "x")
    assert result.exit_code == 2
    assert read_tokens(home.api_tokens).tokens == before


def test_where_no_serin_lives_no_token_is_made(tmp_path: Path) -> None:
    """A slip in --home must not look like a token that works."""
    result = serin(Home(tmp_path / "nowhere"), "create", "--role", "view", "--name", "a")
    assert "no Serin lives here" in str(result.exception)
    assert not (tmp_path / "nowhere").exists()
