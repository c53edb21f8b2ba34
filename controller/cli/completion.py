"""The models and releases of the home that a shell is in, for its completion. What cannot be read is none."""

import os
from contextlib import suppress
from pathlib import Path

from controller.config.settings import Home
from controller.config.variables import DEFAULT_HOME, HOME_VARIABLE
from controller.errors import SerinError


def _home() -> Home:
    return Home(Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).resolve())


def models(incomplete: str) -> list[str]:
    """Those that have a policy here, by the names of its files."""
    return [name for path in _home().policy_files if (name := path.stem).startswith(incomplete)]


def releases(incomplete: str) -> list[str]:
    """The latest hundred here."""
    from controller.bootstrap.installations import service_of

    with suppress(SerinError, OSError), service_of(_home()) as service:
        found = [one.release_id for one in service.releases()]
        return [name for name in found if name.startswith(incomplete)]
    return []
