"""`serin abort`, told to a controller that runs: standard library only, so that it is there before other commands have
finished importing. Whatever is out of the ordinary is left to the command itself, which asks the store."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import quote

from controller.adapters.local.loopback import post_json
from controller.cli.asking import asker, given_reason
from controller.cli.output import say
from controller.config.settings import DEFAULT_HOME, HOME_VARIABLE, Home
from controller.errors import SerinError

_ANSWER_WITHIN_S: Final = 1.0
_ACCEPTED: Final = 202


class _UnusualError(Exception):
    """The arguments are not those of an ordinary abort."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UnusualError(message)


def is_told(arguments: Sequence[str]) -> bool:
    """Tell the running controller to abort, and return whether it has taken it in."""
    flags = _Parser(add_help=False, allow_abbrev=False)
    flags.add_argument("model")
    flags.add_argument("--reason", required=True)
    flags.add_argument("--by", default="")
    flags.add_argument("--home", type=Path, default=Path(os.environ.get(HOME_VARIABLE, DEFAULT_HOME)))
    try:
        chosen = flags.parse_args(arguments)
        home = Home(chosen.home.resolve())
        url = f"{home.load().api}/v1/models/{quote(chosen.model, safe='')}/abort"
        token = home.api_token.read_text(encoding="ascii").strip()
        body = json.dumps({"reason": given_reason(chosen.reason), "by": chosen.by or asker()})
        status = post_json(url, body, token=token, timeout_s=_ANSWER_WITHIN_S)
    except (_UnusualError, SerinError, OSError, UnicodeError):
        return False
    if status == _ACCEPTED:
        say(f"{chosen.model}: abort asked for; the controller takes it up now.")
    return status == _ACCEPTED
