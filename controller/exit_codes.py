"""The exit codes of every command, in one place: scripts and pipelines go by them."""

from typing import Final

EXIT_PASS: Final = 0
EXIT_FAIL: Final = 1
EXIT_USAGE: Final = 2
EXIT_INCONCLUSIVE: Final = 3
EXIT_ERROR: Final = 4
EXIT_TIMEOUT: Final = 5
EXIT_INTERRUPTED: Final = 130  # as a shell tells of SIGINT
EXIT_PIPE_CLOSED: Final = 141  # of SIGPIPE
