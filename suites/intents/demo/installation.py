"""An installation of Serin for the demonstration, used as a person would use it: by its command and its HTTP
interface."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx

UP_WITHIN_S: Final = 300.0
DOWN_WITHIN_S: Final = 90.0
SERIN: Final = str(Path(sys.executable).with_name("serin"))


class DemoError(Exception):
    """The demonstration could not go on; says why in one line."""


class Installation:
    """The `serin up` of one folder, and what it answers."""

    def __init__(self, home: Path, settings: Mapping[str, Any], client: httpx.Client) -> None:
        self.home = home
        self.gateway = f"http://127.0.0.1:{settings['gateway_port']}"
        self.api = f"http://127.0.0.1:{settings['api_port']}"
        self.registry = f"http://127.0.0.1:{settings['mlflow_port']}"
        self.label_token_file = home / "demo-labels.token"
        self._client = client

    def make_label_token(self) -> None:
        """Create a token for the source of the labels, and keep it where only its owner can read it."""
        token = self.serin("token", "create", "--role", "labels", "--name", "demo", "--expires", "1d")
        self.label_token_file.unlink(missing_ok=True)
        self.label_token_file.touch(mode=0o600)
        self.label_token_file.write_text(token + "\n", encoding="ascii")

    def token(self) -> dict[str, str]:
        """Return the header with the token of the installation's owner."""
        return {"authorization": f"Bearer {(self.home / 'api.token').read_text(encoding='ascii').strip()}"}

    def serin(self, *arguments: str) -> str:
        """Run a command and return its output. Raises DemoError if it fails."""
        return self._run(arguments, well=(0,))

    def status(self) -> str:
        """Return what `serin status` shows, whether everything answers or not. Raises DemoError if it shows nothing."""
        return self._run(("status",), well=(0, 4))

    def _run(self, arguments: Sequence[str], *, well: Sequence[int]) -> str:
        command = [SERIN, *arguments, "--home", str(self.home)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode not in well:
            raise DemoError(f"`serin {' '.join(arguments)}` exited with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def releases(self) -> Sequence[Mapping[str, Any]]:
        """Return the releases, the newest first; none if the API does not answer."""
        answer = self._get("/v1/releases?model=intent")
        return list(answer["releases"]) if answer else []

    def release(self, release_id: str) -> Mapping[str, Any] | None:
        return self._get(f"/v1/releases/{release_id}")

    def serving_version(self) -> str | None:
        """Return the version that answers a user now; None if nobody is answered."""
        with suppress(httpx.HTTPError):
            answer = self._client.post(f"{self.gateway}/models/intent/predict", json={"text": "where is my order"})
            if answer.is_success:
                return str(answer.json()["model_version"])
        return None

    def _get(self, path: str) -> Mapping[str, Any] | None:
        with suppress(httpx.HTTPError):
            answer = self._client.get(self.api + path, headers=self.token())
            if answer.is_success:
                found: Mapping[str, Any] = answer.json()
                return found
        return None


@contextmanager
def installation(
    home: Path,
    policy: Path,
    tell: Callable[[str], None],
    *flags: str,
    prepare: Callable[[Path], None] = lambda _: None,
    under: Sequence[str] = (),
) -> Iterator[Installation]:
    """Yield a fresh installation that is up and was started with these flags, too. When the block ends it is stopped,
    and nothing is left running. ``prepare`` is called with the empty home before anything is started; ``under`` is a
    command that runs another."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700, parents=True)
    prepare(home)
    command = [
        *under,
        SERIN,
        "up",
        "--home",
        str(home),
        "--free-ports",
        "--capture-text",
        "--policy",
        str(policy),
        *flags,
    ]
    log = home / "up.log"
    log.touch(mode=0o600)
    with log.open("wb") as output, httpx.Client(timeout=5, trust_env=False) as client:
        # It gets a session of its own, so that Ctrl-C reaches only this process, which then stops it in order.
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _await_up(process, log, tell)
            serin = Installation(home, json.loads((home / "settings.json").read_text()), client)
            serin.make_label_token()
            yield serin
        finally:
            tell("ending everything")
            _end(process, home)


def _await_up(process: subprocess.Popen[bytes], log: Path, tell: Callable[[str], None]) -> None:
    deadline_s, told = time.monotonic() + UP_WITHIN_S, 0
    while time.monotonic() < deadline_s:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines[told:]:
            tell(line.removeprefix("serin: "))
        told = len(lines)
        if any("up. Models" in line for line in lines):
            return
        if process.poll() is not None:
            raise DemoError(f"`serin up` ended with {process.returncode}; its log: {log}")
        time.sleep(0.1)
    raise DemoError(f"`serin up` was not ready within {UP_WITHIN_S:g} s; its log: {log}")


def _end(process: subprocess.Popen[bytes], home: Path) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(DOWN_WITHIN_S)
    if process.poll() is None:
        process.kill()
        process.wait()
    # Ends what a killed supervisor has left; finds nothing if all went well.
    subprocess.run([SERIN, "down", "--home", str(home)], capture_output=True, check=False, timeout=DOWN_WITHIN_S)
