"""The upkeep of one model: keeps the needed versions running, ends the others, and decides the share of samples."""

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
        """Keep the versions of the traffic table running, if no release is in progress, and drain the versions that are
        not needed, unless users may still be answered by an earlier table. Decide the share of samples."""
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
        """Keep all versions of the traffic table running, and end none."""
        self._keep_running_all(policy, self._world.traffic.read(self._model))

    def _keep_running_all(self, policy: ReleasePolicy, table: TrafficTable | None) -> None:
        """Keep the table's versions running, the one with the most traffic first."""
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
    """Do the work for one version. An error is logged, so that the other versions are handled all the same."""
    try:
        work()
    except (SerinError, ArtifactError, OSError, MemoryError) as error:
        log.warning("%s: %s", what, error)
    except Exception:
        log.exception("%s", what)
