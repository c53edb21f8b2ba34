"""The registry is asked for all models at once, and whatever it says of one keeps no other waiting."""

from collections import Counter
from collections.abc import Collection, Mapping

import pytest

from controller.core.release import Version
from controller.errors import CandidateRefusedError, PermanentError, TransientError
from controller.loop.candidate_poller import CandidatePoller
from controller.ports.registry import CANDIDATE, CHAMPION, RegisteredVersion
from tests.fakes.clock import FakeClock
from tests.fakes.registry import FakeRegistry

MODELS = [f"model-{number}" for number in range(20)]


class CountingRegistry(FakeRegistry):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def aliases_by_model(self, models: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        self.asked["aliases"] += 1
        return super().aliases_by_model(models)

    def version(self, model: str, version: str) -> RegisteredVersion:
        self.asked["version"] += 1
        return super().version(model, version)


class Artifacts:
    """Says who a version is, by what the registry says; version 13 comes from where nothing is taken from."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    def identify(self, model: str, number: str) -> Version | None:
        if number == "13":
            raise PermanentError(f"{model} version 13 comes from elsewhere")
        return Version(number, self._registry.version(model, "1").source_id)


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory) -> CountingRegistry:
    """With every model registered, and nothing asked yet."""
    found, package = CountingRegistry(), tmp_path_factory.mktemp("package")
    for model in MODELS:
        found.register(package, model, tags={})
    found.asked.clear()
    return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def poller(registry: CountingRegistry, clock: FakeClock) -> CandidatePoller:
    """One that has asked after every model before."""
    made = CandidatePoller(registry, Artifacts(registry), clock)  # type: ignore[arg-type]
    for model in MODELS:
        assert made.candidate(model) is None
    clock.pass_s(2.0)
    registry.asked.clear()
    return made


def test_one_question_is_asked_for_all_models(registry: CountingRegistry, poller: CandidatePoller) -> None:
    """Of hundreds, each asked by itself kept three cores of MLflow busy."""
    registry.aliases_of["model-3"][CANDIDATE] = "1"
    found = {model: poller.candidate(model) for model in MODELS}
    assert registry.asked == {"aliases": 1, "version": 1}
    assert [model for model, version in found.items() if version is not None] == ["model-3"]


def test_it_is_asked_again_when_that_is_due(
    registry: CountingRegistry, poller: CandidatePoller, clock: FakeClock
) -> None:
    poller.candidate("model-3")
    registry.aliases_of["model-3"][CANDIDATE] = "1"
    assert poller.candidate("model-3") is None
    clock.pass_s(2.0)
    assert poller.candidate("model-3") is not None


def test_a_hint_makes_it_sooner(registry: CountingRegistry, poller: CandidatePoller) -> None:
    poller.candidate("model-3")
    registry.aliases_of["model-3"][CANDIDATE] = "1"
    poller.hint()
    assert poller.candidate("model-3") is not None


def test_a_champion_is_no_candidate(registry: CountingRegistry, poller: CandidatePoller) -> None:
    registry.aliases_of["model-3"] |= {CANDIDATE: "1", CHAMPION: "1"}
    assert poller.candidate("model-3") is None
    assert registry.asked["version"] == 0


def test_an_alias_that_moved_on_is_not_answered_by_what_it_was(
    registry: CountingRegistry, poller: CandidatePoller, clock: FakeClock
) -> None:
    registry.aliases_of["model-3"][CANDIDATE] = "1"
    poller.candidate("model-3")
    registry.aliases_of["model-3"][CANDIDATE] = "2"
    clock.pass_s(2.0)
    found = poller.candidate("model-3")
    assert found is not None
    assert found.number == "2"


def test_one_that_is_refused_keeps_no_other_waiting(registry: CountingRegistry, poller: CandidatePoller) -> None:
    registry.aliases_of["model-3"][CANDIDATE] = "13"
    registry.aliases_of["model-4"][CANDIDATE] = "1"
    with pytest.raises(PermanentError):
        poller.candidate("model-3")
    assert poller.candidate("model-4") is not None


def test_one_that_is_refused_is_asked_after_when_that_is_due(
    registry: CountingRegistry, poller: CandidatePoller, clock: FakeClock
) -> None:
    """And not by each turn of each round."""
    artifacts = poller._artifacts
    asked = list[str]()

    class Counted(Artifacts):
        def identify(self, model: str, number: str) -> Version | None:
            asked.append(number)
            return artifacts.identify(model, number)

    poller._artifacts = Counted(registry)  # type: ignore[assignment]
    registry.aliases_of["model-3"][CANDIDATE] = "13"
    for _ in range(5):
        with pytest.raises(CandidateRefusedError) as refused:
            poller.candidate("model-3")
        assert refused.value.version == "13"
    assert asked == ["13"]
    clock.pass_s(2.0)
    with pytest.raises(CandidateRefusedError):
        poller.candidate("model-3")
    assert asked == ["13", "13"]
    registry.aliases_of["model-3"][CANDIDATE] = "1"
    clock.pass_s(2.0)
    assert poller.candidate("model-3") is not None


def test_a_registry_that_does_not_answer_is_asked_less_often(
    registry: CountingRegistry, poller: CandidatePoller, clock: FakeClock
) -> None:
    registry.away = "connection refused"
    with pytest.raises(TransientError):
        registry.aliases("model-3")
    for _ in range(7):
        poller.candidate("model-3")
        clock.pass_s(2.0)
    assert registry.asked["aliases"] == 1
    registry.away = None
    registry.aliases_of["model-3"][CANDIDATE] = "1"
    clock.pass_s(2.0)
    assert poller.candidate("model-3") is not None
