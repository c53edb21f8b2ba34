"""What every source of policies must do."""

from abc import abstractmethod
from typing import Protocol

from controller.core.policy import ReleasePolicy
from controller.ports.policies import NotFollowed, PolicySource


class PolicyPlace(Protocol):
    """Where policies are kept, and somebody who changes them."""

    @property
    def source(self) -> PolicySource: ...

    @abstractmethod
    def write(self, name: str, model: str, *, probation_s: float = 3_600.0) -> str:
        """Keep a policy under the name, in place of another; return what the source calls it."""

    @abstractmethod
    def spoil(self, name: str) -> None:
        """Put something there that is no policy."""

    @abstractmethod
    def remove(self, name: str) -> None: ...


class PolicySourceContract:
    def test_every_document_is_told_by_its_name(self, place: PolicyPlace) -> None:
        intent, tone = place.write("intent", "intent", probation_s=60.0), place.write("tone", "tone")
        found = place.source.documents()
        assert {name: policy.model for name, policy in found.items() if isinstance(policy, ReleasePolicy)} == {
            intent: "intent",
            tone: "tone",
        }
        policy = found[intent]
        assert isinstance(policy, ReleasePolicy)
        assert policy.probation_s == 60.0

    def test_a_change_is_told_and_what_has_not_changed_is_the_same_object(self, place: PolicyPlace) -> None:
        """So that whoever asks at each round has nothing to compare."""
        name = place.write("intent", "intent", probation_s=60.0)
        before = place.source.documents()
        assert place.source.documents() is before
        place.write("intent", "intent", probation_s=77.0)
        after = place.source.documents()[name]
        assert isinstance(after, ReleasePolicy)
        assert after.probation_s == 77.0
        place.remove("intent")
        assert place.source.documents() == {}

    def test_what_is_no_policy_is_told_with_the_reason_and_hides_no_other(self, place: PolicyPlace) -> None:
        """Also where one stood there before: whoever asks keeps that one."""
        intent, tone = place.write("intent", "intent"), place.write("tone", "tone")
        place.source.documents()
        place.spoil("intent")
        found = place.source.documents()
        broken = found[intent]
        assert isinstance(broken, NotFollowed)
        assert broken.why
        assert "\n" not in broken.why
        assert isinstance(found[tone], ReleasePolicy)

    def test_without_any_there_are_none(self, place: PolicyPlace) -> None:
        assert place.source.documents() == {}
