"""The command line by which a version is served on this machine."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from controller.core.serving import ServingPolicy
from controller.ports.runtime import DeploymentSpec


def serving_command(spec: DeploymentSpec, package: Path, port_file: Path, extra: Sequence[str] = ()) -> list[str]:
    """Serve the package in that folder with this very Python. Of flags that are given twice the version's own count."""
    resources = spec.resources
    what = ["--artifact", str(package), "--model", spec.model, "--version", spec.version]
    limits = ["--memory-mb-max", str(resources.memory_mb_max or 0), "--processes-max", str(resources.processes_max)]
    if spec.artifact.fingerprint:
        what += ["--fingerprint", spec.artifact.fingerprint]
    objectives = [argument for edge_ms in spec.objectives_ms for argument in ("--objective-ms", f"{edge_ms:g}")]
    return [
        sys.executable,
        "-m",
        "serving",
        *what,
        *limits,
        *("--port", "0", "--shadow-port", "0", "--port-file", str(port_file)),
        *objectives,
        *extra,
        *_settings(spec.serving),
    ]


def _settings(serving: ServingPolicy) -> Iterator[str]:
    """Every setting with its value, so that what a version is served with stands in its command line."""
    batch, admission, limits, tracing = serving.batch, serving.admission, serving.limits, serving.tracing
    told = {
        "--provider": serving.provider.value,
        "--workers": serving.workers,
        "--api-processes": serving.api_processes,
        "--threads": serving.threads,
        "--max-batch-size": batch.texts_max,
        "--batch-timeout-ms": batch.wait_ms,
        "--queue-limit": admission.queue_requests_max,
        "--max-wait-ms": admission.wait_ms_max,
        "--max-body-bytes": limits.body_bytes_max,
        "--max-text-chars": limits.text_chars_max,
        "--max-texts": limits.texts_max,
        "--max-windows": limits.windows_max,
        "--answer-timeout-s": limits.answer_timeout_s,
        "--trace-url": tracing.url,
        "--trace-ratio": tracing.ratio if tracing.url is not None else None,
    }
    for flag, value in told.items():
        if value is not None:
            yield from (flag, f"{value:.10g}" if isinstance(value, float) else str(value))
    for name in serving.recognisers:
        yield from ("--recogniser", name)
