"""Watches: changes as they come, bookmarks, and the error event of one that asks for too old a revision."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.fakes.kubernetes.errors import ApiError
from tests.fakes.kubernetes.kinds import Object
from tests.fakes.kubernetes.requests import Request
from tests.fakes.kubernetes.selecting import Chooser, chooser
from tests.fakes.kubernetes.store import Event, Store

_TURN_S = 0.2  # how often it is asked whether the watch is over


def watch(store: Store, request: Request, until: Callable[[], bool]) -> Iterator[dict[str, Any] | None]:
    """The events for one who watches, and None in every short silence, until ``until``."""
    choose = chooser(request.query)
    asked = int(request.query.get("resourceVersion") or 0)
    with store.changed:
        told = asked or store.revision
        there = [] if asked else store.all(request.kind, request.namespace)
    for found in there:
        if choose(found):
            yield {"type": "ADDED", "object": found}
    if request.query.get("sendInitialEvents") == "true":  # as kubectl wait asks
        bookmark = _bookmark(request, told)
        bookmark["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
        yield {"type": "BOOKMARK", "object": bookmark}
    try:
        for events in store.follow(told, until, _TURN_S):
            for event in events:
                told = event.revision
                if (seen := _seen(event, request, choose)) is not None:
                    yield seen
            if not events:
                yield None
    except ApiError as error:
        yield {"type": "ERROR", "object": error.status()}
        return
    if request.query.get("allowWatchBookmarks") == "true":
        yield {"type": "BOOKMARK", "object": _bookmark(request, told)}


def _seen(event: Event, request: Request, choose: Chooser) -> dict[str, Any] | None:
    """The event as this watch shows it: what begins or ceases to match a selector is added or deleted to it."""
    key, kind = event.key, request.kind
    if (key.group, key.plural) != (kind.group, kind.plural) or request.namespace not in ("", key.namespace):
        return None
    was = event.before is not None and choose(event.before)
    now = event.what != "DELETED" and choose(event.found)
    if not (was or now):
        return None
    return {"type": "MODIFIED" if was and now else "ADDED" if now else "DELETED", "object": event.found}


def _bookmark(request: Request, revision: int) -> Object:
    metadata = {"resourceVersion": str(revision), "creationTimestamp": None}
    return {"apiVersion": request.kind.api_version, "kind": request.kind.kind, "metadata": metadata}
