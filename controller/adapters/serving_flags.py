"""The flags by which a version is served, wherever it runs: what its spec says, each with its value."""

from collections.abc import Iterator

from controller.core.serving import ServingPolicy
from controller.ports.runtime import DeploymentSpec


def version_flags(spec: DeploymentSpec) -> Iterator[str]:
    """Yield who it is, what its processes may use, and the edges that its policy wants."""
    resources = spec.resources
    yield from ("--model", spec.model, "--version", spec.version)
    yield from ("--memory-mb-max", str(resources.memory_mb_max or 0), "--processes-max", str(resources.processes_max))
    if spec.artifact.fingerprint:
        yield from ("--fingerprint", spec.artifact.fingerprint)
    for edge_ms in spec.objectives_ms:
        yield from ("--objective-ms", f"{edge_ms:g}")


def setting_flags(serving: ServingPolicy) -> Iterator[str]:
    """Yield every setting with its value, so that what a version is served with stands in its command line."""
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
