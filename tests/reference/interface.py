"""The reference of the controller's interface: its routes and who may ask for them are the application's own; what each
is asked and answers stands here, and a test holds it against what is answered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.api.app import endpoints
from controller.api.bodies import (
    Body,
    FreezeBody,
    LabelBody,
    LabelsBody,
    PredictionsBody,
    ReasonBody,
    ReleaseBody,
    ReplaceBody,
)
from controller.api.http import JSON_LINES_TYPE, JSON_TYPE, Endpoint
from controller.api.samples import FORMATS
from controller.api.telemetry import Telemetry
from controller.core.commands import Ask
from controller.roles import MAY, REPLICA, Deed
from tests.controller.api_support import World
from tests.reference.blocks import table

OK, CREATED, ACCEPTED = 200, 201, 202
TEXT_TYPE, HTML_TYPE = "text/plain", "text/html"
_WORD: Final = "command, new, at_s, foreseen?"
ENTRIES: Final = "position, stream, sequence, kind, at_s, schema, chain, head, previous_hash, hash, payload, summary?"


@dataclass(frozen=True, slots=True)
class Told:
    """What a route does. ``query``: see `Parameter`. ``answer``: the keys of what it answers with success; those with a
    ``?`` may be missing. Empty: it is no object. ``like``: the document of docs/output.schema.json that has them, or
    some of them. ``types``: what it may answer in. ``list_by``: the parameter by which it is a list. ``example``: how
    a test asks it, and ``sent`` with what in its body."""

    what: str
    answer: str = ""
    like: str = ""
    types: tuple[str, ...] = (JSON_TYPE,)
    list_by: str = ""
    query: tuple[str, ...] = ()
    body: type[Body] | None = None
    status: int = OK
    example: str = ""
    sent: Mapping[str, Any] = field(default_factory=dict)
    more: str = ""

    @property
    def keys(self) -> list[str]:
        return self.answer.split(", ") if self.answer else []

    @property
    def parameters(self) -> list["Parameter"]:
        """Return what may stand in the query."""
        return [Parameter.of(one) for one in self.query]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query. It is written ``name``, or ``name=default|choice|...`` where its value is checked; one
    that is checked and has no default must be there."""

    name: str
    checked: bool
    default: str
    choices: tuple[str, ...]

    @classmethod
    def of(cls, told: str) -> "Parameter":
        name, checked, values = told.partition("=")
        default, *others = values.split("|")
        choices = (*([default] if default else []), *others) if others else ()
        return cls(name, bool(checked), default, choices)

    @property
    def required(self) -> bool:
        return self.checked and not self.default


_WHY: Final = {"reason": "wrong refunds"}
_NO_ROUTE_OF_PEOPLE: Final = "For replicas only: such tokens are never issued by hand."

ROUTES: Final[Mapping[tuple[str, str], Told]] = {
    ("GET", "/health"): Told(
        "Whether the process is alive, and which installation it belongs to.", "status, installation"
    ),
    ("GET", "/ready"): Told("Whether its store answers and it is not shutting down; otherwise 503.", "status"),
    ("GET", "/metrics"): Told("The controller's own metrics, in the Prometheus text format.", types=(TEXT_TYPE,)),
    ("GET", "/v1/status"): Told(
        "What `serin status` shows (`serin.status/v1`, [output.md](output.md)).",
        "schema, at_s, standing, releases, traffic, deployments, waiting, asking, sampling, replays, "
        "watched, freezes, troubles, able, parts, written_at_s",
        like="status",
        query=("model",),
    ),
    ("GET", "/v1/releases"): Told(
        "Releases, newest first. Pass `next` as `before` to get older ones.",
        "releases, next",
        like="releases",
        query=("model", "before", "limit=100"),
    ),
    ("GET", "/v1/releases/{release_id}"): Told(
        "One release, with its `state`.",
        "release_id, model, version, phase, active, sequence, started_at_s, phase_since_s, reason, state",
        like="release",
        example="/v1/releases/intent-v7-1",
    ),
    ("GET", "/v1/releases/{release_id}/entries"): Told(
        f"The release's journal, its chain checked: one page, or all of it as lines (`Accept: {JSON_LINES_TYPE}`).",
        "release_id, length, next, entries",
        types=(JSON_TYPE, JSON_LINES_TYPE),
        query=("after=0", "limit=100", "payload=json|text"),
        example="/v1/releases/intent-v7-1/entries",
        more=f"Each entry: {ENTRIES}.",
    ),
    ("GET", "/v1/releases/{release_id}/report"): Told(
        "The release's report, as JSON or as a page. Only one report is made at a time.",
        types=(JSON_TYPE, HTML_TYPE),
        query=("format=json|html",),
        example="/v1/releases/intent-v7-1/report",
    ),
    ("GET", "/v1/history"): Told(
        "What happened since `since_s`, oldest first (`serin.history/v1`).",
        "schema, happenings",
        like="history",
        query=("model", "since_s=0", "limit=1000"),
    ),
    ("GET", "/v1/models/{model}/foreseen"): Told(
        "What a command (`ask`) would do now, and what a person has to confirm first.",
        "sentence, acts, consents",
        query=(f"ask=|{'|'.join(Ask)}", "version"),
        example="/v1/models/intent/foreseen?ask=abort",
    ),
    ("GET", "/v1/commands/{command_id}"): Told(
        "Whether a command is still waiting and, if no release takes it up, why not.",
        "command, waits, outcome",
        example="/v1/commands/c1",
    ),
    ("GET", "/v1/journal"): Told(
        "Entries of every stream, in order of position. Pass `reached` as `after` to get the entries that follow.",
        "reached, entries",
        query=("after=0", "limit=100", "payload=json|text"),
    ),
    ("GET", "/v1/freezes"): Told("The freezes in force.", "freezes"),
    ("POST", "/v1/freezes"): Told(
        "Freeze a model, or all models with `*`.",
        "model, reason, by, at_s, silent, ends_at_s",
        like="freeze",
        body=FreezeBody,
        status=CREATED,
        sent={"model": "tone", **_WHY},
    ),
    ("DELETE", "/v1/freezes/{model}"): Told(
        "Lift a freeze. The reason is in the query, because many clients send no body with DELETE.",
        "model, lifted",
        like="freeze",
        query=("reason=", "by"),
        example="/v1/freezes/tone?reason=over",
    ),
    ("POST", "/v1/releases"): Told(
        "Start a release of a version.",
        "command, new, at_s",
        like="asked",
        body=ReleaseBody,
        status=ACCEPTED,
        sent={"model": "intent", "version": "8", **_WHY},
    ),
    ("POST", "/v1/models/{model}/again"): Told(
        "Start a release of the serving version, under the next number, with the current `serving:` of the policy.",
        "command, at_s, version, champion",
        like="asked",
        body=ReasonBody,
        status=ACCEPTED,
        example="/v1/models/intent/again",
        sent=_WHY,
    ),
    ("POST", "/v1/models/{model}/replace"): Told(
        "Replace a stable version that is down with another version.",
        "command, new, at_s",
        like="asked",
        body=ReplaceBody,
        status=ACCEPTED,
        example="/v1/models/intent/replace",
        sent={"version": "8", **_WHY},
    ),
    **{
        ("POST", f"/v1/models/{{model}}/{word}"): Told(
            what, _WORD, "asked", body=ReasonBody, status=ACCEPTED, example=f"/v1/models/intent/{word}", sent=_WHY
        )
        for word, what in {
            "abort": "Abort the release in progress.",
            "rollback": "Send all traffic to the known good version.",
            "resume": "Let a held or paused release continue.",
            "pause": "Expose no more users.",
            "promote": "Take the release to its next step.",
        }.items()
    },
    ("POST", "/v1/labels"): Told(
        f"Accept labels, each on its own: a JSON object, or one label per line as `{JSON_LINES_TYPE}`.",
        "received, taken, repeated, corrected_late, refused, unknown_classes, unknown_names, "
        "unmatched_requests, unmatched_request_ids",
        like="labels",
        body=LabelsBody,
        sent={"labels": [{"request_id": "q1", "label": "refund"}]},
    ),
    ("GET", "/v1/label-requests"): Told(
        "The requests whose true labels would be most informative, and a summary of the labels so far, by source. With "
        "`format=label-studio` or `argilla` the answer is in the format that the tool imports.",
        "label_requests, label_sources",
        like="label_requests",
        list_by="format",
        query=("model=", "since_s=0", "limit=50", f"format={'|'.join(FORMATS)}"),
        example="/v1/label-requests?model=intent",
    ),
    ("POST", "/v1/webhooks/label-studio"): Told(
        "Accept annotations from a [Label Studio](labels.md) webhook; other events change nothing.",
        "action, skipped, received, taken, repeated, corrected_late, refused, unknown_classes, "
        "unknown_names, unmatched_requests, unmatched_request_ids",
        like="labels",
        sent={"action": "PROJECT_UPDATED"},
    ),
    ("POST", "/v1/webhooks/argilla"): Told(
        "Accept responses from an [Argilla](labels.md#argilla) webhook, authenticated by its signature "
        "(`serin up --argilla-secret-file`); other events change nothing.",
        "action, skipped, received, taken, repeated, corrected_late, refused, unknown_classes, "
        "unknown_names, unmatched_requests, unmatched_request_ids",
        like="labels",
        sent={"type": "record.completed"},
    ),
    ("POST", "/v1/webhooks/mlflow"): Told(
        "A hint that something changed in MLflow, authenticated by its signature (`serin up --webhook-secret-file`).",
        "new",
        like="asked",
    ),
    ("POST", "/v1/predictions"): Told(
        "Accept a batch of sampled answers; sending it again changes nothing.",
        "received, new, capture_ratio?",
        body=PredictionsBody,
        sent={"schema": "serin.predictions/v1", "predictions": []},
        more=_NO_ROUTE_OF_PEOPLE,
    ),
}

ERRORS: Final = {
    "json": ("400", "the body is not JSON"),
    "unauthorized": ("401", "no token, or one that is no longer valid; `WWW-Authenticate` is set"),
    "webhook": ("401", "the signature, the time or the id of a delivery is wrong"),
    "forbidden": ("403", "the token does not allow this, or not for this model; the message names the role that does"),
    "not_found": ("404", "there is no such route, release or command"),
    "no_policy": ("404", "the controller has no policy for the model"),
    "method_not_allowed": ("405", "the route does not support the method"),
    "request_timeout": ("408", "the body did not arrive within 30 s"),
    "conflict": ("409", "not possible now; the message says why"),
    "request_entity_too_large": ("413", "the body is larger than 16 MiB (signed webhooks: 256 KiB)"),
    "content_type": ("415", "the body's content type is not one that the route reads"),
    "misdirected_request": ("421", "the request used a host name that is not the controller's (`api_hosts`)"),
    "invalid": ("422", "a field of the body or the query is wrong; `field` names it"),
    "failed": ("500", "the request cannot be fulfilled here; the message says why"),
    "internal": ("500", "a defect; the controller's log says more"),
    "not_ready": ("503", "`/ready` only"),
    "unavailable": ("503", "something that the request needs does not answer; `field` names it, `Retry-After` is set"),
}


def known() -> list[Endpoint]:
    """Every route of the application, those too that an installation has only if it was told to."""
    world = World(telemetry=Telemetry(lambda: ()))
    return endpoints(world.ports(), bytes, bytes)


def roles_of(deed: Deed | None) -> str:
    """Who may, in words."""
    if deed is None:
        return "anybody"
    return ", ".join(MAY[deed])


def text() -> str:
    """Every route, as Markdown."""
    return "\n\n".join(_section(one) for one in known())


def _section(one: Endpoint) -> str:
    told = ROUTES[one.method, one.path]
    lines = [f"### {one.method} {one.path}", "", told.what + (f" {told.more}" if told.more else ""), ""]
    lines.append(f"* Who may call it: {roles_of(one.deed)}")
    if told.query:
        lines.append(f"* Query: {', '.join(map(_parameter, told.parameters))}")
    if told.body is not None:
        lines.append(f"* Body: {', '.join(_fields(told.body))}")
    if told.body is LabelsBody:
        lines.append(f"* Each label: {', '.join(_fields(LabelBody))}")
    if told.answer:
        keys = ", ".join(f"`{key.rstrip('?')}`{' (if known)' if key.endswith('?') else ''}" for key in told.keys)
        lines.append(f"* {told.status}: {keys}")
    return "\n".join(lines)


def _parameter(one: Parameter) -> str:
    notes = ["required"] if one.required else [one.default] if one.default else []
    if one.choices:
        notes.append(f"one of {', '.join(one.choices)}")
    return f"`{one.name}` ({'; '.join(notes)})" if notes else f"`{one.name}`"


def _fields(body: type[Body]) -> Iterator[str]:
    """Each field of a body, those first that must be there."""
    for name, one in sorted(body.model_fields.items(), key=lambda item: not item[1].is_required()):
        shown = f"`{one.alias or name}`"
        yield f"{shown} (required)" if one.is_required() else shown


def roles() -> str:
    """Who may do what, from the table of the roles."""
    names = dict.fromkeys(role for may in MAY.values() for role in may)
    rows = ((deed.value, *("yes" if role in MAY[deed] else "" for role in names)) for deed in Deed)
    return table(("", *(name if name != REPLICA else "(replica)" for name in names)), rows)


def errors() -> str:
    return table(("code", "status", "when"), ((f"`{code}`", *told) for code, told in ERRORS.items()))


BLOCKS: Final = {"routes": text, "roles": roles, "errors": errors}
