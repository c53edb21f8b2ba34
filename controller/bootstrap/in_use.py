"""The versions that an installation needs: what their packages are kept for."""

from collections.abc import Iterable
from dataclasses import dataclass

from controller.bootstrap.plane import DataPlane
from controller.errors import UnreadableError
from controller.journal.codec import release_of
from controller.ports.journal import Journal

_ACTIVE_MAX = 10_000


@dataclass(frozen=True, slots=True)
class InUse:
    """The versions in use, by model and number, and the models of which it is not known which those are: all of
    theirs count."""

    versions: frozenset[tuple[str, str]]
    whole: frozenset[str] = frozenset()

    def __contains__(self, version: object) -> bool:
        return version in self.versions or (isinstance(version, tuple) and version[0] in self.whole)


def versions_in_use(plane: DataPlane, journal: Journal, models: Iterable[str]) -> InUse:
    """Return every model and version that runs, is routed to or could be, is being released, or that a release under
    way would go back to. ``models``: those that have a policy.

    Raises:
        TransientError: the data plane or the journal does not say.
    """
    tables = plane.tables()
    found, whole = set(), set()
    known = {*models, *(table.model for table in tables)}
    for record in journal.releases(active=True, limit=_ACTIVE_MAX):
        known.add(record.model)
        try:
            release = release_of(record)
        except UnreadableError:
            whole.add(record.model)
            continue
        taking_part = (release.candidate, release.champion, release.fallback)
        found |= {(record.model, version.number) for version in taking_part if version is not None}
    for table in tables:
        found |= {(table.model, version) for version in table.needed}
    for model in known:
        found |= {(model, version) for version in plane.deployments.status(model)}
    return InUse(frozenset(found), frozenset(whole))
