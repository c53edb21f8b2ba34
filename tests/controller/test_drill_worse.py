"""Versions that are worse on purpose: how they are made, which gate has to find them, and how their rehearsal ends."""

import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from controller.bootstrap.drill_packages import exchanged, surer
from controller.bootstrap.drill_undo import aborted, command_of
from controller.bootstrap.drill_worse import DRILL_TAG, WorseVersion
from controller.bootstrap.installations import service_of
from controller.config.settings import Home
from controller.core.commands import Ask
from controller.core.drills import Mode
from controller.core.events import TrafficConfirmed
from controller.core.release import Phase, Purpose
from controller.errors import UsageError
from controller.ports.registry import FINGERPRINT_TAG, RegisteredVersion
from controller.service import Service
from gates.outcome import Outcome
from serving.contract import Traffic
from serving.package.artifact import MANIFEST_FILE, Manifest, read_manifest, verify
from serving.packaging.build import build_package
from serving.packaging.temper import answers
from tests.controller.drill_support import begins, installed
from tests.fakes.registry import FakeRegistry

CHECKPOINT = Path(__file__).parents[1] / "serving/data/tiny"
TEXTS = ("where is my order", "i want my money back", "hello")
ASKED = {Traffic.LIVE: 0.0, Traffic.SHADOW: 150.0}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    build_package(CHECKPOINT, tmp_path / "package")
    return tmp_path / "package"


def written(package: Path, manifest: Manifest) -> None:
    (package / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    verify(package)


def test_classes_change_places_and_every_digest_is_right(package: Path) -> None:
    """The same numbers under other names: what an update with another order of its classes does."""
    before, numbers = read_manifest(package)[0].labels, answers(package, TEXTS)
    manifest, how = exchanged(package)
    written(package, manifest)
    assert (sorted(manifest.labels), manifest.labels != before) == (sorted(before), True)
    assert np.array_equal(answers(package, TEXTS), numbers)
    assert before[0] in how


def test_logits_are_multiplied_and_no_class_changes(package: Path) -> None:
    numbers = answers(package, TEXTS)
    manifest, _ = surer(package)
    written(package, manifest)
    surest = answers(package, TEXTS)
    assert (surest.argmax(axis=1) == numbers.argmax(axis=1)).all()
    assert (surest.max(axis=1) > numbers.max(axis=1)).all()


@dataclass
class Ground:
    """A drill of a worse version at a home, and what was registered."""

    home: Home
    worse: WorseVersion
    registry: FakeRegistry
    had: Mapping[str, float] | None = field(default_factory=lambda: ASKED)

    def asked(self) -> list[Ask]:
        return [one.ask for one in self.worse.service.inbox.waiting()]  # type: ignore[attr-defined]

    def commands(self) -> list[str]:
        return [one.id for one in self.worse.service.inbox.waiting()]  # type: ignore[attr-defined]

    def outcomes(self) -> list[Outcome]:
        return [check.outcome for check in self.worse.checks()]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with service_of(installed(tmp_path)) as found:
        yield found


@pytest.fixture
def ground(tmp_path: Path, package: Path, service: Service) -> Ground:
    home = Home(tmp_path / "home")
    found: Ground
    registry = Shelf()
    for _ in range(6):  # its version is 7
        registry.register(package, "intent", tags={})
    worse = WorseVersion(Mode.F2, "intent", package, home.drill, service, registry, lambda _: found.had, "ana")
    found = Ground(home, worse, registry)
    return found


class Shelf(FakeRegistry):
    """Takes in what is a package alone."""

    def register(
        self, package_dir: Path, model: str, *, tags: Mapping[str, str], run: str | None = None
    ) -> RegisteredVersion:
        verify(package_dir)
        return super().register(package_dir, model, tags=tags, run=run)


def ended(ground: Ground, *blamed: str) -> None:
    begins(ground.home, Phase.REJECTED, Purpose.REHEARSE, blamed=blamed, reason="Worse.")


def test_it_is_registered_as_a_drills_and_rehearsed(ground: Ground, package: Path) -> None:
    """The version that serves is what it was, and nothing of the copy is left."""
    before = verify(package)
    assert "was registered and is being rehearsed" in ground.worse.begin()
    assert list(ground.registry.tagged("intent", DRILL_TAG, "F2")) == ["7"]
    assert ground.asked() == [Ask.REHEARSE]
    assert verify(package) == before
    assert not ground.home.drill.exists()


def test_what_a_killed_drill_left_is_rehearsed_by_the_next(ground: Ground) -> None:
    """It was registered, and nobody asked for its rehearsal any more. Another of the same would stand beside it."""
    ground.worse.begin()
    ground.worse.service.inbox.discard(ground.commands()[0], "killed")
    assert "version 7, in which " in (told := ground.worse.begin())
    assert "was left by a drill that was killed, and is being rehearsed" in told
    assert list(ground.registry.tagged("intent", DRILL_TAG, "F2")) == ["7"]
    assert ground.asked() == [Ask.REHEARSE]


def test_what_a_killed_drill_left_of_another_version_is_told_once(ground: Ground, package: Path) -> None:
    """It is worse than what serves no more, and stays: a registry gives the number of a deleted version again."""
    ground.registry.register(package, "intent", tags={DRILL_TAG: "F2", FINGERPRINT_TAG: "ab" * 32})
    ground.worse.begin()
    (told,) = ground.worse.told()
    assert told.startswith("version 7 was left in the registry by a drill that was killed before it was rehearsed")
    assert list(ground.registry.tagged("intent", DRILL_TAG, "F2, never rehearsed")) == ["7"]
    ground.worse.begin()
    assert ground.worse.told() == []


def test_what_was_rehearsed_is_not_left(ground: Ground) -> None:
    ground.worse.begin()
    ended(ground, "accuracy.suite")
    ground.worse.told()
    assert "version 8, in which" in ground.worse.begin()
    assert ground.worse.told() == []


def test_the_gate_that_is_about_it_has_to_find_it(ground: Ground) -> None:
    ground.worse.begin()
    assert not ground.worse.is_over()
    ended(ground, "accuracy.suite", "calibration.suite")
    assert ground.worse.told() == ["accuracy.suite, calibration.suite failed intent-v7-1: Worse"]
    assert (ground.worse.told(), ground.worse.is_over()) == ([], True)
    assert ground.outcomes() == [Outcome.PASS, Outcome.PASS]


@pytest.mark.parametrize("blamed", [(), ("latency.live",)])
def test_what_no_such_gate_found_is_no_pass(ground: Ground, blamed: tuple[str, ...]) -> None:
    ground.worse.begin()
    ended(ground, *blamed)
    assert ground.outcomes()[0] is Outcome.INCONCLUSIVE


def test_what_does_not_end_in_time_is_an_error(ground: Ground) -> None:
    ground.worse.begin()
    begins(ground.home, Phase.SHADOW, Purpose.REHEARSE)
    assert ground.outcomes()[0] is Outcome.ERROR


@pytest.mark.parametrize(
    ("had", "outcome"),
    [({**ASKED, Traffic.LIVE: 1.0}, Outcome.FAIL), ({}, Outcome.PASS), (None, Outcome.PASS)],
)
def test_an_answer_to_a_user_breaks_a_promise(
    ground: Ground, had: Mapping[str, float] | None, outcome: Outcome
) -> None:
    """One that was over before anything counted it is known by the tables of its release."""
    ground.worse.begin()
    ended(ground, "accuracy.suite")
    ground.had = had
    assert ground.outcomes() == [Outcome.PASS, outcome]


@pytest.mark.parametrize(
    ("weights_pct", "outcome"), [({"6": 95.0, "7": 5.0}, Outcome.FAIL), ({"6": 100.0}, Outcome.PASS)]
)
def test_a_table_that_names_it_breaks_a_promise(
    ground: Ground, weights_pct: dict[str, float], outcome: Outcome
) -> None:
    ground.worse.begin()
    begins(
        ground.home,
        Phase.ROLLED_BACK,
        Purpose.REHEARSE,
        events=[TrafficConfirmed(weights_pct, 2)],
        blamed=("accuracy.shadow",),
    )
    assert ground.outcomes() == [Outcome.PASS, outcome]


def test_a_rehearsal_that_goes_on_is_aborted_at_the_end(ground: Ground) -> None:
    ground.worse.begin()
    begins(ground.home, Phase.SHADOW, Purpose.REHEARSE)
    ground.worse.end()
    assert ground.asked() == [Ask.REHEARSE, Ask.ABORT]


def test_after_a_drill_that_was_killed_its_guard_aborts_the_rehearsal(ground: Ground, service: Service) -> None:
    """And lifts the drill's freeze."""
    service.freeze("intent", reason="drill F2: monthly", by="ana")
    undo = command_of(ground.home, "intent", "drill F2: monthly")
    begins(ground.home, Phase.SHADOW, Purpose.REHEARSE)
    subprocess.run(undo, check=True, timeout=60)
    assert (ground.asked(), service.frozen("intent")) == ([Ask.ABORT], [])


def test_a_rehearsal_that_only_begins_is_waited_for(ground: Ground, service: Service) -> None:
    """The drill was killed as soon as it had asked for it."""
    ground.worse.begin()
    with ThreadPoolExecutor(1) as pool:
        undoing = pool.submit(aborted, service, "intent")
        begins(ground.home, Phase.PENDING, Purpose.REHEARSE)
        assert undoing.result(timeout=30)
    assert ground.asked() == [Ask.REHEARSE, Ask.ABORT]


def test_a_release_of_people_is_aborted_by_no_drill(ground: Ground, service: Service) -> None:
    begins(ground.home, Phase.CANARY)
    assert not aborted(service, "intent")
    assert ground.asked() == []


def test_what_cannot_be_made_worse_is_said_before_anything_is_done(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.bootstrap.drill_worse.find_spec", lambda _: None)
    one = ground.worse
    with pytest.raises(UsageError, match="F6 needs onnx"):
        WorseVersion(Mode.F6, "intent", one.package, one.directory, one.service, one.shelf, one.requests, "ana")
