"""The upkeep of what one model's users need: it is kept running, what nobody needs is ended, and sampling is minded."""

import logging
from collections.abc import Callable
from functools import partial

from controller.core.policy import ReleasePolicy
from controller.core.release import Release
from controller.core.traffic import TrafficTable
from controller.errors import SerinError
from controller.loop.executor import Executor, World
from controller.loop.identities import Identities
from controller.loop.jobs import Jobs
from serving.package.artifact import ArtifactError

log = logging.getLogger(__name__)


class Upkeep:
    """The upkeep of one model."""

    def __init__(self, model: str, world: World, executor: Executor, identities: Identities, jobs: Jobs) -> None:
        self._model = model
        self._world = world
        self._executor = executor
        self._identities = identities
        self._jobs = jobs

    def keep(self, policy: ReleasePolicy, release: Release | None) -> None:
        """See to what the release under way needs, or the table where there is none, and drain the rest: not while
        users may still be answered by the table of before. See to how much is sampled."""
        self._world.sampling.mind(policy, release)
        table = self._world.traffic.read(self._model)
        needed = set(table.needed) if table is not None else set()
        if release is not None:
            needed |= {v.number for v in (release.candidate, release.champion, release.fallback) if v is not None}
        else:
            self._keep_running_all(policy, table)
        unneeded = [number for number in self._world.deployments.status(self._model) if number not in needed]
        if unneeded and ((progress := self._world.traffic.progress(self._model)) is None or progress.is_served):
            for number in unneeded:
                remove = partial(self._world.deployments.remove, self._model, number)
                _apart(f"model {self._model}: version {number} cannot be ended", remove)

    def keep_routed(self, policy: ReleasePolicy) -> None:
        """Keep running what the table routes to or could, and end nothing."""
        self._keep_running_all(policy, self._world.traffic.read(self._model))

    def _keep_running_all(self, policy: ReleasePolicy, table: TrafficTable | None) -> None:
        """Whoever has most of the traffic first."""
        if table is None:
            return
        for number in sorted(table.needed, key=table.share_of, reverse=True):
            kept = partial(self._keep_running, policy, number)
            _apart(f"model {self._model}: version {number} cannot be kept running", kept)

    def _keep_running(self, policy: ReleasePolicy, number: str) -> None:
        identity = self._identities.of(self._model, number)
        serving = self._identities.served_with(self._model, number)
        run = partial(self._executor.keep_running, policy, serving, identity)
        self._jobs.ask("packages", ("keep", self._model, number), identity, run)


def _apart(what: str, work: Callable[[], object]) -> None:
    """Whatever goes wrong with one version is logged; the others are seen to all the same."""
    try:
        work()
    except (SerinError, ArtifactError, OSError, MemoryError) as error:
        log.warning("%s: %s", what, error)
    except Exception:
        log.exception("%s", what)
