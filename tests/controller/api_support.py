"""The interface on ports in memory, and a client that speaks to it without a network."""

import asyncio
from dataclasses import dataclass, field

import httpx
from starlette.applications import Starlette

from controller.api.app import ApiPorts, create_app
from tests.fakes.freezes import FakeFreezes
from tests.fakes.inbox import FakeInbox
from tests.fakes.journal import FakeJournal
from tests.fakes.samples import FakeSamples


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
    wakes: int = 0

    def __post_init__(self) -> None:
        self.journal = FakeJournal(self.inbox)

    def wake(self) -> None:
        self.wakes += 1

    def ports(self) -> ApiPorts:
        return ApiPorts(
            samples=self.samples,
            journal=self.journal,
            inbox=self.inbox,
            freezes=self.freezes,
            deliveries=self.deliveries,
            clock=self.clock,
            wake=self.wake,
        )

    def client(self, *, token: str | None = None, webhook_secret: bytes | None = None) -> "Client":
        return Client(create_app(self.ports(), token=token, webhook_secret=webhook_secret))


class Client:
    """Plain calls to an ASGI application. An exception in it is an answer of 500, as a user would see it."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, json: object = None, **options: object) -> httpx.Response:
        return self.request("POST", path, **({"json": json} if json is not None else {}), **options)

    def request(self, method: str, path: str, **options: object) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://controller") as client:
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
