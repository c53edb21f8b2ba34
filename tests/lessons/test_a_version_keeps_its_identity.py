"""A package is always compared with the fingerprint it was registered with, and from its first sight with that.

MLflow keeps a version's files and tags changeable: a number says nothing of what it stands for.
"""

import json
import shutil
from pathlib import Path

import pytest

from controller.adapters.local.packages import PackageStore
from controller.core.commands import Ask
from controller.core.release import Phase, Purpose, Version
from controller.errors import TransientError
from controller.ports.registry import FINGERPRINT_TAG
from serving.package.artifact import ArtifactError, read_manifest
from tests.controller.registered import write_package
from tests.controller.service import GOOD
from tests.controller.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def fingerprint_of(world: World, number: str) -> str:
    return read_manifest(world.registry.package_of("intent", number))[1]


def tag(world: World, number: str, fingerprint: str) -> None:
    world.registry.tags_of["intent", number][FINGERPRINT_TAG] = fingerprint


def replace_artifacts(world: World, number: str) -> str:
    """Somebody writes another whole package over the version's files; returns its fingerprint."""
    directory = world.registry.package_of("intent", number)
    shutil.rmtree(directory)
    return write_package(directory, content="something else altogether")


def lose(world: World, number: str) -> None:
    """The local copy goes, and the controller starts again."""
    shutil.rmtree(world._packages / f"intent-v{number}")
    world.controller = world._start_controller()


def identified(world: World) -> dict[str, bool]:
    """Version -> whether the registry's tag vouched for it, as the newest release's journal says."""
    entries = world.journal.entries(world.release.id)
    return {
        str(entry.entry.payload["version"]["number"]): bool(entry.entry.payload["tagged"])  # type: ignore[index]
        for entry in entries
        if entry.entry.kind == "Identified"
    }


# --- as it was registered ---------------------------------------------------------------------------------------------
def test_artifacts_replaced_after_registration_are_rejected_by_name(world: World) -> None:
    """Whole, sound and signed by nobody: released under the old number before."""
    world.given().given_candidate("v7", GOOD)
    registered = fingerprint_of(world, "7")
    tag(world, "7", registered)
    found = replace_artifacts(world, "7")
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.REJECTED, ("preflight.package",))
    assert f"has the fingerprint {found}, but version 7 was registered with {registered}" in world.release.reason
    assert "7" not in world.service.answered


def test_a_tag_that_is_no_fingerprint_vouches_for_nothing(world: World) -> None:
    world.given().given_candidate("v7", GOOD)
    tag(world, "7", "yes")
    world.when_settled()
    assert world.release.phase is Phase.REJECTED


def test_a_version_without_a_tag_is_recorded_at_first_sight_and_told(world: World) -> None:
    """Registered by other means: what was found has to be believed, once."""
    world.given(candidate=GOOD)
    tag(world, "6", fingerprint_of(world, "6"))
    world.controller = world._start_controller()
    world.when_settled()
    assert world.release.phase is Phase.PROBATION
    assert identified(world) == {"6": True, "7": False}
    assert world.release.candidate.fingerprint == fingerprint_of(world, "7")
    assert world.release.stable is not None
    assert world.release.stable.fingerprint == fingerprint_of(world, "6")


# --- as it was seen first ---------------------------------------------------------------------------------------------
def test_the_journal_wins_over_files_and_tags_that_were_changed_together(world: World) -> None:
    """The candidate was seen; then somebody replaces its files and its tag, and our copy is lost."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    seen = world.release.candidate.fingerprint
    tag(world, "7", replace_artifacts(world, "7"))
    lose(world, "7")
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.ROLLED_BACK, ("preflight.package",))
    assert f"version 7 was seen first with {seen}" in world.release.reason


def test_another_release_of_the_number_knows_it_again(world: World) -> None:
    """Rejected and asked for again with other files under the same source: not the version that it was."""
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    world.given_candidate("v8", GOOD).when_settled()
    world.when(lambda: world.release.candidate.number == "8" and world.release.phase is Phase.PROMOTED)
    replace_artifacts(world, "7")
    lose(world, "7")
    world.when_asked(Ask.START, version="v7").when(lambda: world.release.candidate.number == "7")
    world.when_settled()
    assert (world.release.candidate.number, world.release.phase) == ("7", Phase.REJECTED)
    assert "was seen first with" in world.release.reason


def test_a_stable_version_that_is_another_one_now_is_never_served_and_blames_no_candidate(world: World) -> None:
    """Its copy is lost and the registry has other files: the release is held, and says which version it is."""
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    lose(world, "7")
    replace_artifacts(world, "7")
    world.deployments.restart()
    before = len(world.deployments.started)
    world.given_candidate("v8", GOOD)
    world.when(lambda: world.release.candidate.number == "8" and world.release.phase is Phase.HELD)
    assert world.release.blamed == ()
    assert "version 7 was seen first with" in world.release.reason
    assert "7" not in {spec.version for spec in world.deployments.started[before:]}


def test_a_way_back_leads_to_the_version_that_was_there_or_is_held(world: World) -> None:
    """A person goes back to version 6, whose files were replaced: not started anew, and told."""
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    replace_artifacts(world, "6")
    lose(world, "6")
    world.deployments.restart()
    world.when_traffic_is_moved("v6", reason="pager 4711").when_settled()
    assert (world.release.purpose, world.release.phase) == (Purpose.RESTORE, Phase.HELD)
    assert "version 6 was seen first with" in world.release.reason


def test_what_is_kept_running_between_releases_is_compared_too(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    replace_artifacts(world, "7")
    lose(world, "7")
    world.deployments.restart()
    before = len(world.deployments.started)
    world.tick()
    assert "7" not in {spec.version for spec in world.deployments.started[before:]}
    assert "version 7 was seen first with" in caplog.text


def test_a_replica_is_told_what_it_has_to_be(world: World) -> None:
    """So that each of its own starts compares as well."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    told = {spec.version: spec.artifact.fingerprint for spec in world.deployments.started}
    assert told == {"6": fingerprint_of(world, "6"), "7": fingerprint_of(world, "7")}


# --- the store --------------------------------------------------------------------------------------------------------
@pytest.fixture
def store(world: World, tmp_path: Path) -> PackageStore:
    world.registry.publish("intent", "7")
    return PackageStore(world.registry, tmp_path / "store")


def test_a_copy_that_was_replaced_whole_on_our_disk_is_found(world: World, store: PackageStore) -> None:
    """Its manifest fits its files; it is not the one that was seen. The registry still has the right one."""
    package = store.obtain("intent", store.identify("intent", "7"))
    place = store.place("intent", package.version)
    shutil.rmtree(place)
    write_package(place, content="another")
    again = store.obtain("intent", package.version)
    assert again == package
    assert read_manifest(place)[1] == package.version.fingerprint


def test_at_first_sight_a_copy_that_is_here_already_is_held_against_the_tag(world: World, store: PackageStore) -> None:
    """A copy of an earlier installation: the registry is asked what it has to be."""
    package = store.obtain("intent", store.identify("intent", "7"))
    tag(world, "7", "f" * 64)
    with pytest.raises(ArtifactError, match="was registered with ffff"):
        store.obtain("intent", store.identify("intent", "7"))
    assert store.place("intent", package.version).exists()


@pytest.mark.parametrize("away", ["connection refused", None])
def test_a_version_that_was_seen_needs_no_registry(world: World, store: PackageStore, away: str | None) -> None:
    """A restart and a rollback do without, whatever its tag says by now."""
    package = store.obtain("intent", store.identify("intent", "7"))
    tag(world, "7", "f" * 64)
    world.registry.away = away
    assert store.obtain("intent", package.version).version == package.version


def test_a_refused_download_leaves_nothing_behind(world: World, store: PackageStore, tmp_path: Path) -> None:
    tag(world, "7", "f" * 64)
    with pytest.raises(ArtifactError):
        store.obtain("intent", store.identify("intent", "7"))
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_of_a_version_known_by_its_number_alone_the_copy_here_counts_while_the_registry_is_away(
    world: World, store: PackageStore
) -> None:
    package = store.obtain("intent", store.identify("intent", "7"))
    world.registry.away = "connection refused"
    assert store.obtain("intent", Version("7")).version == package.version
    shutil.rmtree(store.place("intent", package.version))
    with pytest.raises(TransientError, match="connection refused"):
        store.obtain("intent", Version("7"))


def test_a_copy_that_went_is_said_to_be_gone(world: World, store: PackageStore) -> None:
    """Whoever starts a replica of it gets no path that leads nowhere; it is obtained again first."""
    artifact = store.obtain("intent", store.identify("intent", "7"))
    shutil.rmtree(store.place("intent", artifact.version))
    with pytest.raises(TransientError, match="is not here any more"):
        store.place("intent", artifact.version)
    assert store.obtain("intent", artifact.version) == artifact
    assert store.place("intent", artifact.version).is_dir()


def test_the_manifest_alone_cannot_be_edited(store: PackageStore, world: World) -> None:
    """Another threshold of golden texts, another label order: the fingerprint is of its bytes."""
    directory = world.registry.package_of("intent", "7")
    tag(world, "7", fingerprint_of(world, "7"))
    manifest = json.loads((directory / "manifest.json").read_bytes())
    (directory / "manifest.json").write_text(json.dumps({**manifest, "created_by": "somebody else"}))
    with pytest.raises(ArtifactError, match="its files have been replaced since"):
        store.obtain("intent", store.identify("intent", "7"))
