"""`serin abort`, told to a controller that runs: standard library only, so that it is there before other commands have
finished importing. Whatever is out of the ordinary is left to the command itself, which asks the store."""

import argparse
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import quote

from controller.adapters.local.loopback import post_json
from controller.cli.asking import asker, given_reason
from controller.cli.output import say
from controller.config.settings import Home
from controller.config.variables import DEFAULT_HOME, HOME_VARIABLE, SERVER_VARIABLE
from controller.errors import SerinError

_ANSWER_WITHIN_S: Final = 1.0
_ACCEPTED: Final = 202


class _UnusualError(Exception):
    """The arguments are not those of an ordinary abort."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UnusualError(message)


def unless_told(arguments: Sequence[str]) -> Sequence[str] | None:
    """Tell the running controller to abort. Return None where it has said that it took it in, else the arguments for
    the command itself: it asks by the same id, so that what was taken in all the same is asked once."""
    flags = _Parser(add_help=False, allow_abbrev=False)
    flags.add_argument("model")
    flags.add_argument("--reason", required=True)
    flags.add_argument("--by", default="")
    flags.add_argument("--id", default=secrets.token_hex(16))
    flags.add_argument("--home", type=Path)
    try:
        chosen = flags.parse_args(arguments)
    except _UnusualError:
        return arguments
    if os.environ.get(SERVER_VARIABLE) and chosen.home is None:
        return arguments
    try:
        home = Home((chosen.home or Path(os.environ.get(HOME_VARIABLE, DEFAULT_HOME))).resolve())
        url = f"{home.load().api}/v1/models/{quote(chosen.model, safe='')}/abort"
        token = home.api_token.read_text(encoding="ascii").strip()
        body = json.dumps({"reason": given_reason(chosen.reason), "by": chosen.by or asker(), "id": chosen.id})
        status, answer = post_json(url, body, token=token, timeout_s=_ANSWER_WITHIN_S)
    except (SerinError, OSError, UnicodeError):
        return ["--id", chosen.id, *arguments]
    if status != _ACCEPTED:
        return ["--id", chosen.id, *arguments]
    foreseen = _foreseen(answer)
    say(
        f"{chosen.model}: {foreseen}"
        if foreseen
        else f"{chosen.model}: abort asked for; the controller takes it up now."
    )
    return None


def _foreseen(answer: bytes) -> str:
    """Return what the controller says that will come of it; empty where it does not say."""
    try:
        return str(json.loads(answer)["foreseen"])
    except (ValueError, KeyError, TypeError):
        return ""
