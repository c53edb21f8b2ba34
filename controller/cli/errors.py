"""The telling of errors: one line on standard error, and an exit code of its own."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from controller.cli.output import close_pipe, say, say_defect
from controller.errors import SerinError, UsageError
from controller.exit_codes import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_PIPE_CLOSED, EXIT_USAGE

_ABOUT_A_PATH = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ELOOP}
    | {errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
)


@contextmanager
def told() -> Iterator[None]:
    """Turn errors into a line and an exit: 2 for what the caller can mend, 4 for all else.

    A verdict alone ends with 1, never an error: a pipeline reads 1 as "this version failed". What nobody foresaw shows
    its traceback.
    """
    try:
        yield
    except SerinError as error:
        say(f"serin: {error}", err=True)
        sys.exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_ERROR)
    except KeyboardInterrupt:
        say("serin: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        close_pipe(sys.stdout)
        sys.exit(EXIT_PIPE_CLOSED)
    except OSError as error:
        if error.errno in _ABOUT_A_PATH and error.filename is not None:
            say(f"serin: {error.filename}: {error.strerror}", err=True)
            sys.exit(EXIT_USAGE)
        say_defect(error)
        sys.exit(EXIT_ERROR)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no verdict
        say_defect(error)
        sys.exit(EXIT_ERROR)
