"""The view that `serin status` shows, and the exit codes by which commands tell how a release stands."""

from controller.status.codes import (
    exit_code,
    is_settled,
    shown_exit_code,
)
from controller.status.table import status_table

__all__ = [
    "exit_code",
    "is_settled",
    "shown_exit_code",
    "status_table",
]
