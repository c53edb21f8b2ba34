"""Names that a cluster takes, whatever models and versions are called."""

import re
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.kubernetes.names import label_value, resource_name
from serving import contract

MODELS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}", fullmatch=True).filter(
    lambda name: not contract_refuses(name)
)
VERSIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._]{0,19}", fullmatch=True)
TEXTS = st.text(max_size=200)


def contract_refuses(name: str) -> bool:
    try:
        contract.check_model_name(name)
    except contract.NameRefusedError:
        return True
    return False


@given(MODELS, VERSIONS)
def test_a_name_is_a_dns_label_that_leaves_room(model: str, version: str) -> None:
    """52 characters at most, and what begins a Service's name: a letter."""
    name = resource_name(model, version)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 52
    assert "--" not in name
    assert name == resource_name(model, version)


@given(st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS))
def test_no_two_versions_share_a_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Also where names differ by case, by a dash, by what was cut off, or by where the model ends."""
    assert (resource_name(*one) == resource_name(*other)) == (one == other)


def test_what_is_alike_is_told_apart() -> None:
    pairs = [("a", "12"), ("a1", "2"), ("A", "12"), ("a-", "12"), ("a_", "12"), ("a" * 60, "1"), ("a" * 61, "1")]
    assert len({resource_name(*pair) for pair in pairs}) == len(pairs)


def test_a_name_can_be_read() -> None:
    assert resource_name("Intent_EN", "7").startswith("intent-en-v7-")


@given(TEXTS)
def test_a_label_has_the_name_itself_where_it_may(text: str) -> None:
    """Else one that is valid, and no other's."""
    value = label_value(text)
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)
    assert label_value("Intent_en.v2") == "Intent_en.v2"
    assert label_value(text + "/") != label_value(text)


def test_names_need_nothing_but_the_standard_library() -> None:
    """A rollback makes them while nothing else is alive."""
    code = "import sys, controller.adapters.kubernetes.names; print({'yaml', 'pydantic'} & {*sys.modules})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
