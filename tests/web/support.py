"""The page on ports in memory, with real releases in the journal, and a browser that speaks HTTP only."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import httpx
from starlette.applications import Starlette

from controller.api.access import Access
from controller.api.app import create_app
from controller.core.condition import Condition
from controller.core.traffic import Mirror, TrafficTable
from controller.ports.metrics import CounterCursor, GatewayCounts
from controller.ports.runtime import DeploymentStatus, Endpoint
from controller.web.artist import BoardArtist
from controller.web.board import Board
from controller.web.course import Courses
from controller.web.pulse import Pulses
from controller.web.routes import Web
from controller.web.sessions import Sessions
from controller.web.stream import Stream
from gates.evidence import ArmCounts
from tests.controller import report_support
from tests.controller.api_support import URL, Client, FakeTokens, World
from tests.controller.report_support import Journal, Scene

SECRET = b"the key of digests"
ORIGIN = {"origin": URL}
EDGES_MS = (10.0, 20.0, 50.0, 100.0)
CANARY = replace(report_support.PROMOTED, stop_after_s=440.0)  # at the first step


@dataclass
class GatewayMetrics:
    """The gateway's counts of the last minutes: the same for every model that routes to these versions."""

    live: Mapping[str, ArmCounts] = field(
        default_factory=lambda: {
            "6": ArmCounts(9_500, 3, (0, 4_000, 5_400, 97, 0)),
            "7": ArmCounts(500, 12, (0, 200, 240, 40, 8)),
        }
    )
    asked: list[tuple[str, tuple[str, ...], bool, float]] = field(default_factory=list)

    def gateway(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        self.asked.append((model, tuple(versions), cursor is not None, at_s))
        nothing = ArmCounts(0, 0, (0,) * (len(EDGES_MS) + 1))
        live = {version: self.live.get(version, nothing) if cursor else nothing for version in versions}
        return GatewayCounts(live, {}, {}, EDGES_MS, CounterCursor({}, at_s))


@dataclass
class PageWorld(World):
    """The interface's world, and the page's on top of it."""

    metrics: GatewayMetrics = field(default_factory=GatewayMetrics)
    tokens: FakeTokens = field(default_factory=FakeTokens)

    def __post_init__(self) -> None:
        super().__post_init__()
        service = self.ports().service
        self.board = Board(service, Pulses(self.metrics, self.clock), Courses(self.journal))  # type: ignore[arg-type]
        self.artist = BoardArtist(self.board)
        self.stream = Stream(self.journal, self.artist)
        self.sessions = Sessions(SECRET, self.clock)

    def add(self, journal: Journal, *, release_id: str = "intent-v7-1", model: str = "intent") -> None:
        """Put a release into the store as it was played."""
        record = replace(journal.record, release_id=release_id, model=model)
        self.journal.append(record, [entry.entry for entry in journal.entries])

    def routed(self, model: str = "intent", **weights_pct: float) -> None:
        """Route the model: ``v6=95, v7=5``."""
        weights = {name.removeprefix("v"): pct for name, pct in weights_pct.items()}
        self.site.tables[model] = TrafficTable(model, weights, Mirror("7", 100.0), known_good="6", generation=4)
        ready = Endpoint(Condition.READY, "http://127.0.0.1:1")
        away = Endpoint(Condition.STARTING, detail="it is loading its package")
        self.site.running[model] = {
            "6": DeploymentStatus("6", (ready, ready)),
            "7": DeploymentStatus("7", (ready, away)),
        }

    def app(self, *, open_reading: bool = True) -> Starlette:
        access = Access(self.tokens, open_reading=open_reading)
        web = Web(self.board, self.stream, self.sessions, access)
        return create_app(self.ports(), access, beside=web.routes())

    def browser(self, *roles: str, name: str = "ada", model: str | None = None, open_reading: bool = True) -> "Browser":
        """Who looks: nobody in particular, or signed in with these roles."""
        browser = Browser(Client(self.app(open_reading=open_reading)))
        if roles:
            token = self.tokens.add(name, *roles, model=model)
            assert browser.submit("/web/session", "/web/session", token=token).status_code == 303
        return browser


class Browser:
    """Keeps cookies, and sends a form with the fields that the page has hidden in it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._asked("GET", path, headers=headers)

    def post(self, path: str, form: Mapping[str, str], headers: Mapping[str, str] = ORIGIN) -> httpx.Response:
        return self._asked("POST", path, headers=dict(headers), data=dict(form))

    def submit(self, page: str, path: str, **fields: str) -> httpx.Response:
        """Fill in the form of that page and send it."""
        return self.post(path, {**hidden(self.get(page).text), **fields})

    def _asked(self, method: str, path: str, **options: object) -> httpx.Response:
        headers = dict(options.pop("headers"))  # type: ignore[call-overload]
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = self._client.request(method, path, headers=headers, **options)
        for name, value in response.cookies.items():
            self.cookies[name] = value
        if "max-age=0" in response.headers.get("set-cookie", "").lower():
            self.cookies.clear()
        return response


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of a page's form."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


@functools.cache
def canary() -> Journal:
    """A release on its way, at a canary step."""
    return report_support.play(CANARY)


@functools.cache
def rolled_back() -> Journal:
    """A release that a gate ended."""
    return report_support.play(report_support.LESS_ACCURATE)


def scene(**changes: object) -> Scene:
    return replace(CANARY, **changes)  # type: ignore[arg-type]
