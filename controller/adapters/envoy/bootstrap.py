"""Envoy's static configuration: where it listens, and which files it follows. Never changed while it runs."""

import hashlib
import importlib.util
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from controller.adapters.envoy.admin import BOOTSTRAP_FILE, EnvoyAdmin
from controller.adapters.envoy.listeners import admin_cluster, admin_reader, clients_at_most, gateway_listener
from controller.adapters.envoy.routes import ROUTE_CONFIGURATION
from controller.adapters.envoy.stats import stats_settings
from controller.adapters.envoy.tables import (
    CLUSTERS_FILE,
    ENDPOINTS_FILE,
    LOCK_FILE,
    ROUTES_FILE,
    mend_clusters,
    mend_routes,
    read_clusters,
    read_routes,
    write_clusters,
    write_routes,
)
from controller.errors import PermanentError, Source, in_words
from controller.files import locked, replace_file

ADMIN_SOCKET = "admin.sock"
_SOCKET_PATH_BYTES_MAX = 107  # of sockaddr_un, its final zero apart
_OWNER_ONLY = 0o600


def write_bootstrap(
    directory: Path,
    listen_port: int,
    admin_port: int,
    *,
    listen_host: str = "127.0.0.1",
    names: Iterable[str] = (),
    files_max: int | None = None,
) -> Path:
    """Write the files that Envoy starts from, keeping existing tables and clusters, and return the bootstrap file. A
    file that is already right is not written again; one that was damaged or deleted is restored.

    ``names``: the hosts that clients may ask for, with or without a port, besides those of loopback. ``files_max``: how
    many files Envoy may have open, of which clients never get all.

    The admin interface, which can end Envoy, is a Unix socket that only this user may open. On ``admin_port`` of
    loopback any user of this machine may read whether Envoy is ready, and its counts.

    Raises:
        PermanentError: there is no place for the socket, or a file cannot be written.
        UsageError: a name is no host.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)  # also for the moment in which the socket has been made and not yet been closed to others
    socket = _admin_socket(directory)
    bootstrap = {
        "node": {"id": "serin", "cluster": "serin"},
        "admin": {
            "address": {"pipe": {"path": str(socket), "mode": _OWNER_ONLY}},
            "ignore_global_conn_limit": True,
        },
        "dynamic_resources": {"cds_config": _followed(directory / CLUSTERS_FILE)},
        "static_resources": {
            "listeners": [
                gateway_listener(listen_host, listen_port, names, _routes(directory)),
                admin_reader(admin_port),
            ],
            "clusters": [admin_cluster(socket)],
        },
        "layered_runtime": {"layers": [{"name": "memory", "admin_layer": {}}]},  # see `held`
        **stats_settings(),
        **({} if files_max is None else clients_at_most(files_max)),
    }
    mend_routes(directory)
    mend_clusters(directory)
    with locked(directory / LOCK_FILE, source=Source.TRAFFIC):
        routes = read_routes(directory)
        renewed = routes.renewed()  # an earlier version may have written them
        if renewed is not routes or not (directory / ROUTES_FILE).exists():
            write_routes(directory, renewed)
        if not (directory / ENDPOINTS_FILE).exists():
            write_clusters(directory, read_clusters(directory))
        text = json.dumps(bootstrap, indent=1)
        if _differs(directory / BOOTSTRAP_FILE, text):
            replace_file(directory / BOOTSTRAP_FILE, text)
    return directory / BOOTSTRAP_FILE


def bootstrap_digest(directory: Path) -> str:
    """Return the digest of what Envoy is started from: an Envoy that was started from something else is out of date."""
    return hashlib.sha256((directory / BOOTSTRAP_FILE).read_bytes()).hexdigest()


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8", errors="replace") != text
    except FileNotFoundError:
        return True


def envoy_command(directory: Path, *, threads: int = 2) -> list[str]:
    """The command that runs Envoy from the directory's bootstrap file.

    Raises:
        PermanentError: there is no Envoy on this machine.
    """
    arguments = ["--config-path", str(directory / BOOTSTRAP_FILE), "--concurrency", str(threads)]
    return [_binary(), *arguments, "--disable-hot-restart", "--log-level", "warning"]


def is_ready(directory: Path) -> bool:
    """Return whether Envoy has read its files and listens."""
    return EnvoyAdmin.beside(directory).is_ready()


def _admin_socket(directory: Path) -> Path:
    """The socket's path in the directory; if that is too long for a socket, in a private folder with a short path.

    Raises:
        PermanentError: that folder is somebody else's, or its path is too long as well.
    """
    place = directory.resolve() / ADMIN_SOCKET
    if len(os.fsencode(place)) <= _SOCKET_PATH_BYTES_MAX:
        return place
    folder = Path(tempfile.gettempdir()).resolve() / f"serin-{os.geteuid()}"
    short = folder / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}.sock"
    way_out = (
        f"choose a home with a shorter path: the path of Envoy's admin socket {place} would have more than 107 bytes"
    )
    if len(os.fsencode(short)) > _SOCKET_PATH_BYTES_MAX:
        raise PermanentError(f"{way_out}, and so would {short}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise PermanentError(f"{way_out}, and {folder} cannot be made: {in_words(error)}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermanentError(f"{way_out}, and {folder} is not a folder that only this user can use")
    return short


def _binary() -> str:
    wheel = importlib.util.find_spec("envoy")
    candidates = [Path(folder) / "_bin" / "envoy" for folder in (wheel and wheel.submodule_search_locations) or ()]
    candidates.append(Path(sys.executable).with_name("envoy"))
    found = next((str(path) for path in candidates if path.is_file()), None) or shutil.which("envoy")
    if found is None:
        raise PermanentError("there is no Envoy here: install it with `pip install 'serin[local]'`")
    return found


def _routes(directory: Path) -> dict[str, Any]:
    return {"route_config_name": ROUTE_CONFIGURATION, "config_source": _followed(directory / ROUTES_FILE)}


def _followed(path: Path) -> dict[str, Any]:
    return {
        "path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}},
        "resource_api_version": "V3",
    }
