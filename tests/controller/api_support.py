"""The interface on ports in memory, and a client that speaks to it without a network."""

import asyncio
from dataclasses import dataclass, field

import httpx
from starlette.applications import Starlette

from controller.api.access import Access
from controller.api.app import ApiPorts, create_app
from controller.api.telemetry import Telemetry
from controller.roles import REPLICA, Role
from controller.service import Service
from serving.access.clients import unauthorized
from serving.access.tokens import Entry, new_token, utc_now
from serving.refusals import Refusal
from tests.fakes.freezes import FakeFreezes
from tests.fakes.inbox import FakeInbox
from tests.fakes.journal import FakeJournal
from tests.fakes.samples import FakeSamples
from tests.fakes.site import FakeSite

URL = "http://127.0.0.1:8081"


@dataclass
class StoppedClock:
    at_s: float = 1_795_432_308.0

    def now_s(self) -> float:
        return self.at_s


class FakeDeliveries:
    def __init__(self) -> None:
        self.seen: dict[str, float] = {}

    def is_new(self, delivery_id: str, *, at_s: float, forget_before_s: float) -> bool:
        self.seen = {known: seen_s for known, seen_s in self.seen.items() if seen_s >= forget_before_s}
        return self.seen.setdefault(delivery_id, at_s) == at_s


@dataclass
class World:
    """All that the interface touches, and how often it woke the loop."""

    samples: FakeSamples = field(default_factory=FakeSamples)
    inbox: FakeInbox = field(default_factory=FakeInbox)
    freezes: FakeFreezes = field(default_factory=FakeFreezes)
    deliveries: FakeDeliveries = field(default_factory=FakeDeliveries)
    clock: StoppedClock = field(default_factory=StoppedClock)
    site: FakeSite = field(default_factory=FakeSite)
    wakes: int = 0
    telemetry: Telemetry | None = None
    capture_ratios: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.journal = FakeJournal(self.inbox)

    def wake(self) -> None:
        self.wakes += 1

    def ports(self) -> ApiPorts:
        return ApiPorts(
            samples=self.samples,
            standing=self.samples,
            journal=self.journal,
            service=Service(
                self.journal, self.inbox, self.freezes, self.clock, {"intent", "tone"}, self.site, self.wake
            ),
            deliveries=self.deliveries,
            clock=self.clock,
            wake=self.wake,
            telemetry=self.telemetry,
            capture_ratio=self.capture_ratios.get,
        )

    def client(
        self,
        *roles: str,
        name: str = "ada",
        model: str | None = None,
        version: str | None = None,
        open_reading: bool = True,
        webhook_secret: bytes | None = None,
        argilla_secret: bytes | None = None,
    ) -> "Client":
        """Who asks has a token with these roles: that of an admin, where none is named."""
        tokens = FakeTokens()
        token = tokens.add(name, *(roles or (Role.ADMIN,)), model=model, version=version)
        access = Access(tokens, open_reading=open_reading)
        secret = None if webhook_secret is None else lambda: webhook_secret
        argilla = None if argilla_secret is None else lambda: argilla_secret
        return Client(create_app(self.ports(), access, webhook_secret=secret, argilla_secret=argilla), token)

    def replica(self, model: str = "intent", version: str = "6") -> "Client":
        """Who asks is a running replica."""
        return self.client(REPLICA, name=REPLICA, model=model, version=version)


class FakeTokens:
    """Tokens in memory, by themselves."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}

    def add(self, name: str, *roles: str, model: str | None = None, version: str | None = None) -> str:
        entry, token = new_token(name, utc_now(), roles=roles, model=model, version=version)
        self.entries[token.encode()] = entry
        return token

    def entry(self, token: bytes) -> Entry:
        if token not in self.entries:
            raise unauthorized(Refusal.UNKNOWN_TOKEN, "the token is not known here")
        return self.entries[token]


class Client:
    """Plain calls to an ASGI application, with a token. An exception in it is an answer of 500, as a user would see
    it."""

    def __init__(self, app: Starlette, token: str | None = None) -> None:
        self._app = app
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def stranger(self) -> "Client":
        """The same interface, asked without a token."""
        return Client(self._app)

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, json: object = None, **options: object) -> httpx.Response:
        return self.request("POST", path, **({"json": json} if json is not None else {}), **options)

    def request(self, method: str, path: str, **options: object) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=URL, headers=self._headers) as client:
                return await client.request(method, path, **options)  # type: ignore[arg-type]

        return asyncio.run(send())


def error_of(response: httpx.Response) -> dict[str, str]:
    """The error of an answer that is one: one object, one sentence on one line."""
    (key,) = response.json()
    assert key == "error"
    error: dict[str, str] = response.json()["error"]
    assert error["code"]
    assert error["message"]
    assert "\n" not in error["message"]
    return error
