"""Leadership by a Lease of the cluster, with a fence in the store: only the holder of the Lease acts, and only the
newest fence may write."""

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.refusals import NoSuchObjectError
from controller.adapters.kubernetes.resources import LEASES, Object
from controller.errors import ConflictError, Source, TransientError
from controller.ports.fences import Fences
from controller.ports.leadership import Held, Lease

_REQUESTS: Final = 4  # how many requests, one after another, fit into a lease


def request_timeout_s(lease_s: float) -> float:
    """Return the time-out of each request in seconds. It is a fraction of the lease, so that a server that hangs once
    does not keep the holder from asking again in time."""
    return lease_s / _REQUESTS


class LeaseLeadership:
    """``controller.ports.leadership.Leadership`` on a Lease object. Any thread may use it.

    The fence is the Lease's ``leaseTransitions``. A new holder takes a number above those of the Lease and of the
    store, writes it with its own name in one compare-and-swap, and then raises the store's fence to it; the store
    accepts each number once. So a controller that was suspended between the two steps is refused, and a Lease that was
    deleted or edited by hand does not lead to a second writer.
    """

    def __init__(
        self,
        client: KubernetesClient,
        name: str,
        fences: Fences,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``client`` has time-outs of `request_timeout_s`. ``name`` is the Lease's. ``monotonic``: seconds by a clock
        that never goes back. ``now`` gives the times in the Lease that people read; they decide nothing."""
        self._client = client
        self._name = name
        self._fences = fences
        self._monotonic = monotonic
        self._now = now
        self._seen: tuple[str, float] | None = None  # another's Lease (uid and revision), and since when it is seen
        self._lock = threading.Lock()

    def acquire(self, holder: str, *, lease_s: float) -> Lease | Held:
        with self._lock:
            asked_s = self._monotonic()
            found = self._client.get(LEASES, self._name)
            has = _holder(found)
            if found is not None and has not in ("", holder) and not self._expired(found, asked_s):
                return Held(has)
            fence = max(self._fences.highest(), _transitions(found)) + 1
            try:
                self._take(found, holder, lease_s, fence)
            except ConflictError:  # another controller was quicker, or the holder has renewed it after all
                return Held(_holder(self._client.get(LEASES, self._name)) or "another")
            self._seen = None
            return Lease(holder, fence, lease_s) if self._fences.raise_to(fence) else Held("another")

    def renew(self, lease: Lease) -> None:
        try:
            self._change(lease, [{"op": "add", "path": "/spec/renewTime", "value": self._stamp()}])
        except (ConflictError, NoSuchObjectError):
            raise _taken(lease) from None
        except TransientError:
            if self._fences.highest() > lease.fence:  # others do reach the cluster: one of them leads now
                raise _taken(lease) from None
            raise

    def release(self, lease: Lease) -> None:
        try:
            self._change(lease, [{"op": "add", "path": "/spec/holderIdentity", "value": ""}])
        except (ConflictError, NoSuchObjectError):
            return

    def _expired(self, found: Object, asked_s: float) -> bool:
        """Return whether the Lease has not changed for as long as its holder promised to renew it within.

        The time runs from the first answer that showed this Lease to the sending of the latest request, so that a slow
        server never makes a lease expire early.
        """
        mark = f"{found['metadata']['uid']} {found['metadata']['resourceVersion']}"
        if self._seen is None or self._seen[0] != mark:
            self._seen = (mark, self._monotonic())
        return bool(asked_s - self._seen[1] >= found["spec"].get("leaseDurationSeconds", 0))

    def _take(self, found: Object | None, holder: str, lease_s: float, fence: int) -> None:
        stamp = self._stamp()
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, math.ceil(lease_s)),
            "acquireTime": stamp,
            "renewTime": stamp,
            "leaseTransitions": fence,
        }
        whole: Object = found or {"metadata": {"name": self._name}}
        whole |= {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "spec": spec}
        if found is None:
            self._client.create(LEASES, whole)
        else:
            self._client.replace(LEASES, self._name, whole)

    def _change(self, lease: Lease, operations: list[dict[str, Any]]) -> None:
        """Change the Lease in one request, provided that it is still ours. Raises ConflictError if it is not."""
        ours: list[dict[str, Any]] = [
            {"op": "test", "path": "/spec/holderIdentity", "value": lease.holder},
            {"op": "test", "path": "/spec/leaseTransitions", "value": lease.fence},
        ]
        self._client.patch(LEASES, self._name, [*ours, *operations])

    def _stamp(self) -> str:
        """Return the time with all six digits of its microseconds, even if they are 0: a Lease accepts no other
        form."""
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _taken(lease: Lease) -> ConflictError:
    said = f"another controller has taken the lease of {lease.holder} (fence {lease.fence})"
    return ConflictError(Source.LEADERSHIP, said)


def _holder(found: Object | None) -> str:
    return str((found or {}).get("spec", {}).get("holderIdentity") or "")


def _transitions(found: Object | None) -> int:
    return int((found or {}).get("spec", {}).get("leaseTransitions") or 0)
