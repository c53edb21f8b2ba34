"""What label sources call classes, by the policies of a home as they stand: read again once a file has changed."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from controller.bootstrap.stores import policies_of
from controller.config.settings import Home
from controller.errors import SerinError

log = logging.getLogger(__name__)

Names = Mapping[str, Mapping[str, str]]  # by model: a source's name, the class


def label_names_of(home: Home) -> Names:
    """Of every policy of the home. Raises UsageError where one is invalid."""
    return {model: policy.label_names for model, policy in policies_of(home).items()}


class CurrentLabelNames:
    """The names of today. A policy that became invalid changes nothing until it is mended."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._seen = self._state()
        self._names = label_names_of(home)

    def __call__(self) -> Names:
        state = self._state()
        if state != self._seen:
            self._seen = state
            try:
                self._names = label_names_of(self._home)
            except SerinError as error:
                log.warning("label_names stay as they were: %s", error)
        return self._names

    def of(self, model: str) -> Mapping[str, str]:
        return self().get(model, {})

    def _state(self) -> Mapping[Path, tuple[int, int]]:
        found: dict[Path, tuple[int, int]] = {}
        for path in sorted(self._home.policies.glob("*.yaml")):
            with suppress(OSError):  # it is being replaced: the next call finds it
                stat = path.stat()
                found[path] = (stat.st_mtime_ns, stat.st_size)
        return found
