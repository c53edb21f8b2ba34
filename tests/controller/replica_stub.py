"""A program with the manners of ``python -m serving``: takes two free ports, writes them to a file, answers /health.

``--behaviour`` makes it misbehave: ``broken`` dies at its start, ``silent`` never answers, ``stubborn`` ignores
SIGTERM, ``parent`` leaves a worker behind in its process group when it ends.
"""

import argparse
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Quiet."""


def main() -> None:
    flags = argparse.ArgumentParser()
    flags.add_argument("--port-file", type=Path, required=True)
    flags.add_argument("--behaviour", default="")
    arguments = flags.parse_args()
    if arguments.behaviour == "broken":
        sys.exit("no weights in the package")
    if arguments.behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if arguments.behaviour == "parent":
        subprocess.Popen([sys.executable, "-c", "import signal; print('worker', flush=True); signal.pause()"])
    server, copies = HTTPServer(("127.0.0.1", 0), Handler), HTTPServer(("127.0.0.1", 0), Handler)
    print("serving", flush=True)
    if arguments.behaviour == "silent":
        signal.pause()
    temporary = arguments.port_file.with_suffix(".new")
    temporary.write_text(f"{server.server_address[1]}\n{copies.server_address[1]}\n")
    temporary.replace(arguments.port_file)
    server.serve_forever(poll_interval=0.02)


if __name__ == "__main__":
    main()
