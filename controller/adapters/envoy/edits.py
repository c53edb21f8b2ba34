"""Edits of the route file by somebody else: what a model's route was changed to, and by whom, as far as the file
shows."""

import pwd
from datetime import UTC, datetime
from pathlib import Path

from controller.adapters.envoy.routes import RouteDocument
from controller.core.traffic import Drift


def edit_of(document: RouteDocument, model: str, file: Path) -> Drift | None:
    """Return what somebody changed in the model's route, in the file that the document was read from; None if it is as
    it was written."""
    digest = document.edit(model)
    if digest is None:
        return None
    by, when = _last_writer(file)
    table = document.table(model)
    what = f"the route of {model} was deleted from {file.name}"
    if table is not None:
        shares = ", ".join(f"version {version} {pct:g} %" for version, pct in table.weights_pct.items())
        what = f"the route of {model} in {file.name} is not as Serin wrote it (now {shares})"
    return Drift(digest, f"{what}; the file was written last {when} by {by or 'an unknown user'}", by)


def _last_writer(file: Path) -> tuple[str, str]:
    """The owner of the file, and when it was last written: whoever edited it, unless Serin has written the file
    since."""
    try:
        found = file.stat()
        when = f"at {datetime.fromtimestamp(found.st_mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
        return pwd.getpwuid(found.st_uid).pw_name, when
    except (OSError, KeyError):
        return "", "at an unknown time"
