"""What people ask for by hand: refused where it could only come to nothing, and answered by what became of it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.cli.app import app
from controller.errors import UsageError
from controller.settings import Home, Settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An installation with a policy for the model `intent`; nothing of it runs."""
    place = Home(tmp_path / "home")
    place.save(Settings(api_port=1))
    place.policies.mkdir()
    policy = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
    (place.policies / "intent.yaml").write_text(policy, encoding="utf-8")
    return place


def serin(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--home", str(home.path)])


def refusal(home: Home, *arguments: str) -> str:
    """What a person reads on standard error, with exit code 2."""
    result = serin(home, *arguments)
    assert isinstance(result.exception, UsageError), result.output
    return str(result.exception)


@pytest.mark.parametrize("command", ["rollback", "abort", "resume", "freeze", "unfreeze"])
@pytest.mark.parametrize("reason", ["", "  "])
def test_an_empty_reason_is_refused(home: Home, command: str, reason: str) -> None:
    """The reason is all that the next person will know."""
    assert "--reason is empty" in refusal(home, command, "intent", "--reason", reason)
