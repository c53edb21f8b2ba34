"""``python -m serving``: one replica of one version; ``python -m serving fetch``: its package, before that.

Prints one line with its address once it listens; ``/health`` answers 200 once it is warm. SIGTERM or Ctrl-C drains.
Exit status: 0 stopped as asked, 1 a process of it was lost, 2 usage, 3 the artifact was refused, 75 this machine did
not let it be served (open files, memory, processes, a disk that fails).
"""

import argparse
import logging
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from serving.access.address import is_loopback
from serving.access.flags import access_settings, add_access
from serving.access.hosts import Hosts
from serving.contract import DIGEST_KEY_BYTES_MAX, EXIT_REFUSED, EXIT_SHORTAGE, check_model_name, check_version
from serving.http.listener import Listeners, listen
from serving.package.artifact import MANIFEST_FILE, ArtifactError, read_manifest, verify
from serving.resources.bounds import bound, memory_by_size_mb
from serving.settings import Batching, CaptureSettings, Limits, Provider, Settings, TracingSettings
from serving.text.logs import log_to_stderr
from serving.text.printable import one_line

_LIMIT_FLAGS: Final = ("max_text_chars", "max_texts", "max_windows", "max_body_bytes", "queue_limit")


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(prog="python -m serving", description="Serve one version of a text classifier.")
    flags.add_argument("--artifact", type=Path, required=True, help="directory of the packaged version")
    flags.add_argument("--model", help="name of the registered model")
    flags.add_argument("--version", help="its version")
    flags.add_argument(
        "--memory-mb-max",
        type=int,
        help=(
            "memory that each process may use; 0: 2,000 plus four times the size of the graph (default: "
            "no limit; 0 for --check)"
        ),
    )
    flags.add_argument(
        "--processes-max", type=int, help="processes and threads, on top of those that are already running"
    )
    flags.add_argument(
        "--fingerprint", help="the artifact that must be served: SHA-256 of the manifest that was registered"
    )
    flags.add_argument("--check", action="store_true", help="verify the artifact, run its golden texts, serve nothing")
    flags.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    flags.add_argument("--port", type=int, default=8000, help="0 chooses a free one (default: %(default)s)")
    flags.add_argument(
        "--shadow-port",
        type=int,
        help=(
            "a second port: what arrives there counts as shadow traffic, which no user waits for; 0 chooses a free one"
        ),
    )
    flags.add_argument(
        "--port-file",
        type=Path,
        help="file to write the port to once the replica listens, with the shadow port on the next line",
    )
    flags.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        help=(
            "host name that requests may use, with or without a port, besides this machine's own; repeat "
            "for several. If none is given, an address that other machines can reach accepts any name"
        ),
    )
    flags.add_argument(
        "--threads", type=int, help="threads of the engine (default: the cores it may use; 1 for a small model)"
    )
    flags.add_argument(
        "--provider",
        type=Provider,
        choices=list(Provider),
        default=Provider.CPU,
        help="where the model runs (default: %(default)s)",
    )
    flags.add_argument(
        "--objective-ms", type=float, action="append", default=[], help="latency objective; repeat for several"
    )
    flags.add_argument("--workers", type=int, default=1, help="inference processes (default: %(default)s)")
    flags.add_argument("--api-processes", type=int, default=1, help="HTTP processes (default: %(default)s)")
    _add_limits(flags)
    _add_capture(flags)
    _add_tracing(flags)
    add_access(flags)
    return flags


def _add_limits(flags: argparse.ArgumentParser) -> None:
    batching, limits = Batching(), Limits()
    group = flags.add_argument_group("batches and limits")
    group.add_argument(
        "--max-batch-size",
        type=int,
        default=batching.texts_max,
        help="maximum number of texts in one engine call (default: %(default)s)",
    )
    group.add_argument(
        "--batch-timeout-ms",
        type=float,
        default=batching.wait_ms,
        help="how long a request may wait for others while the engine is idle (default: %(default)s)",
    )
    group.add_argument(
        "--max-text-chars", type=int, default=limits.text_chars_max, help="longer texts get 422 (default: %(default)s)"
    )
    group.add_argument(
        "--max-texts",
        type=int,
        default=limits.texts_max,
        help="maximum number of texts in one request (default: %(default)s)",
    )
    group.add_argument(
        "--max-windows",
        type=int,
        default=limits.windows_max,
        help=(
            "maximum number of windows for a text that the version reads in windows; more get 422 "
            "(default: %(default)s)"
        ),
    )
    group.add_argument(
        "--max-body-bytes", type=int, default=limits.body_bytes_max, help="longer bodies get 413 (default: %(default)s)"
    )
    group.add_argument(
        "--queue-limit",
        type=int,
        default=limits.queue_requests_max,
        help="requests that may wait; more get 503 at once (default: %(default)s)",
    )
    group.add_argument(
        "--max-wait-ms",
        type=float,
        help=(
            "a request that would wait longer for those before it gets 503 at once; with half of the "
            "latency objective, accepted requests meet it under overload (default: only the queue limit "
            "refuses)"
        ),
    )
    group.add_argument(
        "--receive-timeout-s",
        type=float,
        default=limits.receive_timeout_s,
        help="a connection is closed if its request has not arrived after this time (default: %(default)s)",
    )
    group.add_argument(
        "--answer-timeout-s",
        type=float,
        default=limits.answer_timeout_s,
        help="a request gets 504 after this time (default: %(default)s)",
    )
    group.add_argument(
        "--stuck-after-s",
        type=float,
        default=limits.stuck_after_s,
        help="a worker that owes an answer and uses no CPU is replaced after this time (default: %(default)s)",
    )


def _add_tracing(flags: argparse.ArgumentParser) -> None:
    tracing = TracingSettings()
    group = flags.add_argument_group("traces")
    group.add_argument(
        "--trace-url",
        help=("where to send spans, as OTLP over HTTP, such as http://localhost:4318; without it there are none"),
    )
    group.add_argument(
        "--trace-ratio",
        type=float,
        default=tracing.ratio,
        help="share of requests to trace if the caller has not decided (default: %(default)s)",
    )


def _add_capture(flags: argparse.ArgumentParser) -> None:
    group = flags.add_argument_group("sampled predictions")
    group.add_argument("--capture-url", help="base URL of the controller; without it nothing is sent")
    group.add_argument(
        "--capture-ratio",
        type=float,
        default=1.0,
        help="share of request ids to send until the controller asks for another (default: %(default)s)",
    )
    group.add_argument(
        "--digest-key-file",
        type=Path,
        help="key of the text digests, the same for all versions (default: the model's name, which is no secret)",
    )
    group.add_argument(
        "--capture-text",
        action="store_true",
        help=(
            "send the texts too, redacted, for label sources that show them; without it texts never leave the replica"
        ),
    )
    group.add_argument(
        "--recogniser",
        action="append",
        default=[],
        help=(
            "module:factory of an additional recogniser of what to redact, such as "
            "serving.redaction.presidio:english; repeat for several"
        ),
    )
    group.add_argument("--capture-token-file", type=Path, help="the bearer token that the controller asks for")
    group.add_argument(
        "--mirror-file",
        type=Path,
        help="file that says where copies of live requests go, by version, and how many; read again when it changes",
    )
    group.add_argument(
        "--capture-ca-file", type=Path, help="certificates (PEM) that the controller's certificate is checked against"
    )


def settings_from(arguments: argparse.Namespace) -> Settings:
    """The flags as settings.

    Raises:
        ValueError: a value out of range, with the flag's name.
    """
    if not (arguments.model and arguments.version):
        raise ValueError("--model and --version are needed to serve")
    check_model_name(arguments.model)
    check_version(arguments.version)
    for name in ("threads", "workers", "api_processes", "max_batch_size", *_LIMIT_FLAGS):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1")
    for name in ("capture_ratio", "trace_ratio"):
        if not 0 <= getattr(arguments, name) <= 1:
            raise ValueError(f"--{name.replace('_', '-')} must be between 0 and 1")
    for name in ("answer_timeout_s", "receive_timeout_s", "stuck_after_s"):
        if getattr(arguments, name) <= 0:
            raise ValueError(f"--{name.replace('_', '-')} must be above 0")
    if arguments.batch_timeout_ms < 0:
        raise ValueError("--batch-timeout-ms must not be negative")
    if arguments.max_wait_ms is not None and arguments.max_wait_ms <= 0:
        raise ValueError("--max-wait-ms must be positive")
    if arguments.trace_url is not None:
        check_trace_url(arguments.trace_url)
    _check_capture(arguments)
    return Settings(
        artifact=arguments.artifact,
        model=arguments.model,
        version=arguments.version,
        objectives_ms=tuple(arguments.objective_ms),
        threads=arguments.threads,
        provider=arguments.provider,
        limits=Limits(
            body_bytes_max=arguments.max_body_bytes,
            text_chars_max=arguments.max_text_chars,
            texts_max=arguments.max_texts,
            windows_max=arguments.max_windows,
            queue_requests_max=arguments.queue_limit,
            wait_ms_max=arguments.max_wait_ms,
            answer_timeout_s=arguments.answer_timeout_s,
            receive_timeout_s=arguments.receive_timeout_s,
            stuck_after_s=arguments.stuck_after_s,
        ),
        batching=Batching(
            arguments.max_batch_size,
            arguments.batch_timeout_ms,
            min(arguments.objective_ms, default=Batching().objective_ms),
        ),
        capture=CaptureSettings(
            url=arguments.capture_url,
            ratio=arguments.capture_ratio,
            digest_key=_digest_key(arguments.digest_key_file, arguments.model),
            with_text=arguments.capture_text,
            recognisers=tuple(arguments.recogniser),
            token_file=arguments.capture_token_file,
            ca_file=arguments.capture_ca_file,
        ),
        tracing=TracingSettings(arguments.trace_url, arguments.trace_ratio),
        api_processes=arguments.api_processes,
        workers=arguments.workers,
        mirror_file=arguments.mirror_file,
        access=access_settings(arguments),
        names=_names(arguments),
    )


def _names(arguments: argparse.Namespace) -> tuple[str, ...] | None:
    """Raises ValueError for what is no host."""
    names = tuple(arguments.allowed_host)
    try:
        Hosts(names)
    except ValueError as error:
        raise ValueError(f"--allowed-host: {error}") from None
    return names if names or is_loopback(arguments.host) else None


def _check_capture(arguments: argparse.Namespace) -> None:
    host = urlsplit(arguments.capture_url or "").hostname
    if host is not None and not is_loopback(host) and arguments.digest_key_file is None:
        raise ValueError(
            f"--capture-url leads to {host}: give --digest-key-file, or texts could be guessed there from their digests"
        )
    if arguments.capture_token_file is not None and not arguments.capture_token_file.read_text().strip():
        raise ValueError(f"--capture-token-file {arguments.capture_token_file} is empty")
    if arguments.capture_ca_file is not None:
        try:
            ssl.create_default_context(cafile=arguments.capture_ca_file)
        except OSError as error:
            raise ValueError(f"--capture-ca-file {arguments.capture_ca_file}: no certificates: {error}") from error
    if arguments.recogniser:
        from serving.redaction.redactor import redactor_of

        redactor_of(arguments.recogniser)


def _digest_key(file: Path | None, model: str) -> bytes:
    key = file.read_bytes().strip() if file is not None else model.encode()
    if not key:
        raise ValueError("--digest-key-file is empty")
    return key[:DIGEST_KEY_BYTES_MAX]


def check_trace_url(url: str) -> None:
    """Raises: ValueError: spans could not be sent there."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"--trace-url must start with http:// or https://, got {url!r}")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        raise ValueError("--trace-url needs OpenTelemetry: pip install 'serin[tracing]'")


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["fetch"]:
        from serving.package.fetch import main as fetched

        return fetched(given[1:])
    flags = parser()
    arguments = flags.parse_args(argv)
    log_to_stderr(logging.WARNING, "%(asctime)s %(levelname)s %(name)s: %(message)s")
    hold(arguments)
    if arguments.check:
        return check(arguments)
    try:
        settings = settings_from(arguments)
        listeners = listeners_from(arguments)
    except (ValueError, OSError) as error:
        flags.error(str(error))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the supervisor takes over: nothing is left either
    with ThreadPoolExecutor(1) as pool:  # files are digested while modules load; the thread ends before any fork
        verified = pool.submit(lambda: (verify(settings.artifact), read_manifest(settings.artifact)[1]))
        from serving.replica.supervisor import run
    try:
        manifest, fingerprint = verified.result()
        check_fingerprint(fingerprint, arguments.fingerprint)
    except ArtifactError as error:
        return refuse(error)
    except (OSError, MemoryError) as error:
        return lacking(error)
    addresses = ", copies on ".join(f"http://{arguments.host}:{port}" for port in listeners.ports)
    print(f"{settings.model} version {settings.version} on {addresses}", flush=True)
    if arguments.port_file is not None:
        write_ports(arguments.port_file, listeners.ports)
    try:
        return run(settings, manifest, fingerprint, listeners)
    except OSError as error:  # of the supervisor: a process that could not be started
        return lacking(error)


def listeners_from(arguments: argparse.Namespace) -> Listeners:
    """Raises ValueError for ports that cannot be told apart, OSError for one that cannot be had."""
    if arguments.shadow_port is None:
        return Listeners(listen(arguments.host, arguments.port))
    if arguments.shadow_port == arguments.port != 0:
        raise ValueError("--shadow-port and --port must differ: they tell copies from live requests")
    return Listeners(listen(arguments.host, arguments.port), listen(arguments.host, arguments.shadow_port))


def check(arguments: argparse.Namespace) -> int:
    from serving.inference.engine import ProviderError
    from serving.packaging.check import check as checked

    try:
        sound = checked(arguments.artifact, threads=arguments.threads, provider=arguments.provider)
        check_fingerprint(sound.fingerprint, arguments.fingerprint)
    except ArtifactError as error:
        return refuse(error)
    except (ProviderError, OSError, MemoryError) as error:
        return lacking(error)
    print(one_line(f"artifact is sound: {sound}"))
    return 0


def hold(arguments: argparse.Namespace) -> None:
    """Set the limits that this process and all that it starts are held to, before anything of the package is read."""
    memory_mb = arguments.memory_mb_max
    if memory_mb is None and arguments.check and arguments.provider is Provider.CPU:
        memory_mb = 0
    if memory_mb == 0:
        memory_mb = memory_by_size_mb(arguments.artifact)
    if memory_mb is not None or arguments.processes_max is not None:
        bound(memory_mb, arguments.processes_max)


def check_fingerprint(fingerprint: str, registered: str | None) -> None:
    """Raise ArtifactError if the artifact, although intact, is not the one that was registered."""
    if registered is not None and fingerprint != registered:
        raise ArtifactError(MANIFEST_FILE, f"has the fingerprint {fingerprint}, but {registered} was registered")


def refuse(error: Exception) -> int:
    print(one_line(f"artifact refused: {error}"), file=sys.stderr)
    return EXIT_REFUSED


def lacking(error: Exception) -> int:
    """Say that the problem is this machine and not the artifact, and return the exit status."""
    print(one_line(f"this machine cannot serve it now: {error or type(error).__name__}"), file=sys.stderr)
    return EXIT_SHORTAGE


def write_ports(path: Path, ports: Sequence[int]) -> None:
    """Write one port per line, all at once: a reader that waits for the file never sees half a number."""
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.write_text("".join(f"{port}\n" for port in ports))
    whole.replace(path)


if __name__ == "__main__":
    sys.exit(main())
