"""What every ``Deployments`` does. Subclass, and give the fixture ``deployments``."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from controller.core.condition import Condition
from controller.core.release import Version
from controller.core.serving import ServingPolicy
from controller.ports.runtime import Deployments, DeploymentSpec, DeploymentStatus
from tests.patience import PATIENCE_S


def spec(version: str, model: str = "intent") -> DeploymentSpec:
    return DeploymentSpec(model, Version(version), objectives_ms=(120.0,))


def settled(
    deployments: Deployments, wanted: DeploymentSpec, done: Callable[[DeploymentStatus], bool]
) -> DeploymentStatus:
    """Ensure the deployment again and again, as the loop does, until it is as wanted."""
    deadline_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not done(status := deployments.ensure(wanted)):
        assert time.monotonic() < deadline_s, f"still {status}"
        pause.wait(0.02)
    return status


def has_failed(status: DeploymentStatus) -> bool:
    return status.condition is Condition.FAILED


def gone(deployments: Deployments, model: str, version: str) -> bool:
    """Whether a removed deployment disappears from the list."""
    deadline_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while version in deployments.status(model):
        if time.monotonic() > deadline_s:
            return False
        pause.wait(0.02)
    return True


class DeploymentsContract:
    """The fixture ``deployments`` can run any version but ``broken``, which dies at its start saying ``no weights``."""

    def test_a_version_starts_and_becomes_ready_later(self, deployments: Deployments) -> None:
        """Starting never blocks the loop; readiness is seen at a later look, with the address to reach it at."""
        first = deployments.ensure(spec("6"))
        assert first.condition is Condition.STARTING
        ready = settled(deployments, spec("6"), lambda status: status.ready)
        (endpoint,) = ready.endpoints
        assert None not in (endpoint.url, endpoint.shadow_url)
        assert endpoint.url != endpoint.shadow_url
        assert ready.version == "6"

    def test_ensuring_again_starts_nothing_new(self, deployments: Deployments) -> None:
        """The same deployment goes on, at the same address."""
        ready = settled(deployments, spec("6"), lambda status: status.ready)
        assert deployments.ensure(spec("6")) == ready

    def test_versions_run_beside_each_other(self, deployments: Deployments) -> None:
        """Deployments are addressed by version, never by role; another model's are not listed."""
        six = settled(deployments, spec("6"), lambda status: status.ready)
        seven = settled(deployments, spec("7"), lambda status: status.ready)
        settled(deployments, spec("7", model="topic"), lambda status: status.ready)
        assert deployments.status("intent") == {"6": six, "7": seven}
        endpoints = (*six.endpoints, *seven.endpoints)
        assert len({url for endpoint in endpoints for url in (endpoint.url, endpoint.shadow_url)}) == 4

    def test_a_version_of_several_replicas_is_ready_once_all_of_it_is(self, deployments: Deployments) -> None:
        """Each at an address of its own; removed with the version."""
        wanted = replace(spec("6"), serving=ServingPolicy(replicas=2))
        assert deployments.ensure(wanted).condition is Condition.STARTING
        ready = settled(deployments, wanted, lambda status: status.ready)
        urls = {url for endpoint in ready.endpoints for url in (endpoint.url, endpoint.shadow_url)}
        assert (len(ready.endpoints), len(urls - {None})) == (2, 4)
        assert deployments.status("intent") == {"6": ready}
        deployments.remove("intent", "6")
        assert gone(deployments, "intent", "6")

    def test_a_model_without_deployments_has_none(self, deployments: Deployments) -> None:
        """Nothing deployed is an empty answer, not an error."""
        assert deployments.status("intent") == {}

    def test_a_version_that_cannot_run_is_reported_with_its_reason(self, deployments: Deployments) -> None:
        """``failed`` comes with what the replica said last: no one has to go and find its log."""
        failed = settled(deployments, spec("broken"), has_failed)
        assert not failed.ready
        assert "no weights" in failed.detail
        assert has_failed(deployments.status("intent")["broken"])

    def test_a_removed_version_goes(self, deployments: Deployments) -> None:
        """It is ended and leaves the list; the others stay."""
        settled(deployments, spec("6"), lambda status: status.ready)
        settled(deployments, spec("7"), lambda status: status.ready)
        deployments.remove("intent", "7")
        assert gone(deployments, "intent", "7")
        assert deployments.status("intent")["6"].ready

    def test_removing_is_safe_to_repeat(self, deployments: Deployments) -> None:
        """Twice, or where there never was one: nothing happens."""
        deployments.remove("intent", "6")
        deployments.ensure(spec("6"))
        deployments.remove("intent", "6")
        deployments.remove("intent", "6")
        assert gone(deployments, "intent", "6")

    def test_a_removed_version_can_come_back(self, deployments: Deployments) -> None:
        """A failed version that was removed and is wanted again is started anew."""
        settled(deployments, spec("broken"), has_failed)
        deployments.remove("intent", "broken")
        assert gone(deployments, "intent", "broken")
        assert not has_failed(deployments.ensure(spec("broken")))
