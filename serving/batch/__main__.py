"""``python -m serving.batch --artifact DIR IN OUT``: score a file of texts.

Exit status: 0 every row is in the output, or was skipped as asked; 1 it failed, and the same command continues where it
stopped; 2 usage; 3 the artifact was refused; 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from serving.batch.job import BatchError, OnError, Options
from serving.batch.progress import say
from serving.batch.sources import STANDARD_STREAM
from serving.package.artifact import ArtifactError, verify
from serving.resources.cores import usable_cores
from serving.text.streams import take_any_text

EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 3
EXIT_INTERRUPTED: Final = 130


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        prog="python -m serving.batch",
        description=(
            "Score a file of texts with a packaged version. The numbers are those that its server would answer."
        ),
        epilog=(
            "The extension decides the format: .jsonl, .csv, .parquet. The same command continues a run "
            "that was stopped."
        ),
    )
    options = Options()
    flags.add_argument("source", metavar="IN", type=Path, help="file to read; - reads JSONL from standard input")
    flags.add_argument("target", metavar="OUT", type=Path, help="file to write; - writes JSONL to standard output")
    flags.add_argument("--artifact", type=Path, required=True, help="directory of the packaged version")
    flags.add_argument(
        "--text-column", default=options.text_column, help="column that holds the texts (default: %(default)s)"
    )
    flags.add_argument("--prefix", default=options.prefix, help="prefix for the names of the new columns")
    flags.add_argument("--probabilities", action="store_true", help="write the probability of every label")
    flags.add_argument(
        "--on-error",
        type=OnError,
        choices=list(OnError),
        default=options.on_error,
        help="a row that cannot be scored ends the run, or is left out and listed in OUT.errors.jsonl "
        "(default: %(default)s)",
    )
    flags.add_argument(
        "--max-text-chars",
        type=int,
        default=options.text_chars_max,
        help="longer texts are errors (default: %(default)s)",
    )
    flags.add_argument(
        "--max-windows",
        type=int,
        default=options.windows_max,
        help=(
            "maximum number of windows for a text that the version reads in windows; more are an error "
            "(default: %(default)s)"
        ),
    )
    flags.add_argument(
        "--block-rows",
        type=int,
        default=options.block_rows,
        help="rows in memory at a time, which a kill loses (default: %(default)s)",
    )
    flags.add_argument("--threads", type=int, help="engine calls at once (default: the cores it may use)")
    flags.add_argument("--ray", metavar="ADDRESS", help="run on this Ray cluster; auto: the one that is running here")
    flags.add_argument(
        "--overwrite", action="store_true", help="replace OUT, and discard the unfinished work of another run"
    )
    return flags


def options_from(arguments: argparse.Namespace) -> Options:
    """The flags as options.

    Raises:
        ValueError: a value out of range, with the flag's name.
    """
    for name in ("max_text_chars", "max_windows", "block_rows", "threads"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1")
    if arguments.ray is not None and STANDARD_STREAM in (arguments.source, arguments.target):
        raise ValueError("--ray needs files on storage that all nodes can see")
    if arguments.ray == "local":
        raise ValueError("--ray needs the address of a running cluster; without --ray this machine is used")
    return Options(
        text_column=arguments.text_column,
        prefix=arguments.prefix,
        probabilities=arguments.probabilities,
        on_error=arguments.on_error,
        text_chars_max=arguments.max_text_chars,
        windows_max=arguments.max_windows,
        block_rows=arguments.block_rows,
    )


def main(argv: Sequence[str] | None = None) -> int:
    take_any_text()
    flags = parser()
    arguments = flags.parse_args(argv)
    try:
        options = options_from(arguments)
    except ValueError as error:
        flags.error(str(error))
    try:
        return score(arguments, options)
    except ArtifactError as error:
        return failed(f"artifact refused: {error}", EXIT_REFUSED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter tries again at its end
        return failed("standard output was closed", EXIT_FAILED)
    except (BatchError, OSError) as error:
        return failed(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        goes_on = "" if STANDARD_STREAM in (arguments.source, arguments.target) else "; the same command continues"
        return failed(f"interrupted{goes_on}", EXIT_INTERRUPTED)


def score(arguments: argparse.Namespace, options: Options) -> int:
    with ThreadPoolExecutor(1) as pool:  # files are digested while modules load; nothing is read of them before
        verified = pool.submit(verify, arguments.artifact)
        from serving.batch.run import Where, make_job, run
    verified.result()
    source, target = (
        path if path == STANDARD_STREAM else path.absolute() for path in (arguments.source, arguments.target)
    )
    job = make_job(arguments.artifact.absolute(), source, target, options)
    where = Where(arguments.threads or usable_cores(), arguments.ray)
    summary = run(job, target, where, overwrite=arguments.overwrite)
    said = f"{summary.said}: {target}" if target != STANDARD_STREAM else summary.said
    if summary.skipped and target != STANDARD_STREAM:
        said += f"; what was skipped, and why: {target.name}.errors.jsonl"
    say(said)
    return 0


def failed(message: str, status: int) -> int:
    say(message)
    return status


if __name__ == "__main__":
    sys.exit(main())
