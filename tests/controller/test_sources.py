"""What outages and conflicts are of: one name each, from where they are raised to what people read."""

import pytest

from controller.errors import ConflictError, Source, TransientError
from gates import checks


def test_what_gates_call_their_sources_are_sources() -> None:
    told = {checks.METRICS, checks.GATEWAY, checks.LABELS, checks.PREDICTIONS}
    assert told <= set(Source)


@pytest.mark.parametrize("kind", [TransientError, ConflictError])
def test_an_error_is_of_a_source_that_there_is(kind: type[TransientError] | type[ConflictError]) -> None:
    """As text it is the message alone."""
    error = kind(Source.REGISTRY, "MLflow is away")
    assert (error.source, str(error), f"{error.source}") == (Source.REGISTRY, "MLflow is away", "registry")
    with pytest.raises(ValueError, match="MLflow"):
        kind("MLflow", "is away")  # type: ignore[arg-type]
