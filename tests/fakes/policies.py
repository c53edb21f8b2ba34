"""Policies in memory."""

from collections.abc import Mapping

from controller.core.policy import ReleasePolicy
from controller.errors import Source, TransientError
from controller.ports.policies import NotFollowed


class FakePolicySource:
    """``away``: it does not answer."""

    def __init__(self) -> None:
        self.away = False
        self._documents: dict[str, ReleasePolicy | NotFollowed] = {}

    def put(self, name: str, document: ReleasePolicy | NotFollowed) -> None:
        self._documents = {**self._documents, name: document}

    def drop(self, name: str) -> None:
        self._documents = {other: document for other, document in self._documents.items() if other != name}

    def documents(self) -> Mapping[str, ReleasePolicy | NotFollowed]:
        if self.away:
            raise TransientError(Source.POLICIES, "nobody answers")
        return self._documents
