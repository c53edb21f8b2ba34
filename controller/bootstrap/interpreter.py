"""The Python interpreter of a process that drives hundreds of models."""

import gc
from typing import Final

_NEW_OBJECTS: Final = 20_000  # between two searches for garbage among what is new
_SEARCHES: Final = 20  # of one generation, to one of the next


def suit() -> None:
    """Search for cyclic garbage less often. Releases are trees of thousands of small values that live from look to
    look; the usual 700 new ones, after which Python searches, are a tenth of one look, and took a sixth of its time."""
    gc.set_threshold(_NEW_OBJECTS, _SEARCHES, _SEARCHES)
