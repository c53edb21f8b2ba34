"""The end of what a drill asked of the controller, by itself, or by its guard should it die: its freeze, its rehearsal.

    python -m controller.bootstrap.drill_undo HOME MODEL [REASON]

aborts a rehearsal of the model that is under way, and lifts the freeze that was made for this reason, where it is the
only one of the model: what others freeze meanwhile, they lift.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller.bootstrap.installations import service_of
from controller.config.settings import Home
from controller.core.commands import Ask, Freeze
from controller.core.release import Purpose
from controller.label_queue import under_way
from controller.service import Service

BY: Final = "serin drill"
OVER: Final = "the drill is over"
_BEGINS_WITHIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.2


def command_of(home: Home, model: str, reason: str | None) -> list[str]:
    """Return the command that does it; None: the drill froze nothing."""
    return [sys.executable, "-m", __name__, str(home.path), model, *([reason] if reason is not None else [])]


def lifted(service: Service, model: str, reason: str) -> bool:
    """Lift the freeze that was made for this reason; False where it is not the only one of the model."""
    return is_alone(service.frozen(), model, reason) and service.unfreeze(model, reason=OVER, by=BY)


def is_alone(freezes: Sequence[Freeze], model: str, reason: str) -> bool:
    """Return whether the model is frozen for this reason, and for no other: lifting names a model, not a freeze."""
    reasons = {freeze.reason for freeze in freezes if freeze.model == model}
    return reasons == {reason}


def aborted(service: Service, model: str) -> bool:
    """Ask that the rehearsal of the model ends that is under way, or that is asked for and begins in a moment; False
    where there is none. One that begins later than that comes to no user either, and ends by itself."""
    until_s = time.monotonic() + _BEGINS_WITHIN_S
    while not any(release.purpose is Purpose.REHEARSE for release in under_way(service.journal, model)):
        asked = any(one.ask is Ask.REHEARSE and one.model == model for one in service.inbox.waiting())
        if not asked or time.monotonic() > until_s:
            return False
        time.sleep(_LOOK_EVERY_S)
    service.abort(model, reason=OVER, by=BY)
    return True


def main() -> int:
    home, model, *reason = sys.argv[1:]
    with service_of(Home(Path(home))) as service:
        aborted(service, model)
        for one in reason:
            lifted(service, model, one)
    return 0


if __name__ == "__main__":
    sys.exit(main())
