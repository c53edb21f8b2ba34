"""The flags of ``python -m serving`` that say who may send requests."""

import argparse
import os
from pathlib import Path

from serving.access.address import is_loopback
from serving.settings import AccessSettings, ClientLimits, JwtSettings


def add_access(flags: argparse.ArgumentParser) -> None:
    group = flags.add_argument_group(
        "access", "without tokens or an issuer anybody who can reach the address may send requests"
    )
    group.add_argument(
        "--token-file",
        type=Path,
        help="bearer tokens, made by python -m serving.access new; read again when it changes",
    )
    group.add_argument("--jwt-keys", help="JWK Set of an issuer, a file or an https:// URL: its JWTs are accepted")
    group.add_argument("--jwt-issuer", help="the iss claim that JWTs must have")
    group.add_argument("--jwt-audience", help="the aud claim that JWTs must have")
    group.add_argument("--jwt-name-claim", default="sub", help="claim that names the client (default: %(default)s)")
    group.add_argument("--open-metrics", action="store_true", help="answer /metrics without a token")
    group.add_argument(
        "--allow-unauthenticated",
        action="store_true",
        help="allow an address that other machines can reach, although no token is required",
    )
    group.add_argument("--client-rate", type=float, help="requests a second of one client; more get 429")
    group.add_argument(
        "--client-burst", type=int, help="requests that may arrive at once (default: as many as in one second)"
    )
    group.add_argument(
        "--client-concurrency", type=int, help="requests of one client that may be under way; more get 429"
    )
    group.add_argument(
        "--trusted-proxy",
        action="append",
        default=[],
        help="address or network of a gateway whose X-Forwarded-For is believed; repeat for several",
    )
    group.add_argument(
        "--access-log", type=Path, help="file for one JSON line per request, never with a text; - for stdout"
    )


def access_settings(arguments: argparse.Namespace) -> AccessSettings:
    """The flags as settings.

    Raises:
        ValueError: flags that contradict each other or cannot be followed, with their names and the way out.
    """
    rate, burst, concurrent = arguments.client_rate, arguments.client_burst, arguments.client_concurrency
    if rate is not None and not 0 < rate <= 1e6:
        raise ValueError("--client-rate must be a positive number of requests a second")
    if burst is not None and (rate is None or burst < 1):
        raise ValueError("--client-burst must be at least 1, and needs --client-rate")
    if concurrent is not None and concurrent < 1:
        raise ValueError("--client-concurrency must be at least 1")
    settings = AccessSettings(
        token_file=arguments.token_file,
        jwt=_jwt(arguments),
        open_metrics=arguments.open_metrics,
        limits=ClientLimits(rate, burst or max(1, round(rate or 1)), concurrent),
        trusted_proxies=tuple(arguments.trusted_proxy),
        log=arguments.access_log,
    )
    if not (settings.authenticated or arguments.allow_unauthenticated or is_loopback(arguments.host)):
        raise ValueError(
            f"--host {arguments.host} can be reached by other machines, and no token is required: give "
            "--token-file or --jwt-keys, or add --allow-unauthenticated"
        )
    _try(settings)
    return settings


def _jwt(arguments: argparse.Namespace) -> JwtSettings | None:
    given = (arguments.jwt_keys, arguments.jwt_issuer, arguments.jwt_audience)
    if not any(given):
        return None
    if not all(given):
        raise ValueError("--jwt-keys, --jwt-issuer and --jwt-audience go together")
    if arguments.token_file is not None:
        raise ValueError("give either --token-file or --jwt-keys, not both")
    return JwtSettings(*given, name_claim=arguments.jwt_name_claim)


def _try(settings: AccessSettings) -> None:
    """Find settings that a replica could not follow before it listens, and not in one of its processes. Costs nothing
    by default."""
    if settings == AccessSettings():
        return
    from serving.access.guard import Guard

    Guard(settings)
    if settings.log is not None and str(settings.log) != "-":
        try:
            os.close(os.open(settings.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640))
        except OSError as error:
            raise ValueError(f"--access-log {settings.log}: {error.strerror}") from error
