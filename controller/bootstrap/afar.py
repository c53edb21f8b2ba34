"""The way to the interface of an installation elsewhere. Standard library only, for what is asked on call."""

import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from controller.adapters.remote.wire import DEADLINE_S, Address, Wire
from controller.config.secret_files import SecretFile, one_line
from controller.errors import Source, TransientError, UsageError
from controller.naming import model_named

_ROLLED_BACK_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.1


def wire_to(url: str, *, token_file: Path | None, ca_file: Path | None, deadline_s: float = DEADLINE_S) -> Wire:
    """Return how the interface at the address is asked.

    Raises:
        UsageError: it is no address, or the file of the token cannot be used.
    """
    token = None if token_file is None else SecretFile("--token-file", token_file)
    if token is not None:
        one_line("--token-file", token.path, token.read())
    return Wire(Address(url, None if token is None else token.read, ca_file, deadline_s))


def rolled_back_by(url: str, model: str, *, reason: str, by: str, token_file: Path | None, ca_file: Path | None) -> str:
    """Have the controller at the address send all of the model's traffic to its known good version, and return that.

    Raises:
        UsageError: as `wire_to`; or it is refused, and why.
        TransientError: nobody answers, or it is not done yet.
    """
    wire = wire_to(url, token_file=token_file, ca_file=ca_file)
    place = f"/v1/models/{quote(model_named(model), safe='')}/rollback"
    asked = wire.document("POST", place, {"reason": reason, "by": by})
    give_up_at_s = time.monotonic() + _ROLLED_BACK_WITHIN_S
    while time.monotonic() < give_up_at_s:
        standing = wire.document("GET", f"/v1/commands/{asked['command']}")
        if standing["outcome"] is not None:
            raise UsageError(f"{model}: not rolled back: {standing['outcome']}")
        if not standing["waits"]:
            found = wire.document("GET", "/v1/status", model=model)
            weights = found["traffic"].get(model, {}).get("weights_pct", {})
            if len(weights) == 1:
                return str(next(iter(weights)))
        time.sleep(_POLL_S)
    raise TransientError(
        Source.CONTROLLER,
        f"{url} accepted the rollback of {model}, but has not moved its traffic after "
        f"{_ROLLED_BACK_WITHIN_S:g} s: see `serin status`, or roll back at its home",
    )
