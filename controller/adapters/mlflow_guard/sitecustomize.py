"""Imported by Python itself at its start if this folder is on PYTHONPATH. Standard library only.

MLflow sends webhooks to whatever URL somebody registered. Its only switch allows all ports of this machine and all
private networks at once. This module instead checks each connection, by the address that the name was resolved to: only
one place on this machine may be reached. An audit hook sees the connections of every library, and cannot be removed.
"""

import importlib.machinery
import importlib.util
import ipaddress
import os
import sys
from pathlib import Path

_MAY_REACH = os.environ.get("SERIN_MLFLOW_MAY_REACH", "")


def _look(event: str, arguments: tuple[object, ...]) -> None:
    """Raise PermissionError, which is an OSError, if the connection is not allowed: to the caller, the connection
    failed."""
    if event == "socket.connect" and not _is_allowed(arguments[1]):
        raise PermissionError(f"Serin's MLflow server may not connect to {arguments[1]}")


def _is_allowed(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket: no URL leads there
    host, port = address[0], address[1]
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except (ValueError, AttributeError):
        return False  # a host name: nobody knows what it will be resolved to
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    if f"{ip}:{port}" == _MAY_REACH:
        return True
    return ip.is_global and not ip.is_multicast


def _pass_on() -> None:
    """Import the next module of this name on the path, which this one hides, if there is one."""
    here = Path(__file__).parent.resolve()
    others = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    sys.addaudithook(_look)
    _pass_on()
