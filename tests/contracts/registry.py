"""What every ``Registry`` does. Subclass, and give the fixture ``registry``."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from controller.errors import ConflictError, PermanentError, UsageError
from controller.ports.registry import FINGERPRINT_TAG, RegisteredVersion, Registry

FILES = {"manifest.json": b'{"schema": "x"}', "model.onnx": bytes(range(256)) * 40, "config.json": b"{}"}


class RegistryWithIntake(Registry, Protocol):
    def register(self, package_dir: Path, model: str, *, tags: Mapping[str, str]) -> RegisteredVersion: ...
    def register_again(self, model: str, version: str) -> RegisteredVersion: ...
    def tagged(self, model: str, tag: str, value: str) -> Mapping[str, str]: ...
    def read(self, version: RegisteredVersion, name: str) -> bytes: ...


@pytest.fixture
def model() -> str:
    """A name that no other test uses."""
    return f"intent-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    directory = tmp_path / "package"
    directory.mkdir()
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    return directory


class RegistryContract:
    def test_versions_are_found_by_a_tag(self, registry: RegistryWithIntake, model: str, package: Path) -> None:
        """With the fingerprint that their tags name; none of another value, or of another model."""
        print_ = "ab" * 32
        registry.register(package, model, tags={"serin.drill": "F2", FINGERPRINT_TAG: print_})
        registry.register(package, model, tags={"serin.drill": "F6"})
        registry.register(package, f"{model}-b", tags={"serin.drill": "F2"})
        assert registry.tagged(model, "serin.drill", "F2") == {"1": print_}
        registry.tag(model, "1", {"serin.drill": "F2, never rehearsed"})
        assert registry.tagged(model, "serin.drill", "F2") == {}
        assert registry.tagged(model, "serin.drill", "F2, never rehearsed") == {"1": print_}

    def test_versions_are_numbered_and_known_by_their_logged_model(
        self, registry: RegistryWithIntake, model: str, package: Path
    ) -> None:
        """A version number alone is no identity: a model made anew starts again at 1."""
        first = registry.register(package, model, tags={})
        second = registry.register(package, model, tags={"who": "ada"})
        assert (first.version, second.version) == ("1", "2")
        assert re.fullmatch("m-[0-9a-f]{32}", first.source_id)
        assert first.source_id != second.source_id
        assert registry.version(model, "2") == second == RegisteredVersion(model, "2", second.source_id, ready=True)

    def test_one_file_is_read_without_the_others(self, registry: RegistryWithIntake, model: str, package: Path) -> None:
        version = registry.register(package, model, tags={})
        assert registry.read(version, "manifest.json") == FILES["manifest.json"]
        with pytest.raises(PermanentError, match=f"{model} version 1 has no README"):
            registry.read(version, "README")

    def test_the_same_files_can_have_another_number(
        self, registry: RegistryWithIntake, model: str, package: Path
    ) -> None:
        """For a release of the same version with other settings: one number each, one logged model."""
        first = registry.register(package, model, tags={FINGERPRINT_TAG: "f" * 64})
        again = registry.register_again(model, "1")
        assert again == replace(first, version="2")
        assert registry.version(model, "2") == again
        with pytest.raises(PermanentError):
            registry.register_again(model, "9")

    @pytest.mark.parametrize("name", ["Intent Classifier", "..", "a b", "intent.", "con", "x" * 101, "\u0456ntent"])
    def test_a_name_that_cannot_be_carried_everywhere_is_refused_before_anything_is_written(
        self, registry: RegistryWithIntake, package: Path, name: str
    ) -> None:
        """MLflow would take some of these, and every later step would refuse the version."""
        with pytest.raises(UsageError, match=r"cannot name a model.*register its versions under another name"):
            registry.register(package, name, tags={})
        assert registry.aliases_by_model([name]) == {}

    def test_a_name_with_dots_is_registered(self, registry: RegistryWithIntake, model: str, package: Path) -> None:
        """The rule allows it, so every part of the registry has to."""
        version = registry.register(package, f"{model}.eu-west_1", tags={})
        assert (version.model, version.version) == (f"{model}.eu-west_1", "1")

    def test_a_package_arrives_as_it_was_registered(
        self, registry: RegistryWithIntake, model: str, package: Path, tmp_path: Path
    ) -> None:
        """Every file, byte for byte, and nothing else."""
        version = registry.register(package, model, tags={})
        into = tmp_path / "packages" / "intent-v1"
        assert registry.fetch(version, into) == into
        assert {path.name: path.read_bytes() for path in into.iterdir()} == FILES
        assert [path.name for path in into.parent.iterdir()] == ["intent-v1"]

    def test_the_aliases_of_many_models_are_told_at_once(
        self, registry: RegistryWithIntake, model: str, package: Path
    ) -> None:
        """What is polled. One that is not registered, or has no alias, keeps nobody from the others'."""
        names = [model, f"{model}-other", f"{model}-unknown"]
        assert registry.aliases_by_model(names) == {}
        for name in names[:2]:
            registry.register(package, name, tags={})
        assert registry.aliases_by_model(names) == {name: {} for name in names[:2]}
        registry.move_alias(model, "candidate", "1", expected=None)
        assert registry.aliases_by_model(names) == {names[0]: {"candidate": "1"}, names[1]: {}}
        assert registry.aliases_by_model(names[1:]) == {names[1]: {}}

    def test_an_alias_is_moved_from_where_it_was_expected(
        self, registry: RegistryWithIntake, model: str, package: Path
    ) -> None:
        """From nowhere, then on; the same move again changes nothing and is no error."""
        for _ in range(2):
            registry.register(package, model, tags={})
        assert registry.aliases(model) == {}
        registry.move_alias(model, "champion", "1", expected=None)
        registry.move_alias(model, "champion", "2", expected="1")
        registry.move_alias(model, "champion", "2", expected="1")
        assert registry.aliases(model) == {"champion": "2"}

    def test_an_alias_found_elsewhere_is_left_there(
        self, registry: RegistryWithIntake, model: str, package: Path
    ) -> None:
        """Anybody may move an alias: a surprise is told, not overwritten."""
        for _ in range(3):
            registry.register(package, model, tags={})
        registry.move_alias(model, "champion", "3", expected=None)
        with pytest.raises(ConflictError, match=r"expected at version 1, found at version 3"):
            registry.move_alias(model, "champion", "2", expected="1")
        with pytest.raises(ConflictError, match=r"expected at no version, found at version 3"):
            registry.move_alias(model, "champion", "2", expected=None)
        with pytest.raises(ConflictError, match=r"expected at version 3, found at no version"):
            registry.move_alias(model, "other", "2", expected="3")
        assert registry.aliases(model) == {"champion": "3"}

    def test_an_alias_is_dropped_only_from_where_it_was_expected(
        self, registry: RegistryWithIntake, model: str, package: Path
    ) -> None:
        """A newer `candidate` that somebody set meanwhile stays; dropping twice is no error."""
        for _ in range(2):
            registry.register(package, model, tags={})
        registry.move_alias(model, "candidate", "2", expected=None)
        registry.drop_alias(model, "candidate", expected="1")
        assert registry.aliases(model) == {"candidate": "2"}
        registry.drop_alias(model, "candidate", expected="2")
        registry.drop_alias(model, "candidate", expected="2")
        assert registry.aliases(model) == {}

    def test_tags_are_set_again_without_harm(self, registry: RegistryWithIntake, model: str, package: Path) -> None:
        """Notes for people; a repeated action overwrites the note."""
        registry.register(package, model, tags={})
        registry.tag(model, "1", {"serin.outcome": "rejected", "serin.why": "accuracy"})
        registry.tag(model, "1", {"serin.outcome": "rejected"})

    def test_what_is_not_there_is_told_by_name(self, registry: RegistryWithIntake, model: str, package: Path) -> None:
        """Asking again will not help, so the message says what a person mistyped or deleted."""
        with pytest.raises(PermanentError, match=model):
            registry.aliases(model)
        registry.register(package, model, tags={})
        for act in (
            lambda: registry.version(model, "9"),
            lambda: registry.move_alias(model, "champion", "9", expected=None),
            lambda: registry.tag(model, "9", {"a": "b"}),
        ):
            with pytest.raises(PermanentError, match=f"{model}.* version 9"):
                act()
