"""How long tests wait for what must come, on a machine however busy and slow.

Nothing may come sooner for it: what is there at once is seen at once. Whether something is quick is a question for the
benchmarks; a test says what happens, and fails after this long if it does not.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

PATIENCE_S: Final = 300.0


def eventually(condition: Callable[[], Any], *, what: str, within_s: float = PATIENCE_S) -> Any:
    """What the condition gave once it held; fails with what was waited for where it does not in time."""
    within_s = max(within_s, PATIENCE_S)
    deadline_s, pause = time.monotonic() + within_s, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"waited {within_s:g} s for: {what}"
        pause.wait(0.02)
    return found
