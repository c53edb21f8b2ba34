"""`serin token`: who may ask at the controller's interface, and what."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from controller.cli.asking import asker
from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, Output, OutputOption, writing_home
from controller.cli.output import say, say_json, say_row
from controller.errors import SerinError, UsageError
from controller.roles import Role

if TYPE_CHECKING:
    from serving.access.tokens import Entry

MADE_SCHEMA: Final = "serin.token/v1"
LISTED_SCHEMA: Final = "serin.tokens/v1"
REVOKED_SCHEMA: Final = "serin.revoked/v1"
token_app = typer.Typer(
    help="Tokens for the controller's interface: label sources, pipelines, people.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(token_app, name="token")


@token_app.command()
def create(
    role: Annotated[list[Role], typer.Option("--role", help="What its holder may do; repeat for several.")],
    name: Annotated[
        str, typer.Option("--name", help="Whose it is: recorded as the source of labels, or as the person who asked.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", help="The one model that its holder may start or stop.")
    ] = None,
    expires: Annotated[str, typer.Option("--expires", help="30m, 12h, 90d or never.")] = "90d",
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Make a token and print it, once; a running controller accepts it within a second or two.

    Roles: view reads releases; labels sends labels and asks for requests to label, with their texts; propose starts
    releases; rollback rolls back, aborts and freezes; admin may do all of that, resume and unfreeze.

    Example: serin token create --role labels --name helpdesk
    """
    from controller.bootstrap.access import create_token, revoke_tokens
    from controller.bootstrap.installations import service_of
    from controller.journal.notes import TokenMade

    place = writing_home(home)
    lasts = _age(expires)
    with service_of(place) as service:
        entry, token = create_token(place, name, role, model=model, lasts=lasts)
        ends_at_s = None if entry.expires_at is None else entry.expires_at.timestamp()
        try:
            service.note(TokenMade(entry.id, entry.name, entry.roles, entry.model, ends_at_s, asker()))
        except SerinError:  # one that is not on record lets nobody in
            revoke_tokens(place, name=None, token_id=entry.id)
            raise
    if output is Output.JSON:
        say_json({"schema": MADE_SCHEMA, **_document(entry), "token": token})
        return
    until = "never expires" if entry.expires_at is None else f"expires {entry.expires_at:%Y-%m-%d %H:%M} UTC"
    say(f"token of {entry.name} (id {entry.id}, {', '.join(entry.roles)}, {until}), shown only now:", err=True)
    say(token)


@token_app.command(name="list")
def list_tokens(output: OutputOption = Output.TEXT, home: HomeOption = DEFAULT_HOME_OPTION) -> None:
    """List names, roles, ids and expiry; tokens themselves are not stored.

    Example: serin token list
    """
    from controller.bootstrap.access import tokens_of
    from serving.access.tokens import utc_now

    now, entries = utc_now(), tokens_of(writing_home(home))
    if output is Output.JSON:
        say_json({"schema": LISTED_SCHEMA, "tokens": [_document(entry) for entry in entries]})
        return
    for entry in entries:
        until = "never" if entry.expires_at is None else f"{entry.expires_at:%Y-%m-%dT%H:%MZ}"
        state = "expired" if entry.expires_at is not None and entry.expires_at <= now else "valid"
        of = " ".join(part for part in (entry.model, entry.version) if part is not None)
        say_row(entry.id, entry.name, ",".join(entry.roles), of or "-", f"expires {until}", state)


@token_app.command()
def revoke(
    name: Annotated[str | None, typer.Option("--name", help="All tokens of this name.")] = None,
    token_id: Annotated[str | None, typer.Option("--id", help="The one token of this id.")] = None,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Revoke tokens; a running controller refuses them within a second or two.

    Example: serin token revoke --name helpdesk
    """
    from controller.bootstrap.access import revoke_tokens
    from controller.bootstrap.installations import service_of
    from controller.journal.notes import TokensRevoked

    if (name is None) == (token_id is None):
        raise UsageError("give either --name or --id; `serin token list` shows both")
    place = writing_home(home)
    revoked = revoke_tokens(place, name=name, token_id=token_id)  # first: a store that is away keeps nobody in
    if not revoked:
        raise UsageError(f"there is no token {name or token_id!r}; `serin token list` shows them all")
    if output is Output.JSON:
        say_json({"schema": REVOKED_SCHEMA, "revoked": list(revoked)})
    else:
        say(f"revoked: {len(revoked)}")
    with service_of(place) as service:
        service.note(TokensRevoked(revoked, asker()))


def _document(entry: "Entry") -> dict[str, Any]:
    """Return the token as programs are told of it, without what it is known by."""
    ends_at_s = None if entry.expires_at is None else entry.expires_at.timestamp()
    of = {"model": entry.model, "version": entry.version}
    return {"id": entry.id, "name": entry.name, "roles": list(entry.roles), **of, "expires_at_s": ends_at_s}


def _age(text: str) -> timedelta | None:
    from serving.access.age import parse_age

    try:
        return parse_age(text)
    except ValueError as error:
        raise UsageError(f"--expires {error}") from error
