"""A version in other arithmetic is a version like any other: nothing is known of it but what the gates find."""

import pytest

from tests.e2e.conftest import Site
from tests.patience import eventually

pytestmark = pytest.mark.integration


def test_an_int8_variant_is_released_like_any_version(site: Site) -> None:
    """Preflight, suite, shadow and canary beside the version whose weights it has."""
    pytest.importorskip("onnx")
    with site.load() as load:
        site.register("v1", "--variant", "int8", "--of", "1")
        eventually(lambda: site.phase("2") == "probation", within_s=150, what="the int8 variant promoted")
    assert (load["failed"], load["failures"]) == (0, {})
    phases = [e["payload"]["phase"] for e in site.entries("intent-v2-1") if e["kind"] == "PhaseEntered"]
    assert phases == ["preflight", "suite", "shadow", "canary", "canary", "promoting", "probation"]
