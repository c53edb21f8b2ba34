"""The current policies, one for each model, from all their sources."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from threading import Lock

from controller.core.policy import ReleasePolicy, WhileStableRestarts
from controller.errors import TransientError, UsageError
from controller.loop.retention import check_kept
from controller.naming import check_distinct
from controller.ports.policies import NotFollowed, PolicySource

log = logging.getLogger(__name__)

LabelNames = Mapping[str, Mapping[str, str]]  # model -> a source's name for a class -> the class
_Documents = Mapping[str, ReleasePolicy | NotFollowed]


class CurrentPolicies:
    """The current policies. If a document cannot be read or breaks a rule, its model keeps the policy that it had, and
    other models are not affected. A model whose document is gone has no policy. Of two documents for one model, that of
    the earlier source counts, and within a source the one that is named after the model. Any thread may call."""

    def __init__(self, sources: Sequence[PolicySource], samples_kept_days: float) -> None:
        self._sources = sources
        self._kept_days = samples_kept_days
        self._lock = Lock()
        self._found: list[_Documents] = [{} for _ in sources]
        self._followed: list[dict[str, ReleasePolicy]] = [{} for _ in sources]  # by document
        self._broken: list[dict[str, str]] = [{} for _ in sources]
        self.faults: Mapping[str, str] = {}
        """The reasons why documents are not followed, by document."""
        self._current: Mapping[str, ReleasePolicy] = {}

    def __call__(self) -> Mapping[str, ReleasePolicy]:
        """Read the sources, and return the policies by model."""
        with self._lock:
            changed = [self._read(place, source) for place, source in enumerate(self._sources)]
            if any(changed):
                self._settle()
            return self._current

    def label_names(self) -> LabelNames:
        """Return the policies' ``label_names``, by model."""
        return {model: policy.label_names for model, policy in self().items()}

    def label_names_of(self, model: str) -> Mapping[str, str]:
        """Return the ``label_names`` of one model as last read, without reading the sources."""
        policy = self._current.get(model)
        return policy.label_names if policy is not None else {}

    def falls_back(self, model: str) -> bool:
        """Return whether the model's known good version answers while the serving version does not, by the policy as
        last read."""
        policy = self._current.get(model)
        return policy is None or policy.while_stable_restarts is WhileStableRestarts.FALLBACK

    def _read(self, place: int, source: PolicySource) -> bool:
        """Read the source, and return whether anything in it has changed."""
        try:
            found = source.documents()
        except TransientError as error:
            log.warning("policies stay as they were: %s", error)
            return False
        if found is self._found[place]:
            return False
        before, self._found[place] = self._followed[place], found
        checked = {name: self._checked(document) for name, document in found.items()}
        self._broken[place] = {name: one.why for name, one in checked.items() if isinstance(one, NotFollowed)}
        self._followed[place] = {
            name: policy
            for name, one in checked.items()
            if (policy := before.get(name) if isinstance(one, NotFollowed) else one) is not None
        }
        return True

    def _checked(self, document: ReleasePolicy | NotFollowed) -> ReleasePolicy | NotFollowed:
        if isinstance(document, ReleasePolicy):
            try:
                check_kept(self._kept_days, [document])
            except UsageError as error:
                return NotFollowed(str(error))
        return document

    def _settle(self) -> None:
        current: dict[str, ReleasePolicy] = {}
        faults = {name: why for broken in self._broken for name, why in broken.items()}
        for name, policy in self._in_order():
            if policy.model in current:
                faults[name] = f"{name}: there is another policy for model {policy.model!r}"
                continue
            try:
                check_distinct(policy.model, current)
            except UsageError as error:
                faults[name] = str(error)
            else:
                current[policy.model] = policy
        for name in faults.keys() - self.faults.keys():
            log.warning("policy %s is not followed: %s", name, faults[name])
        for model in current.keys() - self._current.keys():
            log.info("model %s has a policy", model)
        for model in self._current.keys() - current.keys():
            log.info("model %s has no policy any more: what is under way goes on, but no new release begins", model)
        self._current, self.faults = current, faults

    def _in_order(self) -> Iterator[tuple[str, ReleasePolicy]]:
        """Yield the documents by source; within a source, those named after their model come first, so that a copy
        ("intent (copy).yaml") does not replace its original."""
        for followed in self._followed:
            yield from sorted(followed.items(), key=lambda of: (PurePath(of[0]).stem != of[1].model, of[0]))
