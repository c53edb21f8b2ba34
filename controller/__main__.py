"""``python -m controller --home DIR``: the controller process; `serin up` starts it and starts it again if it ends."""

import argparse
import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from controller.bootstrap import interpreter
from controller.bootstrap.controller import Controller, build, keep_tidy, serve_api, tell_people
from controller.bootstrap.stores import only_controller
from controller.config.settings import Home
from controller.config.variables import PRIVATE_UMASK
from controller.errors import SerinError
from serving.text.logs import log_to_stderr

log = logging.getLogger("controller")
_RETRY_S = 0.05
_RETRIES = 20


def main() -> int:
    flags = argparse.ArgumentParser(prog="python -m controller", description="Run the controller of one home.")
    flags.add_argument("--home", type=Path, required=True, help="folder that `serin up` made")
    home = Home(flags.parse_args().home.resolve())
    os.umask(PRIVATE_UMASK)
    interpreter.suit()
    log_to_stderr(logging.INFO, "%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopping, waking = threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        stopping.set()
        waking.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with ExitStack() as stack:
        try:
            name = stack.enter_context(only_controller(home))
            controller = build(home, name)
        except SerinError as error:
            log.error("%s", error)  # noqa: TRY400 - a sentence for a person, no traceback
            return 1
        stack.callback(controller.close)
        run(controller, stopping, waking)
    if controller.jobs.busy():  # what hangs elsewhere must not keep this process from ending
        logging.shutdown()
        os._exit(0)
    return 0


def run(controller: Controller, stopping: threading.Event, waking: threading.Event) -> None:
    """Serve the API, and go round while this controller leads, until ``stopping`` is set. Deployments and routes are
    left as they are."""

    def lost() -> None:
        stopping.set()
        waking.set()

    def wake() -> None:
        controller.poller.hint()
        waking.set()

    leader = controller.leader
    with (
        serve_api(controller, wake=wake),
        keep_tidy(controller),
        tell_people(controller),
        leader.campaign(taken=waking.set, lost=lost),
    ):
        retries = 0
        while not stopping.is_set():
            all_begun = not leader.leads() or controller.fleet.tick()
            retries = 0 if all_begun else retries - 1
            woken = waking.wait(_RETRY_S if retries > 0 else controller.settings.tick_s)
            waking.clear()
            if woken:  # somebody asked for something: a model that is just being seen to must not miss it
                retries = _RETRIES


if __name__ == "__main__":
    sys.exit(main())
