"""MLflow's webhooks: only a genuine, fresh, new delivery wakes the loop."""

import pytest

from tests.controller.api_support import World, error_of

# As a real MLflow server sent it, with the secret "abc".
BODY = (
    b'{"entity": "registered_model", "action": "created", "timestamp": "2026-11-23T11:11:48.623771+00:00", '
    b'"data": {"name": "x", "tags": {}, "description": ""}}'
)
HEADERS = {
    "content-type": "application/json",
    "X-MLflow-Delivery-Id": "f01b939f-59ed-459f-98eb-e309a7ed5a9d",
    "X-MLflow-Timestamp": "1795432308",
    "X-MLflow-Signature": "v1,qRE/8fzN65W/GV5AyFqrbwBQbhnaIiGDTwVL8Lq55tE=",
}
SENT_S = 1_795_432_308.0


@pytest.fixture
def world() -> World:
    return World()


def deliver(world: World, body: bytes = BODY, secret: bytes = b"abc", **changes: str | bytes):  # type: ignore[no-untyped-def]
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return world.client(webhook_secret=secret).request("POST", "/v1/webhooks/mlflow", content=body, headers=headers)


def test_a_genuine_delivery_wakes_the_loop(world: World) -> None:
    """And does nothing else: the registry itself is asked what changed."""
    response = deliver(world)
    assert (response.status_code, response.json()) == (200, {"new": True})
    assert world.wakes == 1
    assert world.inbox.waiting() == ()


def test_a_replayed_delivery_wakes_nobody(world: World) -> None:
    """It is answered as a success, because MLflow itself repeats a delivery whose answer it missed."""
    deliver(world)
    world.clock.at_s += 299
    response = deliver(world)
    assert (response.status_code, response.json()) == (200, {"new": False})
    assert world.wakes == 1


@pytest.mark.parametrize("off_s", [-301.0, 301.0])
def test_a_delivery_out_of_its_time_is_refused(world: World, off_s: float) -> None:
    """An id is remembered only as long as its timestamp lets it in."""
    world.clock.at_s = SENT_S + off_s
    response = deliver(world)
    assert (response.status_code, error_of(response)["code"]) == (401, "webhook")
    assert world.wakes == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"X_MLflow_Signature": "v1,AAAA"},
        {"X_MLflow_Signature": ""},
        {"X_MLflow_Signature": "v1,ü".encode()},
        {"X_MLflow_Delivery_Id": "another"},
        {"X_MLflow_Delivery_Id": ""},
        {"X_MLflow_Timestamp": "1795432309"},
        {"X_MLflow_Timestamp": "soon"},
        {"X_MLflow_Timestamp": "9" * 400},
    ],
)
def test_a_delivery_that_was_tampered_with_is_refused(world: World, changes: dict[str, str | bytes]) -> None:
    """Signature, id and timestamp hold each other."""
    response = deliver(world, **changes)
    assert (response.status_code, error_of(response)["code"]) == (401, "webhook")
    assert world.wakes == 0


@pytest.mark.parametrize("body", [BODY.replace(b'"x"', b'"y"'), b"", b"\xff"])
def test_a_changed_body_is_refused(world: World, body: bytes) -> None:
    """Byte for byte, and whatever bytes they are."""
    assert deliver(world, body).status_code == 401
    assert world.wakes == 0


def test_another_secret_is_refused(world: World) -> None:
    """Who does not know the secret cannot wake the loop."""
    assert deliver(world, secret=b"abd").status_code == 401


def test_one_of_several_signatures_is_enough(world: World) -> None:
    """Secrets are rotated by signing with the old and the new one for a while."""
    signatures = f"v1,AAAA {HEADERS['X-MLflow-Signature']}"
    assert deliver(world, X_MLflow_Signature=signatures).status_code == 200


def test_without_a_secret_there_is_no_route(world: World) -> None:
    """Nothing could be believed that came by it."""
    response = world.client().request("POST", "/v1/webhooks/mlflow", content=BODY, headers=HEADERS)
    assert response.status_code == 404
