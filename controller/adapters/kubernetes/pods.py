"""The condition of a replica, read from its pod: whether a problem is the version's own or not.

A version has failed if its own process says so, by its exit status and the end of its log, which Kubernetes keeps. What
a node, a scheduler, a registry or a person who evicts does to a pod is a disturbance, whatever the pod looks like then.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.adapters.kubernetes.objects.pod import FETCH
from controller.adapters.kubernetes.objects.site import LIVE_PORT, SHADOW_PORT
from controller.core.condition import Condition
from controller.ports.runtime import Endpoint
from serving.contract import EXIT_REFUSED, EXIT_SHORTAGE, EXIT_USAGE
from serving.text.printable import printable

_LAST_WORDS_MAX: Final = 500
_OURS: Final = frozenset({EXIT_USAGE, EXIT_SHORTAGE})  # a wrong command line, or a node that lacks something
_NO_IMAGE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_BACKING_OFF: Final = "CrashLoopBackOff"

Pod = Mapping[str, Any]


def is_leaving(pod: Pod) -> bool:
    """Return whether the pod was told to end, or has ended for good, so that another takes its place."""
    return bool(pod["metadata"].get("deletionTimestamp")) or pod["status"].get("phase") in ("Failed", "Succeeded")


def endpoint_of(pod: Pod, *, was_well: bool) -> Endpoint:
    """Return the replica as its pod describes it. ``was_well``: the version was ready before with this very template,
    so an image that cannot be pulled now is the cluster's fault."""
    status = pod["status"]
    restarts = sum(container.get("restartCount", 0) for container in _containers(status, "containerStatuses"))
    condition, detail = _told(pod, was_well=was_well)
    host = status.get("podIP")
    if condition is not Condition.READY or host is None:
        where = f"pod {pod['metadata']['name']}"
        return Endpoint(condition, detail=f"{where} {detail}" if detail else where, restarts=restarts)
    at = f"[{host}]" if ":" in host else host
    return Endpoint(condition, f"http://{at}:{LIVE_PORT}", f"http://{at}:{SHADOW_PORT}", restarts=restarts)


def _told(pod: Pod, *, was_well: bool) -> tuple[Condition, str]:
    status = pod["status"]
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    if _holds(conditions, "Ready"):
        return Condition.READY, ""
    if (away := conditions.get("DisruptionTarget")) is not None and away.get("status") == "True":
        return Condition.DISTURBED, f"is being removed ({away.get('reason', '')}): {_said(away.get('message'))}"
    if (placed := conditions.get("PodScheduled")) is not None and placed.get("status") == "False":
        return Condition.DISTURBED, f"cannot be scheduled: {_said(placed.get('message'))}"
    for container in _containers(status, "initContainerStatuses"):
        if (found := _fetching(container, was_well=was_well)) is not None:
            return found
    replica = next(iter(_containers(status, "containerStatuses")), {})
    return _running(replica, was_well=was_well)


def _fetching(container: Mapping[str, Any], *, was_well: bool) -> tuple[Condition, str] | None:
    """Return the condition of the step that fetches the package; None once it is done."""
    state = container.get("state") or {}
    if _ended_with(state.get("terminated"), 0):
        return None
    ended = _last_end(container)
    if ended is not None and container["name"] == FETCH:
        said = _said(ended.get("message")) or f"its fetch ended with exit code {ended.get('exitCode')}"
        if ended.get("exitCode") == EXIT_REFUSED:
            return Condition.FAILED, f"refused its package: {said}"
        return Condition.DISTURBED, f"has no package yet: {said}"
    if (problem := _image(state, was_well=was_well)) is not None:
        return problem
    return Condition.STARTING, "waits for its package"


def _running(container: Mapping[str, Any], *, was_well: bool) -> tuple[Condition, str]:
    state = container.get("state") or {}
    if (problem := _image(state, was_well=was_well)) is not None:
        return problem
    ended = _last_end(container)
    if ended is not None and not state.get("running"):
        return _ended(ended, backing_off=(state.get("waiting") or {}).get("reason") == _BACKING_OFF)
    if container.get("ready"):  # the kubelet's last word; the control plane has marked the pod as not ready since
        return Condition.DISTURBED, "is on a node that does not report"
    if container.get("started"):
        return Condition.FAILING, "does not answer"
    if ended is not None:
        return Condition.FAILING, f"was restarted: {_said(ended.get('message'))}"
    return Condition.STARTING, "is starting"


def _ended(ended: Mapping[str, Any], *, backing_off: bool) -> tuple[Condition, str]:
    code = ended.get("exitCode")
    why = _said(ended.get("message")) or str(ended.get("reason", ""))
    if code in _OURS:
        return Condition.DISTURBED, f"cannot run on its node: {why}"
    gone = backing_off or code == EXIT_REFUSED
    return (Condition.FAILED if gone else Condition.FAILING), f"ended with exit code {code}: {why}"


def _image(state: Mapping[str, Any], *, was_well: bool) -> tuple[Condition, str] | None:
    waiting = state.get("waiting") or {}
    if waiting.get("reason") not in _NO_IMAGE:
        return None
    said = f"cannot get its image ({waiting['reason']}): {_said(waiting.get('message'))}"
    return (Condition.DISTURBED if was_well else Condition.FAILED), said


def _last_end(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    now = (container.get("state") or {}).get("terminated")
    return now or (container.get("lastState") or {}).get("terminated")


def _ended_with(terminated: Mapping[str, Any] | None, code: int) -> bool:
    return terminated is not None and terminated.get("exitCode") == code


def _containers(status: Mapping[str, Any], key: str) -> Iterable[Mapping[str, Any]]:
    return status.get(key) or ()


def _holds(conditions: Mapping[str, Mapping[str, Any]], kind: str) -> bool:
    return conditions.get(kind, {}).get("status") == "True"


def _said(message: object) -> str:
    """Return the end of a message, on one line: its last words tell the most."""
    text = printable(" ".join(str(message or "").split()))
    return text if len(text) <= _LAST_WORDS_MAX else f"…{text[-_LAST_WORDS_MAX:]}"
