"""The drawing of what somebody looks at: the topics of the stream."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from controller.service import UnknownError
from controller.web import pages
from controller.web.board import Board

PAGES_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class BoardArtist:
    """Draws the topics of the stream (`controller.web.stream.Artist`)."""

    board: Board

    def prepare(self) -> None:
        pages.prepare()

    def draw(self, topic: str) -> Mapping[str, str]:
        """Return the fragments of the topic; none of a release that is not there."""
        kind, _, which = topic.partition("/")
        if kind == "overview":
            return pages.overview_fragments(self.board.overview(int(which)))
        try:
            seen = self.board.release(which)
        except UnknownError:
            return {}
        course, broken = self.board.course(seen.record, at_once=False) if seen.release is not None else (None, "")
        return pages.release_fragments(seen, course, broken)

    def refresh(self, topics: Collection[str]) -> None:
        """Ask the parts of the installation whether they answer, and read the pulses of the models looked at."""
        self.board.look_around()
        models: set[str] = set()
        for topic in topics:
            kind, _, which = topic.partition("/")
            if kind == "overview":
                models |= {service.model for service in self.board.overview(int(which)).services}
            elif (summary := self.board.service.journal.summary(which)) is not None:
                models.add(summary.model)
        self.board.pulses.read(self.board.versions_of(sorted(models)))

    def beat(self, trouble: str) -> str:
        return pages.beat_fragment(self.board.service.clock.now_s(), trouble)


def is_topic(topic: str) -> bool:
    """Return whether anything is called so."""
    kind, _, which = topic.partition("/")
    if kind == "overview":
        is_number = which.isascii() and which.isdecimal() and len(which) <= len(str(PAGES_MAX))
        return is_number and 0 < int(which) <= PAGES_MAX
    return kind == "release" and 0 < len(which) <= 300
