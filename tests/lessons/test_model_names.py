"""One rule says what a model may be called, and everybody who takes a name from outside asks it first."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.rollback import rollback_route
from controller.adapters.envoy.routes import EMPTY_DOCUMENT
from controller.bootstrap.access import create_token
from controller.bootstrap.gate import obtain
from controller.bootstrap.packaging import Order
from controller.bootstrap.policies import has_policy, installed_policies
from controller.bootstrap.registering import register
from controller.config.policy_file import parse_policy
from controller.config.settings import Home, Settings
from controller.core.traffic import TrafficTable
from controller.errors import UsageError
from controller.roles import Role
from serving.__main__ import parser, settings_from
from serving.contract import (
    MODEL_NAME_LENGTH_MAX,
    VERSION_LENGTH_MAX,
    NameRefusedError,
    check_model_name,
    check_version,
    deployed,
    deployment_name,
)
from tests.fakes.registry import FakeRegistry

HEADER = "apiVersion: serin/v1\nkind: ReleasePolicy\n"
REFUSED = (
    "../../escaped",
    "intent/eu",
    "Intent Classifier",
    "",
    ".",
    "..",
    ".hidden",
    "intent.",
    "-flag",
    "*",
    "a:b",
    "a%2fb",
    "a\nb",
    "a\x00b",
    "intent\n",
    "\u0456ntent",  # begins with a Cyrillic letter
    "intent\u200b",
    "\uff49ntent",
    "con",
    "NUL.v2",
    "x" * (MODEL_NAME_LENGTH_MAX + 1),
)
MODELS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,40}[A-Za-z0-9_-])?", fullmatch=True)
VERSIONS = st.from_regex(r"[1-9][0-9]{0,8}|[A-Za-z][A-Za-z0-9._]{0,10}", fullmatch=True)


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_is_refused_with_its_reason_on_one_line(name: str) -> None:
    with pytest.raises(NameRefusedError, match=r"cannot name a model: .*under another name") as refusal:
        check_model_name(name)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("name", ["intent", "Intent-EU_2", "7", "org.team.intent", "v1-v2", "console", "x" * 100])
def test_names_that_every_part_can_carry_stay_as_they_are(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize("version", ["", "1-v2", "07", "0x 1", "..", "../1", "1\n", "\u0661", "9" * 21, "+1", " 1"])
def test_a_version_is_written_in_one_way_only(version: str) -> None:
    """ "07" would be version 7 to the registry and another version to us."""
    with pytest.raises(NameRefusedError, match="cannot be a version"):
        check_version(version)


@given(model=MODELS, version=VERSIONS)
def test_a_deployment_is_taken_apart_without_doubt(model: str, version: str) -> None:
    try:
        check_model_name(model)
    except NameRefusedError:
        return  # a device's name
    assert deployed(deployment_name(model, version)) == (model, version)


@given(st.text(alphabet=[*string.printable, "\u00e9", "\u0456"], max_size=120))
def test_no_name_leaves_its_folder_its_segment_or_its_line(name: str) -> None:
    """Whatever passes the rule is one component of a path, the same in a URL, and one printable word."""
    try:
        check_model_name(name)
    except NameRefusedError:
        return
    longest = f".{deployment_name(name, 'x' * VERSION_LENGTH_MAX)}.json.tmp.1234567890"
    assert Path("home", longest).parent == Path("home")
    assert len(longest.encode()) < 255
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set("/\\ %?#&;:*\"'`$<>|")


@pytest.mark.parametrize("name", ["../../escaped", "intent/eu", "Intent Classifier"])
def test_everybody_asks_the_same_rule(name: str, tmp_path: Path) -> None:
    """The policy, the registration, the commands, the routes, the on-call rollback, the replica: one answer."""
    home = Home(tmp_path / "home")
    table = TrafficTable(name, {"1": 100.0}, generation=1)
    flags = ["--artifact", str(tmp_path), "--model", name, "--version", "1"]
    registry = FakeRegistry()
    asked = (
        lambda: parse_policy(f"{HEADER}model: '{name}'"),
        lambda: register(registry, tmp_path, Order(name)),
        lambda: has_policy(home, name),
        lambda: create_token(home, "ci", [Role.PROPOSE], model=name, lasts=None),
        lambda: EMPTY_DOCUMENT.with_table(table, RouteOptions()),
        lambda: rollback_route(tmp_path / "routes.json", name, "why", "ada", 0.0),
        lambda: settings_from(parser().parse_args(flags)),
    )
    for ask in asked:
        with pytest.raises((UsageError, ValueError), match="cannot name a model"):
            ask()
    assert registry.models() == []
    assert list(tmp_path.iterdir()) == []


def test_names_that_differ_in_case_only_do_not_live_in_one_home(tmp_path: Path) -> None:
    """Some file systems and databases would take them for one."""
    home = Home(tmp_path)
    home.policies.mkdir()
    for name in ("Intent", "intent"):
        (home.policies / f"of-{name}.yaml").write_text(f"{HEADER}model: {name}", encoding="utf-8")
    policies = installed_policies(home, Settings())
    assert list(policies()) == ["Intent"]
    assert "'intent' differs only in case from 'Intent', which is here already" in policies.faults["of-intent.yaml"]


@pytest.mark.parametrize("folder", ["a*", "a?b", "a[1]", "a#b", "a%20b", "a\nb", "a\\b"])
def test_a_home_whose_path_would_be_read_as_something_else_is_refused(folder: str, tmp_path: Path) -> None:
    """Prometheus finds its targets by a pattern: in a folder called a[1] it would find none, without a word."""
    with pytest.raises(UsageError, match="cannot be part of its path"):
        Home(tmp_path / folder).check_path()


def test_a_home_with_spaces_and_letters_of_any_language_is_taken(tmp_path: Path) -> None:
    Home(tmp_path / "mein Ordner \u00e9").check_path()


@pytest.mark.parametrize("version", ["007", "\uff11", "9" * 21])
def test_a_version_by_address_is_written_in_one_way(version: str, tmp_path: Path) -> None:
    """`serin gate --model models:/intent/007` asks for no version 7 under another name."""
    with pytest.raises(UsageError, match="cannot be a version"):
        obtain(f"models:/intent/{version}", "http://127.0.0.1:9", tmp_path)
