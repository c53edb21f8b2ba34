"""The installations that commands ask: one here, by its home, or one elsewhere, by its interface."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from controller.adapters.clock import SystemClock
from controller.adapters.envoy.rollback import rollback_route
from controller.adapters.envoy.tables import ROUTES_FILE
from controller.adapters.remote.installation import RemoteInstallation
from controller.adapters.remote.wire import DEADLINE_S
from controller.bootstrap.afar import wire_to
from controller.bootstrap.condition import HomeSite
from controller.bootstrap.sight import sight_of
from controller.bootstrap.stores import opened
from controller.config.settings import Home
from controller.core.policy import ReleasePolicy
from controller.core.traffic import Override
from controller.service import Service
from controller.subscribers.undelivered import undelivered

if TYPE_CHECKING:
    from controller.loop.policies import CurrentPolicies


class _Models(Collection[str]):
    """Those that have a policy, asked anew each time."""

    def __init__(self, home: Home, policies: Callable[[], Mapping[str, ReleasePolicy]]) -> None:
        self._home = home
        self._policies = policies

    def __contains__(self, model: object) -> bool:
        from controller.bootstrap.policies import has_policy  # what reads them takes long to import

        return has_policy(self._home, str(model))

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies())

    def __len__(self) -> int:
        return len(self._policies())


@contextmanager
def service_of(home: Home) -> Iterator[Service]:
    """Yield the service of an installation, for what is asked of it without its controller. Raises as `open_home`."""
    policies = _policies_of(home)
    site = HomeSite(home, policies, cache(partial(sight_of, home)))
    clock = SystemClock()
    with opened(home) as store:
        yield Service(
            store.journal,
            store.inbox,
            store.freezes,
            clock,
            _Models(home, policies),
            site,
            replay=store.recordings.progress,
            watched=lambda: store.champions.kept()[1],
            untold=lambda: tuple(undelivered(store.notices.standing(), clock.now_s())),
            retreat=partial(_retreat, home),
        )


def _retreat(home: Home, model: str, to: str | None, override: Override) -> None:
    """Send users back by the gateway's files, as the on-call rollback does."""
    rollback_route(home.envoy / ROUTES_FILE, model, override.reason, override.by, override.at_s, to_version=to)


def _policies_of(home: Home) -> Callable[[], Mapping[str, ReleasePolicy]]:
    """Return how the policies are read: from the first time on that somebody asks."""

    @cache
    def known() -> "CurrentPolicies":
        from controller.bootstrap.policies import installed_policies  # what reads them takes long to import

        return installed_policies(home, home.load())

    def read() -> Mapping[str, ReleasePolicy]:
        return known()()

    return read


def elsewhere(
    url: str, *, token_file: Path | None, ca_file: Path | None, answers_within_s: float = DEADLINE_S
) -> RemoteInstallation:
    """An installation elsewhere, by its interface's address. Nothing is asked yet. Raises as `wire_to`."""
    deadline_s = min(DEADLINE_S, answers_within_s)
    return RemoteInstallation(wire_to(url, token_file=token_file, ca_file=ca_file, deadline_s=deadline_s))
