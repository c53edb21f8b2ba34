"""Kubeconfigs are read by the standard library as the library for YAML reads them, or by that library."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.kubernetes.kubeconfig import UnusualError, account_of, block_values, values_of
from controller.errors import UsageError

KUBECTL = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
    server: https://ABC.gr7.eu-west-1.eks.amazonaws.com:6443
  name: arn:aws:eks:eu-west-1:123456789012:cluster/shop
contexts:
- context:
    cluster: arn:aws:eks:eu-west-1:123456789012:cluster/shop
    namespace: models
    user: on-call@shop
  name: shop
current-context: shop
kind: Config
preferences: {}
users:
- name: on-call@shop
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - --region
      - eu-west-1
      - eks
      - get-token
      - --output
      - "json"
      command: aws
      env: null
      interactiveMode: IfAvailable
      provideClusterInfo: false
"""
LINES = [
    *KUBECTL.splitlines(),
    "  a: b",
    "    - c: d",
    "-",
    "- - e",
    "f: 1",
    "g: 1.5",
    "h: 2026-11-26",
    "i: 'it''s'",
    'j: "a\\n"',
    "k: |",
    "l: &m n",
    "o: *m",
    "p: [q, r]",
    "s: t # u",
    "v: w: x",
    "yes: no",
    "y: Yes",
    "z: ~",
    "  on two lines",
    "\tt: a",
    "? a",
    "--- ",
    "a: !!str b",
    "b: https:",
    "c: ''",
    "d:    e   ",
    "<<: {}",
    "ß: a",
]
texts = st.text(alphabet="abYN01:-#'\"{}[]&*!|>%@`, ~.\\/=+_", max_size=12)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.sampled_from(["https://a:1", "YWJj=", "--flag", "on"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts.filter(bool), inner, max_size=3),
    max_leaves=12,
)


def test_what_kubectl_writes_is_read_without_the_library() -> None:
    assert block_values(KUBECTL) == yaml.safe_load(KUBECTL)


def held(text: str) -> None:
    """Whatever is read is read as the library does."""
    try:
        found = block_values(text)
    except UnusualError:
        return
    assert found == yaml.safe_load(text)


@given(st.lists(st.sampled_from(LINES), max_size=8))
def test_no_text_is_read_otherwise(lines: list[str]) -> None:
    held("\n".join(lines))


@given(documents)
def test_nothing_that_the_library_writes_is_read_otherwise(document: Any) -> None:
    held(yaml.safe_dump(document))
    assert values_of(yaml.safe_dump(document)) == document


@given(texts)
def test_no_value_is_read_otherwise(text: str) -> None:
    try:
        yaml.safe_load(f"a: {text}\nb: c\n")
    except (yaml.YAMLError, ValueError):
        with pytest.raises(UnusualError):
            block_values(f"a: {text}\nb: c\n")
    else:
        held(f"a: {text}\nb: c\n")


@pytest.mark.parametrize("text", ["", "[", "a: [" * 10_000, "just words", "\x00", "a: *b"])
def test_what_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(UsageError, match="kubeconfig") as found:
        account_of(file, None, None)
    assert "\n" not in str(found.value)


def test_a_context_and_a_namespace_can_be_chosen(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECTL)
    account = account_of(file, "shop", "other")
    assert (account.server, account.namespace) == ("https://ABC.gr7.eu-west-1.eks.amazonaws.com:6443", "other")
    assert account_of(file, None, None).namespace == "models"
    with pytest.raises(UsageError, match="context 'elsewhere'"):
        account_of(file, "elsewhere", None)
