"""The policies of models, wherever they are kept: in files, or as objects of a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.core.policy import ReleasePolicy


@dataclass(frozen=True, slots=True)
class NotFollowed:
    """A document that is not followed as a policy. ``why``: one sentence that names the document."""

    why: str


class PolicySource(Protocol):
    """One place where policies are kept. It is asked in each round, from any thread, so it must answer at once, from
    what it already knows."""

    def documents(self) -> Mapping[str, ReleasePolicy | NotFollowed]:
        """Return all current documents, by a name by which people find them.

        If nothing has changed, the result is the same object as before. A document that cannot be read for a moment,
        because it is being replaced, stays as it was.

        Raises:
            TransientError: the source does not answer; its last answer stays in force.
        """
