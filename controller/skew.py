"""The release of Serin that answers, and the one that asks: told where the two do not understand each other. Standard
library only."""

from functools import cache
from typing import Final

RELEASE_HEADER: Final = "serin-release"  # of every answer of the interface


@cache
def own_release() -> str:
    """The release that this is; "unknown" where Serin was not installed as a package."""
    from importlib import metadata  # here: a rollback at home never needs it

    try:
        return metadata.version("serin")
    except metadata.PackageNotFoundError:
        return "unknown"
