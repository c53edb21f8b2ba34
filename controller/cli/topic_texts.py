"""The texts of `serin help TOPIC`. What the code knows comes from it: gates from their kinds, roles from their table,
files from the home."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from controller import exit_codes

if TYPE_CHECKING:
    from gates.kind import Doc

Rows = Mapping[str, str]
"""What is told, and what of it."""
Part = str | Rows
"""A paragraph, wherever its lines break, or rows."""

_CODES: Final[Mapping[int, str]] = {
    exit_codes.EXIT_PASS: "pass: promoted, or on probation; everything answers; done",
    exit_codes.EXIT_FAIL: "fail: rolled back, or rejected. Only a verdict gives this code, never an error",
    exit_codes.EXIT_USAGE: """usage: the command cannot be carried out as given; the message names the field and
    the fix""",
    exit_codes.EXIT_INCONCLUSIVE: "inconclusive: held, superseded, aborted, or still going on",
    exit_codes.EXIT_ERROR: """could not judge, or something does not answer: that says something about Serin, nothing
    about the version""",
    exit_codes.EXIT_TIMEOUT: "not settled in the given time",
    exit_codes.EXIT_INTERRUPTED: "interrupted; 128 plus its number for another signal",
}


def codes() -> Sequence[Part]:
    return (
        "Exit codes, the same for every command:",
        {str(code): words for code, words in _CODES.items()},
        """serin wait MODEL, serin why RELEASE and serin release start --wait-s exit according to the release's state.
        serin status and serin doctor exit with 0 if everything answers, with 4 if something does not.""",
    )


def output() -> Sequence[Part]:
    return (
        """--output json prints one JSON object; exit codes are the same as without. Each object names its "schema".
        Keys may be added to a schema; none is renamed, removed or given another meaning without a new number at
        its end.""",
        {
            "serin.status/v1": "status: standing, parts, releases, traffic, freezes, troubles",
            "serin.doctor/v1": "doctor: well, parts, found",
            "serin.releases/v1": "release list: releases, next",
            "serin.why/v1": "why: sentence, decided_by, course, faults",
            "serin.history/v1": "history: happenings, oldest first",
            "serin.waited/v1": "wait, release start --wait-s: settled, exit_code, release",
            "serin.asked/v1": "release start, release again, abort, resume, pause, promote: command, foreseen, acts",
            "serin.freeze/v1": "freeze, unfreeze: frozen, ends_at_s, lifted",
            "serin.rollback/v1": "rollback: version, moved, confirmed, elapsed_ms",
            "serin.reported/v1": "report: files",
            "serin.drill/v1": "drill MODE: outcome, seen_at_s, over_at_s, checks, course, users, page",
            "serin.load/v1": "load: sent, answered, by_version, failed, failures, p50_ms, p95_ms",
            "serin.gate/v1": "gate: outcome, exit_code, sentence, result",
            "serin.registered/v1": "register: model, version, family, classes, champion",
        },
        "judge prints one object per line.",
        "Times that end in _at_s or are at_s are unix seconds. docs/output.md has every command and every key.",
    )


def phases() -> Sequence[Part]:
    return (
        "A release goes from phase to phase:",
        {
            "pending": "it waits for its turn, or until a freeze is lifted",
            "preflight": "are the files what was registered, and does the replica run?",
            "suite": "labelled cases, compared with floors and with the version that serves",
            "shadow": "both versions answer the same requests; users never see these answers",
            "canary": "users get a growing share of the new version's answers, step by step",
            "promoting": "all users, then the registry's alias",
            "probation": "the former version stays warm, late labels still count",
            "promoted": "done",
        },
        """A failure ends it in any phase: rolled back, or rejected if it never got traffic. held waits
        for a person: serin resume MODEL, or serin abort MODEL. serin pause MODEL keeps it on its step; serin
        promote MODEL takes the next.""",
    )


def gates() -> Sequence[Part]:
    return (
        "Before any traffic, on the package and on labelled cases:",
        {
            "preflight.*": """the files are what was registered, the replica is that version, it produces the golden
            token ids""",
            "accuracy.suite": "the floor is surely met, and stable is not surely better",
            "calibration.suite": "its confidence surely matches its correctness",
        },
        "On traffic. A pair is a mirrored request that both versions answered, with its true label:",
        dict(_watching()),
        """Only a pass of every required gate promotes; what is unknown is never a pass. Limits: docs/policy.md.
        What each computes: docs/gates.md. How soon each settles on your traffic: serin plan --policy FILE.""",
    )


def _watching() -> Iterator[tuple[str, str]]:
    """Each gate that watches a release, as its kind tells of it."""
    from gates.policy import GatePolicy
    from gates.table import kinds

    by_doc: dict[Doc, list[str]] = {}
    for _, kind in kinds(GatePolicy):
        by_doc.setdefault(kind.doc, []).append(kind.doc.gates or kind.name)
    for doc, names in by_doc.items():
        back = f"Rolls back when {doc.rolls_back}"
        if doc.rolls_back.startswith("never"):
            back = f"Never rolls back{doc.rolls_back.removeprefix('never').replace(':', ';', 1)}"
        words = f"{doc.judged_on[:1].upper()}{doc.judged_on[1:]}. {back}."
        yield ", ".join(names).replace("`", ""), words


def on_call() -> Sequence[Part]:
    return (
        "A night on call. If in doubt, roll back first: nothing is lost, the release can be started again.",
        {
            "serin status": "Is it up, and what is going on? DOWN comes first, with the fix.",
            "serin why intent": "What decided the latest release of a model, or what it waits for.",
            'serin rollback intent --reason "wrong refunds"': """All traffic to the known good version, in a fifth
            of a second. Needs neither the controller nor Prometheus, MLflow or labels. --dry-run says where it
            would go.""",
            "serin freeze '*' --reason \"incident 42\"": """No model changes until serin unfreeze, or for a
            time with --for 2h. A rollback is always possible.""",
            "serin history --since 12h": """Who did what, for whoever takes over in the morning; serin report
            RELEASE for the record.""",
        },
        """From another machine: SERIN_SERVER and SERIN_TOKEN_FILE (docs/remote.md). If something does not
        answer: serin doctor. Each alert has its page in deploy/runbooks.""",
    )


def files() -> Sequence[Part]:
    return (
        "In the home (.serin, --home or SERIN_HOME):",
        dict(_in_a_home()),
        """Only the owner may read secrets; one that others could read is replaced. Before you copy a home, stop
        it: serin down. docs/operations.md has more.""",
    )


def _in_a_home() -> Iterator[tuple[str, str]]:
    """Each place of a home with what it holds, as the home itself says."""
    from controller.config.settings import Home

    here = Home(Path())
    for name, place in vars(Home).items():
        if isinstance(place, property) and inspect.signature(place.fget or len).return_annotation is Path:
            path: Path = getattr(here, name)
            yield f"{path}/" if not path.suffix and name != "reserve" else str(path), inspect.getdoc(place) or ""


def roles() -> Sequence[Part]:
    from controller.roles import MAY, REPLICA, Role

    told = {str(role): "; ".join(deed for deed, may in MAY.items() if role in may) for role in (*Role, REPLICA)}
    return (
        "What a token may do at the controller's interface, by its roles:",
        told,
        """replica is for running replicas, made with them; nobody else gets it. serin token create --role labels
        --name helpdesk makes a token; --model limits one that starts or rolls back to one model, --expires says
        how long it is valid. On loopback reading needs none, until serin up --require-tokens. Anyone who can
        read the home's files is an admin.""",
    )


def argo() -> Sequence[Part]:
    return (
        "Argo Rollouts' terms, and Serin's:",
        {
            "get rollout": "serin status MODEL, serin why RELEASE",
            "list rollouts": "serin release list",
            "set image": "serin release start MODEL VERSION, or the alias candidate in the registry",
            "promote": "serin promote MODEL: to the next step, on your word, recorded",
            "promote --full": """there is none: only the gates can give a version to everybody. On your own word:
            serin rollback MODEL --to VERSION""",
            "pause, resume": "serin pause MODEL, serin resume MODEL",
            "abort, undo": "serin abort MODEL, serin rollback MODEL",
            "retry": "serin release start MODEL VERSION --repeat",
            "status --watch": "serin wait MODEL, serin status --watch",
            "lint": "serin policy check FILE",
        },
    )


TOPICS: Final[Mapping[str, tuple[str, Callable[[], Sequence[Part]]]]] = {
    "on-call": ("the five commands of a night", on_call),
    "phases": ("from pending to promoted", phases),
    "gates": ("what each gate asks", gates),
    "exit-codes": ("how commands end", codes),
    "output": ("what --output json prints", output),
    "files": ("where everything in a home is", files),
    "roles": ("what a token may do", roles),
    "argo": ("Argo Rollouts' terms", argo),
}
"""By name: what it is about, and its parts."""
