"""How errors are told: one line on standard error, and an exit code of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from controller.errors import SerinError, TransientError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_COULD_NOT_JUDGE = 4


@contextmanager
def told() -> Iterator[None]:
    """Turn Serin's own errors into a line and an exit; anything else is a defect and shows its traceback."""
    try:
        yield
    except SerinError as error:
        print(f"serin: {error}", file=sys.stderr)
        sys.exit(_code(error))


def _code(error: SerinError) -> int:
    if isinstance(error, UsageError):
        return EXIT_USAGE
    return EXIT_COULD_NOT_JUDGE if isinstance(error, TransientError) else EXIT_FAILED
