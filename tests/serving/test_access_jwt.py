"""JWTs of an issuer: only what it signed, for us, now; and none of the known ways around a signature."""

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from serving.access.clients import Client
from serving.access.issuer import JwtIssuer
from serving.access.keys import KeysError, parse_keys
from serving.refusals import Refusal, RefusedError
from serving.settings import JwtSettings

ISSUER, AUDIENCE = "https://issuer.example", "serin"
NOW_S = 1_795_000_000
KEYS: Mapping[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def jwk(algorithm: str, key: Any, **more: Any) -> dict[str, Any]:
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": algorithm, **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


ALL = [jwk(algorithm, key) for algorithm, key in KEYS.items()]


def claims(**changes: Any) -> dict[str, Any]:
    now_s = __import__("time").time()
    document = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now_s + 600, "nbf": now_s - 5, **changes}
    return {name: value for name, value in document.items() if value is not None}


def signed(algorithm: str = "EdDSA", *, kid: str | None = None, key: Any = None, **changes: Any) -> bytes:
    headers = {"kid": kid or algorithm}
    return jwt.encode(claims(**changes), key or KEYS[algorithm], algorithm=algorithm, headers=headers).encode()


def unsigned_part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(*ALL))
    return path


@pytest.fixture
def issuer(key_file: Path) -> JwtIssuer:
    return JwtIssuer(JwtSettings(str(key_file), ISSUER, AUDIENCE))


def asked(issuer: JwtIssuer, *tokens: bytes) -> list[Client | Refusal]:
    async def ask(token: bytes) -> Client | Refusal:
        try:
            return await issuer.client(token)
        except RefusedError as error:
            return error.refusal if "invalid_token" in error.headers["www-authenticate"] else Refusal.NO_TOKEN

    async def all_of_them() -> list[Client | Refusal]:
        return [await ask(token) for token in tokens]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_of_the_issuer_names_its_client(issuer: JwtIssuer, algorithm: str) -> None:
    token = signed(algorithm)
    assert asked(issuer, token, token) == [Client("alice")] * 2


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"exp": 1}, Refusal.EXPIRED_TOKEN),
        ({"exp": None}, Refusal.UNKNOWN_TOKEN),
        ({"exp": "soon"}, Refusal.UNKNOWN_TOKEN),
        ({"nbf": 2**33}, Refusal.UNKNOWN_TOKEN),
        ({"aud": "others"}, Refusal.UNKNOWN_TOKEN),
        ({"aud": None}, Refusal.UNKNOWN_TOKEN),
        ({"iss": "https://other.example"}, Refusal.UNKNOWN_TOKEN),
        ({"iss": None}, Refusal.UNKNOWN_TOKEN),
        ({"sub": None}, Refusal.UNKNOWN_TOKEN),
        ({"sub": ""}, Refusal.UNKNOWN_TOKEN),
        ({"sub": "a\nb"}, Refusal.UNKNOWN_TOKEN),
        ({"sub": "a" * 200}, Refusal.UNKNOWN_TOKEN),
    ],
)
def test_claims_must_be_there_and_right(issuer: JwtIssuer, changes: dict[str, Any], refusal: Refusal) -> None:
    assert asked(issuer, signed(**changes)) == [refusal]


def test_an_unsigned_token_is_refused(issuer: JwtIssuer) -> None:
    for name in ("none", "None", "NONE", "nOnE", ""):
        head = unsigned_part({"alg": name, "kid": "RS256", "typ": "JWT"})
        assert asked(issuer, f"{head}.{unsigned_part(claims())}.".encode()) == [Refusal.UNKNOWN_TOKEN]


def test_a_public_key_is_no_shared_secret(issuer: JwtIssuer) -> None:
    """The classic confusion of algorithms: HS256 with the bytes of the public RSA key."""
    import hashlib
    import hmac

    public = KEYS["RS256"].public_key()
    encodings = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(jwk("RS256", KEYS["RS256"])).encode(),
    ]
    body = f"{unsigned_part({'alg': 'HS256', 'kid': 'RS256'})}.{unsigned_part(claims())}"
    for secret in encodings:
        mac = base64.urlsafe_b64encode(hmac.new(secret, body.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
        assert asked(issuer, f"{body}.{mac}".encode()) == [Refusal.UNKNOWN_TOKEN]


@pytest.mark.parametrize(("algorithm", "kid"), [("RS256", "ES256"), ("ES256", "EdDSA"), ("EdDSA", "RS256")])
def test_a_key_serves_its_own_algorithm_only(issuer: JwtIssuer, algorithm: str, kid: str) -> None:
    assert asked(issuer, signed(algorithm, kid=kid)) == [Refusal.UNKNOWN_TOKEN]


def test_other_algorithms_of_the_same_key_are_refused(issuer: JwtIssuer) -> None:
    for algorithm in ("RS384", "RS512", "PS256"):
        token = jwt.encode(claims(), KEYS["RS256"], algorithm=algorithm, headers={"kid": "RS256"})
        assert asked(issuer, token.encode()) == [Refusal.UNKNOWN_TOKEN]


def test_a_key_inside_the_token_is_not_asked(issuer: JwtIssuer) -> None:
    """`jwk`, `jku` and `x5c` of a header are the sender's own word."""
    own = ed25519.Ed25519PrivateKey.generate()
    headers = {"kid": "EdDSA", "jwk": jwk("EdDSA", own), "jku": "http://127.0.0.1:9/keys"}
    token = jwt.encode(claims(), own, algorithm="EdDSA", headers=headers).encode()
    assert asked(issuer, token) == [Refusal.UNKNOWN_TOKEN]


@pytest.mark.parametrize(
    "head",
    [{"alg": 5}, {"alg": []}, {"alg": {}}, {"alg": None}, {}, {"alg": "EdDSA", "kid": 5}, {"alg": "EdDSA", "kid": {}},
     {"alg": "EdDSA", "kid": "EdDSA", "crit": ["x"]}, {"alg": "EdDSA", "kid": "EdDSA", "b64": False, "crit": ["b64"]}],
)  # fmt: skip
def test_odd_headers_are_refused_and_no_fault_of_ours(issuer: JwtIssuer, head: dict[str, Any]) -> None:
    signature = signed().rpartition(b".")[2].decode()
    for whole in (head, {"kid": "EdDSA", **head}):
        token = f"{unsigned_part(whole)}.{unsigned_part(claims())}.{signature}"
        assert asked(issuer, token.encode()) == [Refusal.UNKNOWN_TOKEN]


@pytest.mark.parametrize("token", [b"", b"a", b"a.b", b"a.b.c", b"....", b"\xff\xfe.\xff.\xff", b"e30.e30.e30"])
def test_what_is_no_token_is_refused(issuer: JwtIssuer, token: bytes) -> None:
    assert asked(issuer, token) == [Refusal.UNKNOWN_TOKEN]


def test_every_changed_character_of_a_token_is_noticed(issuer: JwtIssuer) -> None:
    token = signed("EdDSA")
    head, body, signature = token.split(b".")
    others = bytes.maketrans(b"ABCDEFGHIJ", b"BCDEFGHIJA")
    spoiled = [
        b".".join([head, body, signature[:at] + spoilt + signature[at + 1 :]])
        for at in range(0, len(signature) - 1, 3)
        if (spoilt := signature[at : at + 1].translate(others)) != signature[at : at + 1]
    ]
    assert spoiled
    assert set(asked(issuer, *spoiled)) == {Refusal.UNKNOWN_TOKEN}


def test_a_remembered_token_still_expires(key_file: Path) -> None:
    import time

    now_s = time.time()
    moved = [now_s]
    issuer = JwtIssuer(JwtSettings(str(key_file), ISSUER, AUDIENCE), unix_s=lambda: moved[0])
    token = signed(exp=now_s - 10)  # within the leeway
    assert asked(issuer, token) == [Client("alice")]
    remembered_until_s = next(iter(issuer._remembered.values()))[1]
    assert remembered_until_s <= now_s + 21


def test_what_is_remembered_is_bounded(issuer: JwtIssuer) -> None:
    assert asked(issuer, signed()) == [Client("alice")]
    for number in range(12_000):
        issuer._remembered[number.to_bytes(4)] = Client("x"), 0.0
    asked(issuer, signed(sub="bob"))
    assert len(issuer._remembered) <= 12_001
    assert len(list(issuer._remembered)[-1]) == hashlib.sha256().digest_size, "digests, not tokens"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "not a JWK Set"),
        (b"[]", "not a JWK Set"),
        (b'{"keys": 5}', "not a JWK Set"),
        (b'{"keys": [5, null, {}]}', "no public key"),
        (jwks({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}), "no public key"),
        (jwks(jwk("EdDSA", KEYS["EdDSA"], use="enc")), "no public key"),
        (jwks({**jwk("EdDSA", KEYS["EdDSA"]), "kid": ""}), "no public key"),
    ],
)
def test_keys_that_cannot_verify_are_not_taken(document: bytes, says: str) -> None:
    with pytest.raises(KeysError, match=says):
        parse_keys(document, "here")


@pytest.mark.parametrize(
    "source", ["http://issuer.example/keys", "ftp://127.0.0.1/keys", "/nowhere/keys.json", "https://"]
)
def test_keys_come_from_where_nobody_can_forge_them(source: str) -> None:
    with pytest.raises(KeysError):
        JwtIssuer(JwtSettings(source, ISSUER, AUDIENCE))


class _Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked += 1
        status, body = server.answer()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def key_server() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Keys)
    server.daemon_threads = True
    server.asked = 0
    answer: Callable[[], tuple[int, bytes]] = lambda: (200, jwks(ALL[2]))  # noqa: E731
    server.answer = answer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def of_server(server: Any) -> JwtIssuer:
    return JwtIssuer(JwtSettings(f"http://127.0.0.1:{server.server_port}/keys?x=1", ISSUER, AUDIENCE))


def test_keys_are_fetched_when_first_needed_and_invented_ids_fetch_no_more(key_server: Any) -> None:
    issuer = of_server(key_server)
    assert key_server.asked == 0
    good, invented = signed(), [signed(kid=f"k{n}") for n in range(20)]
    assert asked(issuer, good, *invented, signed(sub="bob"))[0] == Client("alice")
    assert key_server.asked == 1


def test_a_new_key_is_found_without_a_restart(key_server: Any) -> None:
    issuer = of_server(key_server)
    assert asked(issuer, signed("ES256")) == [Refusal.UNKNOWN_TOKEN]
    key_server.answer = lambda: (200, jwks(ALL[1]))
    issuer._keys._read_at_s -= 11
    assert asked(issuer, signed("ES256")) == [Client("alice")]


def test_a_withdrawn_key_is_forgotten_with_the_tokens_that_it_signed(key_server: Any) -> None:
    issuer = of_server(key_server)
    token = signed()
    assert asked(issuer, token) == [Client("alice")]
    key_server.answer = lambda: (200, jwks(ALL[1]))
    issuer._keys._read_at_s -= 11
    assert asked(issuer, signed("ES256"), token) == [Client("alice"), Refusal.UNKNOWN_TOKEN]


@pytest.mark.parametrize("answer", [(500, b""), (302, b""), (200, b"<html>"), (200, b"x" * (2**20 + 1))])
def test_an_issuer_that_is_away_lets_nobody_new_in_and_nobody_known_out(
    key_server: Any, answer: tuple[int, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    issuer = of_server(key_server)
    assert asked(issuer, signed()) == [Client("alice")]
    key_server.answer = lambda: answer
    issuer._keys._read_at_s -= 1000
    assert asked(issuer, signed("ES256"), signed(sub="bob")) == [Refusal.UNKNOWN_TOKEN, Client("bob")]
    assert "stay in force" in caplog.text
