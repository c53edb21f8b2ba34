"""A real MLflow server, as `serin up` starts it."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from controller.adapters.local.loopback import free_port
from controller.adapters.mlflow.server import Hooks, mlflow_ready_url, mlflow_server_command
from tests.patience import PATIENCE_S

HOST = "127.0.0.1"


@contextmanager
def mlflow_server(
    directory: Path, *, hooks: Hooks | None = None, env: Mapping[str, str] | None = None, within_s: float = 600.0
) -> Iterator[str]:
    """The address of a server with its store in the directory, and these variables besides ours; all its processes end
    with the block."""
    port = free_port()
    command, environment = mlflow_server_command(directory / "mlflow", HOST, port, hooks=hooks)
    log_file = directory / "mlflow.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **environment, **(env or {})}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline_s, pause = time.monotonic() + within_s, threading.Event()
        while not _is_ready(mlflow_ready_url(HOST, port)):
            assert process.poll() is None, log_file.read_text()
            assert time.monotonic() < deadline_s, f"not ready in {within_s} s: {log_file.read_text()}"
            pause.wait(0.1)
        yield f"http://{HOST}:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
