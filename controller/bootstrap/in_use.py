"""The versions that an installation needs: what their packages are kept for."""

from collections.abc import Iterable

from controller.bootstrap.plane import DataPlane
from controller.ports.journal import Journal


def versions_in_use(plane: DataPlane, journal: Journal, models: Iterable[str]) -> set[tuple[str, str]]:
    """Return every model and version that runs, is routed to or could be, or is being released. ``models``: those that
    have a policy.

    Raises:
        TransientError: the data plane or the journal does not say.
    """
    tables = plane.tables()
    found = {(one.model, one.version) for one in journal.current() if one.active}
    for table in tables:
        mirrored = table.mirror.version if table.mirror is not None else None
        found |= {(table.model, one) for one in (*table.weights_pct, table.known_good, mirrored) if one}
    for model in {*models, *(table.model for table in tables)}:
        found |= {(model, version) for version in plane.deployments.status(model)}
    return found
