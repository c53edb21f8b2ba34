"""What label sources call classes, by the policies of a home as they stand."""

from pathlib import Path

import pytest

from controller.bootstrap.labels import CurrentLabelNames
from controller.config.settings import Home

POLICY = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path)
    place.policies.mkdir()
    (place.policies / "intent.yaml").write_text(POLICY, encoding="utf-8")
    return place


def test_they_are_those_of_the_file_as_it_is_now(home: Home) -> None:
    """Written while a controller runs, they hold from its next look on."""
    names = CurrentLabelNames(home)
    assert (names.of("intent"), names.of("tone")) == ({}, {})
    (home.policies / "intent.yaml").write_text(f"{POLICY}label_names: {{Login: login}}\n", encoding="utf-8")
    assert names.of("intent") == {"Login": "login"}


@pytest.mark.parametrize("broken", ["label_names: [", f"{POLICY}label_names: {{yes: login}}\n"])
def test_a_policy_that_became_invalid_changes_nothing(
    home: Home, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in the log, and the names stay as they were until it is mended."""
    (home.policies / "intent.yaml").write_text(f"{POLICY}label_names: {{Login: login}}\n", encoding="utf-8")
    names = CurrentLabelNames(home)
    (home.policies / "intent.yaml").write_text(broken, encoding="utf-8")
    assert names.of("intent") == {"Login": "login"}
    assert "label_names stay as they were" in caplog.text
