"""The tables. ``migrations`` makes them; a test holds both to each other.

The conditions of partial indexes are SQLite's here: of PostgreSQL the migrations alone have them, because to name one
loads all of its dialect, which no command on SQLite should wait for.

Ids that serve as cursors are never used twice, also after rows were pruned (AUTOINCREMENT on SQLite).
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)

SCHEMA_REVISION: Final = "0012"  # the newest migration: what this code reads and writes

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
BIG_ID: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only a plain INTEGER key up by itself


def _id() -> Column[int]:
    return Column("id", BIG_ID, primary_key=True)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _number(name: str) -> Column[float]:
    return Column(name, Double, nullable=False)


def _probability() -> Column[float]:
    """Return the column of the probability of being given a label; rows from before it was kept have the default."""
    return Column("inclusion_probability", Double, nullable=False, server_default="1")


def _replayed() -> Column[bool]:
    """Return the column of whether a pair is of a request that was asked again for a release."""
    return Column("replayed", Boolean, nullable=False, server_default=false())


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


# --- what was decided ------------------------------------------------------------------------------------------------
journal_head = Table(
    "journal_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row: who appends holds it
    Column("position", BIG_ID, nullable=False),  # of the last entry of all
    Column("fence", BIG_ID, nullable=False),  # of whoever leads: a lower one writes no more
)
streams = Table(
    "streams",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("sequence", Integer, nullable=False),  # of the last entry
    _text("head_hash"),  # its hash: a chain cut short is found too
)
entries = Table(
    "entries",
    metadata,
    Column("position", BIG_ID, primary_key=True, autoincrement=False),
    Column("stream", Text, ForeignKey("streams.stream"), nullable=False),
    Column("sequence", Integer, nullable=False),
    _text("kind"),
    _number("at_s"),
    Column("event_schema", Integer, nullable=False),
    Column("chain", Integer, nullable=False),  # how the hash is taken
    _text("previous_hash"),
    _text("hash"),
    _text("head"),  # canonical JSON: what the hash is taken of
    Column("payload", Text),  # canonical JSON; null once it was thinned out
    Column("summarised_by", BIG_ID),  # the position of the entry that stands for it once it was thinned out
    UniqueConstraint("stream", "sequence"),
)
releases = Table(
    "releases",
    metadata,
    Column("release_id", Text, primary_key=True),
    _text("model"),
    _text("version"),
    _text("phase"),
    _flag("active"),
    Column("sequence", Integer, nullable=False),
    _number("started_at_s"),
    Column("phase_since_s", Double, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("sightings", Text, nullable=False, server_default="[]"),  # what the table of versions was told last
    _text("state"),  # canonical JSON
    Index(None, "model", "started_at_s"),
    Index(None, "started_at_s"),
    Index(None, "model", "version"),
)
Index("ix_releases_active", releases.c.model, sqlite_where=releases.c.active)
models = Table(
    "models",
    metadata,
    Column("model", Text, primary_key=True),
    Column("release_id", Text, ForeignKey("releases.release_id"), nullable=False),  # the one that began last
)
versions = Table(
    "versions",
    metadata,
    Column("model", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("source_id", Text, primary_key=True),
    _text("fingerprint"),  # of the first sight; empty until then
    Column("seen", BIG_ID, nullable=False),  # the journal's position when it was last found so; 0 for never
    Column("served", BIG_ID, nullable=False),
    Column("released", BIG_ID, nullable=False),
)
subscribers = Table(
    "subscribers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BIG_ID, nullable=False),  # of the last entry that it is done with
)
commands = Table(
    "commands",
    metadata,
    _id(),
    _text("command_id"),
    _text("ask"),
    _text("model"),
    Column("version", Text),
    _text("reason"),
    _text("by"),
    _number("at_s"),
    _flag("waiting"),
    Column("release_id", Text, ForeignKey("releases.release_id")),  # the release whose entries answer it
    Column("outcome", Text),  # why no release answers it
    UniqueConstraint("command_id"),
    Index(None, "waiting", "id"),
    sqlite_autoincrement=True,
)
freezes = Table(
    "freezes",
    metadata,
    _id(),
    _text("model"),
    _text("reason"),
    _text("by"),
    _number("at_s"),
    Column("lifted_at_s", Double),  # null while in force; a lifted freeze stays, as history
    Column("lifted_by", Text),
    Column("lifted_reason", Text),
    Column("silent", Boolean, nullable=False, server_default=false()),  # nobody is told of the model meanwhile
    Column("ends_at_s", Double),  # when its time is over; null: a person lifts it
    UniqueConstraint("model", "reason", "by", "at_s"),
    sqlite_autoincrement=True,
)
deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    _number("at_s"),
    Index(None, "at_s"),
)

# --- what people are told -----------------------------------------------------------------------------------------
notices = Table(
    "notices",
    metadata,
    _id(),
    _text("target"),
    _text("event_id"),
    _text("model"),
    _text("version"),
    Column("urgency", Integer, nullable=False),  # of its severity: the lower the sooner
    _number("at_s"),
    _text("document"),  # JSON
    _text("state"),  # `controller.adapters.sql.notices.State`
    Column("message_id", Text),  # of the message that holds it, once there is one
    Column("attempts", Integer, nullable=False),
    _number("due_at_s"),
    _text("trouble"),  # why it did not arrive
    Column("settled_at_s", Double),  # null while it waits
    UniqueConstraint("target", "event_id"),
    Index(None, "target", "state", "urgency", "id"),
    Index(None, "settled_at_s"),
    sqlite_autoincrement=True,
)

# --- who decides -----------------------------------------------------------------------------------------------------
leadership = Table(
    "leadership",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row
    Column("holder", Text),  # null: nobody
    Column("fence", BIG_ID, nullable=False),  # of the last holder
    Column("beat", BIG_ID, nullable=False),  # grows while it lives
    _number("lease_s"),  # how long it may go without
)

# --- what everybody who writes here has to have -----------------------------------------------------------------------
keys = Table(
    "keys",
    metadata,
    Column("name", Text, primary_key=True),
    _text("check_value"),  # tells one key from another, and nothing of it
)

# --- what was seen ---------------------------------------------------------------------------------------------------
intake = Table("intake", metadata, Column("id", Integer, primary_key=True, autoincrement=False))  # one row: the lock
predictions = Table(
    "predictions",
    metadata,
    _id(),
    _text("request_id"),
    _text("model"),
    _text("version"),
    _text("traffic"),
    _number("at_s"),
    _text("label"),
    _number("confidence"),
    _text("probabilities"),  # JSON object: class -> probability
    _number("inclusion_probability"),
    _text("text_digest"),
    Column("tokens", Integer),
    Column("text", Text),
    Column("tags", Text),  # JSON object, null where there are none
    UniqueConstraint("request_id", "model", "traffic", "version"),
    Index(None, "at_s"),
    sqlite_autoincrement=True,
)
Index(
    "ix_predictions_recorded", predictions.c.model, predictions.c.id, sqlite_where=predictions.c.text.is_not(None)
)  # what may be asked again
labels = Table(
    "labels",
    metadata,
    _id(),
    _text("request_id"),
    _text("source"),
    _text("label"),
    _number("at_s"),
    _flag("directed"),
    _flag("is_truth"),  # the first label of its request: the one that evidence is formed from
    _probability(),
    _number("received_at_s"),  # by our clock: what it is kept by
    _flag("matched"),  # there is a sample of the request
    UniqueConstraint("request_id", "source"),
    Index(None, "received_at_s"),
    sqlite_autoincrement=True,
)
Index("ix_labels_unmatched", labels.c.id, sqlite_where=~labels.c.matched)
label_disputes = Table(
    "label_disputes",
    metadata,
    _id(),
    _text("kind"),  # `labels.Dispute`
    _text("request_id"),
    _text("source"),  # who said it later
    _text("says"),
    _text("was"),  # what was said first, and stays
    _text("was_source"),
    _number("received_at_s"),
    UniqueConstraint("request_id", "source", "kind", "says"),
    Index(None, "received_at_s"),
    sqlite_autoincrement=True,
)
version_classes = Table(
    "version_classes",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    _text("classes"),  # JSON array: every class that a sampled answer named
    _number("at_s"),  # of the answer that named the last of them
)
looked_at = Table(  # how far any release has read a model's labels: what is judged
    "looked_at",
    metadata,
    Column("model", Text, primary_key=True),
    Column("labelled_pairs", BIG_ID, nullable=False),
    Column("labelled_answers", BIG_ID, nullable=False),
    Column("names", Text),  # JSON: all classes and aliases that it was read by
)
pairs = Table(
    "pairs",
    metadata,
    _id(),
    _text("model"),
    _text("live_version"),
    _text("shadow_version"),
    _text("request_id"),
    Column("live_id", BIG_ID, nullable=False),
    Column("shadow_id", BIG_ID, nullable=False),
    _text("text_digest"),
    _flag("agreed"),
    _flag("labelled"),
    _number("inclusion_probability"),
    _number("at_s"),
    _replayed(),
    UniqueConstraint("request_id", "model", "live_version", "shadow_version"),
    Index(None, "text_digest", "model", "id"),  # whether a text was seen before
    Index(None, "at_s"),
    sqlite_autoincrement=True,
)
Index(
    "ix_pairs_to_label",
    pairs.c.model,
    pairs.c.agreed,
    pairs.c.id,
    sqlite_where=~pairs.c.labelled,
)
labelled_pairs = Table(
    "labelled_pairs",
    metadata,
    _id(),
    Column("pair_id", BIG_ID, nullable=False),
    _text("model"),
    _text("live_version"),
    _text("shadow_version"),
    _text("text_digest"),
    _text("truth"),
    _flag("directed"),
    _text("live_label"),
    _number("live_confidence"),
    _number("live_brier"),
    _text("shadow_label"),
    _number("shadow_confidence"),
    _number("shadow_brier"),
    _number("inclusion_probability"),
    _number("at_s"),
    _replayed(),
    UniqueConstraint("pair_id"),
    Index(None, "model", "id"),
    Index(None, "at_s"),
    sqlite_autoincrement=True,
)
labelled_answers = Table(
    "labelled_answers",
    metadata,
    _id(),
    Column("prediction_id", BIG_ID, nullable=False),
    _text("model"),
    _text("version"),
    _text("answer"),
    _text("truth"),  # as the source named it
    _text("source"),
    _flag("directed"),
    _number("at_s"),
    _probability(),  # of being sampled and labelled
    UniqueConstraint("prediction_id"),
    Index(None, "model", "id", "version", "directed"),
    Index(None, "at_s"),
    sqlite_autoincrement=True,
)
champions = Table(  # what is known of the version that serves everybody
    "champions",
    metadata,
    Column("model", Text, primary_key=True),
    _text("version"),
    _text("state"),  # JSON
)
replays = Table(  # of recorded requests, in the shadow phase of a release
    "replays",
    metadata,
    Column("release_id", Text, primary_key=True),
    _text("model"),
    _number("at_s"),
    Column("reuses", Boolean),  # what is recorded of stable is what it answers now; null: not yet known
    Column("trouble", Text, nullable=False, server_default=""),  # why it does not go on
    Column("checked", Integer, nullable=False, server_default="0"),  # answers of stable that were asked for anew
)
replayed_requests = Table(
    "replayed_requests",
    metadata,
    _id(),
    _text("release_id"),
    _text("request_id"),
    _text("outcome"),  # `controller.ports.recordings.Outcome`
    Column("recorded_id", BIG_ID, nullable=False),  # the live answer that holds the text
    _number("at_s"),
    UniqueConstraint("release_id", "request_id"),
    Index(None, "request_id"),
    Index(None, "release_id", "outcome", "id"),
    Index(None, "at_s"),
    sqlite_autoincrement=True,
)
