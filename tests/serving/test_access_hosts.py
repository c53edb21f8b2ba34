"""Which Host and Origin headers mean this server."""

import pytest

from serving.access.hosts import Hosts, Stranger

PORT = 8081


@pytest.mark.parametrize("host", ["127.0.0.1:8081", "localhost:8081", "LOCALHOST:8081", "[::1]:8081", "127.1.2.3:8081"])
def test_loopback_with_the_right_port_is_us(host: str) -> None:
    assert Hosts().stranger([host], [], port=PORT) is None
    assert Hosts().stranger([host], [f"http://{host}"], port=PORT) is None


@pytest.mark.parametrize(
    "hosts",
    [
        ["rebound.example:8081"],
        ["localhost.rebound.example:8081"],
        ["127.0.0.1.nip.example:8081"],
        ["127.0.0.1"],
        ["127.0.0.1:9090"],
        ["127.0.0.1:8081@rebound.example"],
        ["rebound.example/127.0.0.1:8081"],
        ["127.0.0.1:8081 "],
        ["0.0.0.0:8081"],
        ["2130706433:8081"],
        ["127.0.0.1:99999999"],
        [""],
        [],
        ["127.0.0.1:8081", "127.0.0.1:8081"],
    ],
)
def test_any_other_host_is_a_stranger(hosts: list[str]) -> None:
    """Also none, more than one, and what only looks like ours."""
    assert Hosts().stranger(hosts, [], port=PORT) is Stranger.HOST


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://evil.example", "http://127.0.0.1:3000", "https://127.0.0.1", "file://", "127.0.0.1:8081"],
)
def test_a_page_of_another_origin_is_a_stranger(origin: str) -> None:
    """Another port of this machine is another origin."""
    assert Hosts().stranger(["127.0.0.1:8081"], [origin], port=PORT) is Stranger.ORIGIN


def test_configured_names_are_ours() -> None:
    """With their port, or with any where none is named."""
    hosts = Hosts(["serin.internal", "tunnel.example:9443"])
    for good in ("serin.internal:8081", "SERIN.internal", "tunnel.example:9443", "127.0.0.1:8081"):
        assert hosts.stranger([good], ["https://serin.internal"], port=PORT) is None
    for bad in ("tunnel.example:8081", "tunnel.example", "sub.serin.internal"):
        assert hosts.stranger([bad], [], port=PORT) is Stranger.HOST


@pytest.mark.parametrize("name", ["", "http://x", "a b", "x:y", "*"])
def test_what_is_no_host_is_refused(name: str) -> None:
    """By name, when it is configured."""
    with pytest.raises(ValueError, match="neither a host"):
        Hosts([name])
