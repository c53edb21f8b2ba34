"""The end of what a drill asked of a controller elsewhere, by itself, or by its guard should it die: its freeze.

    python -m controller.bootstrap.drill_undo_afar JSON

Where the controller does not answer, it is asked again for most of a minute; after that the freeze ends by
itself, later.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controller.bootstrap.drill_undo import BY, OVER, is_alone
from controller.bootstrap.installations import elsewhere
from controller.errors import TransientError
from controller.service import Installation

WITHIN_S: Final = 50.0  # the guard waits for a minute
_AGAIN_S: Final = 1.0


def command_of(url: str, token_file: Path | None, ca_file: Path | None, model: str, reason: str) -> list[str]:
    """Return the command that does it."""
    files = {"token_file": token_file, "ca_file": ca_file}
    given = {name: None if file is None else str(file.resolve()) for name, file in files.items()}
    order = {"url": url, **given, "model": model, "reason": reason}
    return [sys.executable, "-m", __name__, json.dumps(order)]


def lifted(
    installation: Installation,
    model: str,
    reason: str,
    *,
    within_s: float = WITHIN_S,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Lift the freeze that was made for this reason; False where it is not the only one of the model.

    Raises:
        TransientError: the controller did not answer in that time.
    """
    until_s = time.monotonic() + within_s
    while True:
        try:
            frozen = installation.overview(model).freezes
            return is_alone(frozen, model, reason) and installation.unfreeze(model, reason=OVER, by=BY)
        except TransientError:
            if time.monotonic() + _AGAIN_S > until_s:
                raise
        sleep(_AGAIN_S)


def main() -> int:
    order = json.loads(sys.argv[1])
    token_file, ca_file = (Path(order[name]) if order[name] else None for name in ("token_file", "ca_file"))
    lifted(elsewhere(order["url"], token_file=token_file, ca_file=ca_file), order["model"], order["reason"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
