"""``python -m serving.access``: make, list and revoke the tokens of a token file.

Exit status: 0 done, 1 there is no such token, 2 usage or a damaged file.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from serving.access.age import parse_age
from serving.access.tokens import TokenFileError, changing, new_token, read_tokens, utc_now
from serving.text.printable import one_line
from serving.text.streams import take_any_text


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(prog="python -m serving.access", description="Bearer tokens, as digests in a file.")
    commands = flags.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="make a token and print it, once")
    new.add_argument("--name", required=True, help="the client's name, as the access log will show it")
    new.add_argument("--expires", type=_age, default="90d", help="30m, 12h, 90d or never (default: %(default)s)")
    new.add_argument("--unlimited", action="store_true", help="limits per client do not apply to it")
    new.add_argument("--role", action="append", default=[], help="what its holder may do at the controller; repeatable")
    new.add_argument(
        "--of-any-replica", action="store_true", help="for the Secret that all replicas of a cluster mount"
    )
    listing = commands.add_parser("list", help="show names, ids and expiry, never tokens")
    revoke = commands.add_parser("revoke", help="revoke tokens; running replicas follow within a second or two")
    revoke.add_argument("--name", help="all tokens of this client")
    revoke.add_argument("--id", help="the one token of this id")
    for command in (new, listing, revoke):
        command.add_argument("--file", type=Path, required=True, help="token file")
    return flags


def _age(value: str) -> timedelta | None:
    try:
        return parse_age(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    take_any_text()
    flags = parser()
    arguments = flags.parse_args(argv)
    try:
        match arguments.command:
            case "new":
                return _new(arguments)
            case "list":
                return _list(arguments.file)
            case _:
                if (arguments.name is None) == (arguments.id is None):
                    flags.error("revoke: give either --name or --id")
                return _revoke(arguments)
    except (TokenFileError, ValueError, OSError) as error:
        flags.error(str(error))


def _new(arguments: argparse.Namespace) -> int:
    now = utc_now()
    expires_at = None if arguments.expires is None else now + arguments.expires
    roles = tuple(arguments.role)
    entry, token = new_token(arguments.name, now, expires_at, unlimited=arguments.unlimited, roles=roles)
    with changing(arguments.file) as entries:
        entries.append(entry)
    until = "never expires" if expires_at is None else f"expires {expires_at:%Y-%m-%d %H:%M} UTC"
    print(one_line(f"token of {entry.name} (id {entry.id}, {until}), shown only now:"), file=sys.stderr)
    print(token)
    return 0


def _list(file: Path) -> int:
    now = utc_now()
    for entry in read_tokens(file).tokens:
        until = "never" if entry.expires_at is None else f"{entry.expires_at:%Y-%m-%dT%H:%MZ}"
        state = "expired" if entry.expires_at is not None and entry.expires_at <= now else "valid"
        unlimited = "  unlimited" if entry.unlimited else ""
        print(one_line(f"{entry.id}  {entry.name}  expires {until}  {state}{unlimited}"))
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    read_tokens(arguments.file)  # a file that is not there is an error, not an empty one
    with changing(arguments.file) as entries:
        kept = [entry for entry in entries if arguments.name != entry.name and arguments.id != entry.id]
        revoked = len(entries) - len(kept)
        entries[:] = kept
    print(one_line(f"revoked: {revoked}"))
    return 0 if revoked else 1


if __name__ == "__main__":
    sys.exit(main())
