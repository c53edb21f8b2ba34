"""`serin help TOPIC`, and `serin --version`: what a person asks the tool about itself."""

from typing import Annotated, Final

import typer

from controller.cli.output import say, say_lines
from controller.errors import UsageError

_CODES: Final = """Exit codes, of every command alike:

  0    pass: promoted, or on probation; everything answers; done
  1    fail: rolled back, or rejected. Only a verdict ends so, never an error
  2    usage: the wish cannot be done as it was said; the message names the field and the way out
  3    inconclusive: held, superseded, aborted, or still going on
  4    could not judge, or something does not answer: it says something about us, nothing about the version
  5    not settled in the time that was given
  130  interrupted; 128 and its number for another signal

serin wait MODEL, serin why RELEASE and serin release start --wait-s end by how the release stands.
serin status and serin doctor end with 0 where everything answers, with 4 where something does not."""

_OUTPUT: Final = """--output json prints one JSON object; exit codes are the same as without. Each names its "schema".
Keys may be added to a schema; none is renamed, removed or given another meaning without another number at its end.

  serin.status/v1     status: standing, parts, releases, traffic, freezes, troubles
  serin.doctor/v1     doctor: well, parts, found
  serin.releases/v1   release list: releases, next
  serin.why/v1        why: sentence, decided_by, course, faults
  serin.history/v1    history: happenings, oldest first
  serin.waited/v1     wait, release start --wait-s: settled, exit_code, release
  serin.asked/v1      release start, release again, abort, resume, pause, promote: command, foreseen, acts
  serin.freeze/v1     freeze, unfreeze: frozen, lifted
  serin.rollback/v1   rollback: version, moved, confirmed, elapsed_ms
  serin.reported/v1   report: files
  serin.load/v1       load: sent, answered, by_version, failed, failures, p50_ms, p95_ms
  serin.gate/v1       gate: outcome, exit_code, sentence, result
  serin.registered/v1 register: model, version, family, classes, champion

Of judge it is one object a line.

Times that end in _at_s or are at_s are unix seconds. docs/output.md has every key."""

_PHASES: Final = """A release goes from phase to phase:

  pending -> preflight -> suite -> shadow -> canary 1 ... n -> promoting -> probation -> promoted

  preflight   are the files what was registered, and does the replica run?
  suite       labelled cases, against floors and against the version that serves
  shadow      both versions answer the same requests; users never see these answers
  canary      users get a growing share of the new version's answers
  promoting   all users, then the registry's alias
  probation   the former version is warm, late labels still count

A failure takes it back from any phase: rolled back, or rejected where it never got traffic. held waits for a person:
serin resume MODEL, or serin abort MODEL. serin pause MODEL keeps it on its step; serin promote MODEL takes the next."""

_ARGO: Final = """The words of Argo Rollouts, and Serin's:

  get rollout        serin status MODEL, serin why RELEASE
  list rollouts      serin release list
  set image          serin release start MODEL VERSION, or the alias candidate in the registry
  promote            serin promote MODEL: to the next step, on your word, recorded
  promote --full     there is none: that everybody gets a version is for the gates. By your own word:
                     serin rollback MODEL --to VERSION
  pause, resume      serin pause MODEL, serin resume MODEL
  abort, undo        serin abort MODEL, serin rollback MODEL
  retry              serin release start MODEL VERSION --repeat
  status --watch     serin wait MODEL, serin status --watch
  lint               serin policy check FILE"""

TOPICS: Final = {"exit-codes": _CODES, "output": _OUTPUT, "phases": _PHASES, "argo": _ARGO}


def register(app: typer.Typer) -> None:
    app.command(name="help")(help_)
    app.callback()(about)


def help_(topic: Annotated[str | None, typer.Argument(help=f"One of {', '.join(TOPICS)}.")] = None) -> None:
    """Explain a topic: exit codes, what JSON holds, the phases of a release, the words of Argo Rollouts.

    Of a command: serin COMMAND --help, or -h.

    Example: serin help exit-codes
    """
    if topic is None:
        say("Topics: " + ", ".join(TOPICS) + ". Of a command: serin COMMAND --help")
        return
    if topic not in TOPICS:
        raise UsageError(f"topic {topic!r}: there is none; topics are {', '.join(TOPICS)}. Of a command: --help")
    say_lines(TOPICS[topic])


def _version(value: bool) -> None:  # noqa: FBT001 - typer's callback
    if value:
        from controller.skew import own_release

        say(f"serin {own_release()}")
        raise typer.Exit


def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the release of Serin.")
    ] = False,
) -> None:
    """Release gate and canary controller for text classifiers: promotes or rolls back by itself, and says why."""
