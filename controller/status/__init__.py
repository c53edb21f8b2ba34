"""The view that `serin status` shows, and the exit codes by which commands tell how a release stands."""

from controller.status.codes import (
    EXIT_ERROR,
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
    EXIT_TIMEOUT,
    EXIT_USAGE,
    exit_code,
    is_settled,
    shown_exit_code,
)
from controller.status.table import status_table

__all__ = [
    "EXIT_ERROR",
    "EXIT_FAIL",
    "EXIT_INCONCLUSIVE",
    "EXIT_PASS",
    "EXIT_TIMEOUT",
    "EXIT_USAGE",
    "exit_code",
    "is_settled",
    "shown_exit_code",
    "status_table",
]
