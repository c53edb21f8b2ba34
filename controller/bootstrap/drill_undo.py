"""The freeze of a drill, which it lifts itself, or its guard should it die.

    python -m controller.bootstrap.drill_freeze HOME MODEL REASON

lifts it where it is the only freeze of the model: what others freeze meanwhile, they lift.
"""

import sys
from pathlib import Path
from typing import Final

from controller.bootstrap.installations import service_of
from controller.config.settings import Home
from controller.service import Service

_BY: Final = "serin drill"


def command_of(home: Home, model: str, reason: str) -> list[str]:
    """Return the command that lifts the freeze."""
    return [sys.executable, "-m", __name__, str(home.path), model, reason]


def lifted(service: Service, model: str, reason: str) -> bool:
    """Lift the freeze that was made for this reason; False where it is not the only one of the model."""
    own = [freeze for freeze in service.frozen() if freeze.model == model]
    if not own or any(freeze.reason != reason for freeze in own):
        return False
    return service.unfreeze(model, reason="the drill is over", by=_BY)


def main() -> int:
    home, model, reason = sys.argv[1:]
    with service_of(Home(Path(home))) as service:
        lifted(service, model, reason)
    return 0


if __name__ == "__main__":
    sys.exit(main())
