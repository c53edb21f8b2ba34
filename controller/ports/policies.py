"""The policies of models, wherever they are kept: in files, or as objects of a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.core.policy import ReleasePolicy


@dataclass(frozen=True, slots=True)
class NotFollowed:
    """A document that is no policy to be followed, and why, in one sentence that names it."""

    why: str


class PolicySource(Protocol):
    """One place where policies are kept. It is asked at each round, from any thread, so it answers at once: whatever
    has to be waited for is known from before."""

    def documents(self) -> Mapping[str, ReleasePolicy | NotFollowed]:
        """Return every document that there is now, by a name that people find it by.

        The very same object as before where nothing has changed. A document that cannot be read for a moment (it is
        just being replaced) stays as it was.

        Raises:
            TransientError: the source does not answer; what it said before holds until it does.
        """
