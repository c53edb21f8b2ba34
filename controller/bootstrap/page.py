"""The page of a controller, put together: what it reads, who is let in, and the thread that follows the journal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from controller.adapters.clock import SystemClock
from controller.api.access import Access
from controller.bootstrap.metrics import metrics_of
from controller.bootstrap.stores import digest_key_file
from controller.ports.runtime import DeploymentStatus
from controller.service import Service
from controller.web.artist import BoardArtist
from controller.web.board import Board
from controller.web.course import Courses
from controller.web.pulse import Pulses
from controller.web.routes import Web
from controller.web.sessions import Sessions
from controller.web.stream import Stream

if TYPE_CHECKING:
    from controller.bootstrap.controller import Controller


@dataclass(frozen=True, slots=True)
class Page:
    """The parts that every address of the interface shows the same page by."""

    board: Board
    stream: Stream
    sessions: Sessions

    def routes(self, access: Access) -> list[BaseRoute]:
        """The page's routes at one address."""
        return Web(self.board, self.stream, self.sessions, access).routes()

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow the journal for all who look on, while the block lasts; then every stream ends."""
        self.stream.start()
        try:
            yield
        finally:
            self.stream.close()


def page_of(controller: "Controller", service: Service) -> Page:
    """The page of this controller, which asks ``service``. Raises UsageError as `metrics_of`."""
    clock, settings, home = SystemClock(), controller.settings, controller.home

    def running(model: str) -> Mapping[str, DeploymentStatus]:
        return controller.plane.deployments.status(model)

    journal = controller.store.journal
    pulses = Pulses(metrics_of(settings, running), clock)  # of its own: looks must not wait for a page
    board = Board(service, pulses, Courses(journal), controller.fleet.under_way)
    # What all controllers of one database have in common, and whoever reads it could read the tokens, too.
    secret = digest_key_file(home, settings).read_bytes().strip()
    return Page(board, Stream(journal, BoardArtist(board)), Sessions(secret, clock))
