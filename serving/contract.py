"""The names that serving, the controller, the Prometheus rules and the dashboards share.

Every metric name, label, header and route is written here once; nothing else in the project repeats one. Standard
library only, so that importing a name costs nothing.
"""

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

# --- routes of one replica -------------------------------------------------------------------------------------------
PREDICT_ROUTE: Final = "/predict"
TOKENIZE_ROUTE: Final = "/tokenize"  # token ids of given texts: how the controller probes golden texts
INFO_ROUTE: Final = "/info"  # model, version, fingerprint, library versions
HEALTH_ROUTE: Final = "/health"
METRICS_ROUTE: Final = "/metrics"
OPENAPI_ROUTE: Final = "/openapi.json"
ROUTES: Final = frozenset({PREDICT_ROUTE, TOKENIZE_ROUTE, INFO_ROUTE, HEALTH_ROUTE, METRICS_ROUTE, OPENAPI_ROUTE})

# --- how a replica ends, for who started it: 0 as it was asked to, 1 a process of it was lost -------------------------
EXIT_USAGE: Final = 2  # its command line asks for what cannot be
EXIT_REFUSED: Final = 3  # it will not serve its package
EXIT_SHORTAGE: Final = 75  # this machine refused it something, such as open files; says nothing of the package

# --- routes of the controller that replicas and label sources use ----------------------------------------------------
PREDICTIONS_ROUTE: Final = "/v1/predictions"
LABELS_ROUTE: Final = "/v1/labels"
LABEL_REQUESTS_ROUTE: Final = "/v1/label-requests"
PREDICTIONS_SCHEMA: Final = "serin.predictions/v1"
CAPTURE_RATIO_FIELD: Final = "capture_ratio"
"""The field, in the answer to predictions, with the share of requests to sample from now on; 0, or `CAPTURE_RATIO_MIN`
to 1. An answer without it says nothing, and a replica that does not know it goes on as it was started."""
CAPTURE_RATIO_MIN: Final = 1e-6
ASKS_EVERY_S: Final = 10.0
"""The interval at which a replica without predictions to send sends an empty batch, to get the answer."""

GATEWAY_HOST: Final = "serin.localhost"
"""The Host that the gateway sends to replicas, whatever name clients ask it by. Browsers resolve names of localhost
themselves, so nobody can point this one elsewhere first."""

# --- headers ---------------------------------------------------------------------------------------------------------
REQUEST_ID_HEADER: Final = "x-request-id"
DRILL_REQUEST_PREFIX: Final = "serin-drill-"
"""The prefix of the ids of a drill's own requests: everything treats them as users' requests, but they are no sample of
what users ask."""
USABLE_REQUEST_ID: Final = "[!-~]{1,128}"  # what is kept of a caller's: printable, no spaces; any other is replaced
MODEL_VERSION_HEADER: Final = "x-serin-model-version"
TAGS_HEADER: Final = "x-serin-tags"  # attributes of the request that slices are made of: "lang=en, channel=app"
QUESTION_HEADER: Final = "x-serin-question"
"""Of the controller's own questions (suites, replays), on the port for copies: no sample is taken of them. A user who
sends it to the gateway gets the same answer, and his request is one that has no pair, as one that was not sampled."""
USER_HEADER: Final = "x-serin-user"
"""Who asks, as the gateway keeps users on a version: the value of the header that it was told to go by. The gateway
alone sets it, and it is kept nowhere: a replica counts in which part of the users a request falls."""
TRACE_PARENT_HEADER: Final = "traceparent"  # W3C Trace Context: whose child the server's span is
TRACE_STATE_HEADER: Final = "tracestate"
TRACE_RESPONSE_HEADER: Final = "traceresponse"  # of answers that were traced: trace id and the server's span


class Traffic(StrEnum):
    """The kind of a request: a user waits for ``live`` answers, and nobody for ``shadow`` ones.

    The port that it arrived on decides, never a header, which a client could write.
    """

    LIVE = "live"
    SHADOW = "shadow"


# --- metrics; each carries MODEL_LABEL and VERSION_LABEL --------------------------------------------------------------
MODEL_LABEL: Final = "model"
VERSION_LABEL: Final = "model_version"
TRAFFIC_LABEL: Final = "traffic"
CODE_LABEL: Final = "code"
REASON_LABEL: Final = "reason"
TOKENIZER_LABEL: Final = "tokenizer"  # of INFO_METRIC: SHA-256 of the tokenizer file that is served
USERS_LABEL: Final = "users"  # which part of them, from 0
TOOK_LABEL: Final = "took"  # at most so many seconds, of USER_EDGES_MS; longer; or one of the two below
TOOK_LONGER: Final = "longer"
FAILED: Final = "failed"
REFUSED: Final = "refused"
CLIENT_GONE_CODE: Final = 499  # nobody was left to answer: no error of the version, but its time is in the histogram

REQUESTS_METRIC: Final = "serin_requests_total"  # counter by traffic, HTTP status code
USERS_METRIC: Final = "serin_user_requests_total"  # counter by part of the users, how it went: live, of known users
FAILURES_METRIC: Final = "serin_failures_total"  # counter by traffic: server errors, those of one cause counted once
DURATION_METRIC: Final = "serin_request_duration_seconds"  # histogram by traffic, whole request in the server
TOKENS_METRIC: Final = "serin_request_tokens"  # histogram of tokens per text before truncation
UNKNOWN_TOKENS_METRIC: Final = "serin_unknown_tokens_total"
TRUNCATED_METRIC: Final = "serin_truncated_texts_total"
WINDOWED_METRIC: Final = "serin_windowed_texts_total"  # texts read in more than one window
WINDOWS_METRIC: Final = "serin_windows_total"  # the windows of those
BATCH_SIZE_METRIC: Final = "serin_batch_size"  # histogram of texts per engine call
QUEUE_DEPTH_METRIC: Final = "serin_queue_depth"  # gauge: requests accepted and not yet answered
LEVELS: Final = {QUEUE_DEPTH_METRIC: "queue_depth"}
"""Gauges that a look shows as they are, on average over its window and of the worst replica, and under which name."""
COLD_REQUESTS_METRIC: Final = "serin_cold_requests_total"  # requests that came before warm-up was over
CAPTURED_METRIC: Final = "serin_captured_predictions_total"
CAPTURE_DROPPED_METRIC: Final = "serin_capture_dropped_total"  # by reason
MIRRORED_METRIC: Final = "serin_mirrored_requests_total"  # copies that the other version answered
MIRROR_DROPPED_METRIC: Final = "serin_mirror_dropped_total"  # by reason
ACCESS_REFUSED_METRIC: Final = (
    "serin_access_refused_total"  # by reason: no token, an unknown one, over a limit, a stranger
)
ACCESS_LOG_LOST_METRIC: Final = "serin_access_log_lost_total"  # lines that found no place or could not be written
RESIDENT_MEMORY_METRIC: Final = "serin_resident_memory_bytes"  # gauge, all processes of the replica
CPU_METRIC: Final = "serin_cpu_seconds_total"  # counter, all processes of the replica
MEMORY_LIMIT_METRIC: Final = "serin_memory_limit_bytes"  # gauge: what the replica may use
CORES_METRIC: Final = "serin_cores"  # gauge: cores that the replica may use
CPU_THROTTLED_METRIC: Final = "serin_cpu_throttled_seconds_total"  # counter, where a quota is told
OOM_KILLS_METRIC: Final = "serin_oom_kills_total"  # counter: processes of its group killed for memory, where told
BUSY_METRIC: Final = "serin_busy_seconds_total"  # time that workers were computing
WORKERS_METRIC: Final = "serin_workers"  # gauge: inference workers that run
WORKER_RESTARTS_METRIC: Final = "serin_worker_restarts_total"  # inference workers that ended and were replaced
GPU_UTILIZATION_METRIC: Final = "serin_gpu_utilization_ratio"  # gauge by gpu, where there is one
GPU_MEMORY_METRIC: Final = "serin_gpu_memory_bytes"  # gauge by gpu, what the replica holds
GPU_LABEL: Final = "gpu"
START_METRIC: Final = "serin_start_time_seconds"  # gauge, unix time: tells a new process from one with new labels
INFO_METRIC: Final = "serin_model_info"  # constant 1 with the fingerprint as a label

# --- metrics of the gateway, as Envoy names them ----------------------------------------------------------------------
GATEWAY_JOB: Final = "serin-gateway"  # under which it is scraped
GATEWAY_STATS_ROUTE: Final = "/stats/prometheus"
CLUSTER_LABEL: Final = "envoy_cluster_name"
CODE_CLASS_LABEL: Final = "envoy_response_code_class"
GATEWAY_REQUESTS_METRIC: Final = "envoy_cluster_upstream_rq_xx"  # by cluster and class of status, once there is one
GATEWAY_COMPLETED_METRIC: Final = "envoy_cluster_upstream_rq_completed"  # by cluster, from its beginning on
GATEWAY_SENT_METRIC: Final = "envoy_cluster_upstream_rq_total"  # as that one, also those that the user gave up
GATEWAY_TIME_METRIC: Final = "envoy_cluster_upstream_rq_time"  # histogram by cluster, in whole ms
GATEWAY_UPTIME_METRIC: Final = "envoy_server_uptime"  # whole seconds
GATEWAY_NO_CLUSTER_METRIC: Final = "envoy_http_no_cluster"  # requests to a model for which no version is known

# --- metrics of the controller: of itself, and of the newest release of each model ------------------------------------
CONTROLLER_JOB: Final = "serin-controller"  # under which it is scraped
REPLICA_JOB: Final = "serin"  # and replicas
PHASE_LABEL: Final = "phase"
REGION_LABEL: Final = "region"  # on alerts, by the Prometheus that evaluates them
GATE_LABEL: Final = "gate"
OUTCOME_LABEL: Final = "outcome"
SOURCE_LABEL: Final = "source"
LEADS_METRIC: Final = "serin_controller_leads"  # gauge: 1 where this one leads, 0 where it stands by
ROUND_TIME_METRIC: Final = "serin_controller_last_round_time_seconds"  # gauge, unix time: when a round last began
UNREADABLE_METRIC: Final = "serin_controller_unreadable"  # gauge by part, 1 where the controller cannot read it
POLICY_FAULTS_METRIC: Final = "serin_policy_faults"  # gauge: policy files that are not followed
FROZEN_METRIC: Final = "serin_frozen"  # gauge by model: freezes in force that hold it
API_REFUSED_METRIC: Final = "serin_api_refused_total"  # counter: requests to its interface that it refused
API_REFUSED_SINCE_METRIC: Final = "serin_api_refused_created"  # gauge, unix time: since when it counts those
JOURNAL_ENTRIES_METRIC: Final = "serin_journal_entries_total"  # counter: all that were ever written
DATABASE_METRIC: Final = "serin_database_bytes"  # gauge: journal, samples and labels
DISK_FREE_METRIC: Final = "serin_home_disk_free_bytes"  # gauge: where the home is
WEIGHT_METRIC: Final = "serin_traffic_weight_ratio"  # gauge: of users' requests, as they are dealt
PHASE_TIME_METRIC: Final = "serin_release_phase_start_time_seconds"  # gauge by phase, unix time: since when it is in it
DEADLINE_METRIC: Final = "serin_release_deadline_time_seconds"  # gauge, unix time
LOOK_TIME_METRIC: Final = "serin_release_last_look_time_seconds"  # gauge, unix time
FAULT_METRIC: Final = "serin_release_fault"  # gauge by source, 1 while it cannot be read
BLAMED_METRIC: Final = "serin_release_blamed"  # gauge by gate, 1 for each that failed the release
GATE_METRIC: Final = "serin_gate_outcome"  # gauge by gate and outcome, 1 for the latest one
GATE_VALUE_METRIC: Final = "serin_gate_value"  # gauge by gate: what it measured, in its own unit
BREACH_METRIC: Final = "serin_gate_breach"  # gauge by gate, 1: an objective missed by nobody knows whose fault
GATE_SAMPLES_METRIC: Final = "serin_gate_samples"  # gauge by gate: on how many samples that rests
TARGET_LABEL: Final = "target"  # of notices, as the setting names it
NOTICES_WAITING_METRIC: Final = "serin_notices_waiting"  # gauge by target
NOTICES_OLDEST_METRIC: Final = "serin_notices_oldest_time_seconds"  # gauge by target, unix time of the first that waits
NOTICES_GIVEN_UP_METRIC: Final = "serin_notices_given_up"  # gauge by target: since one arrived last
NOTICES_DELIVERED_METRIC: Final = "serin_notices_delivered_total"  # counter by target
NOTICES_FAILED_METRIC: Final = "serin_notices_failed_attempts_total"  # counter by target
BOUND_LABEL: Final = "bound"  # value, low or high
MIX_LABEL: Final = "mix"  # classes, confidence or tokens
WINDOW_LABEL: Final = "window_s"
CAUSE_LABEL: Final = "cause"
CHAMPION_ACCURACY_METRIC: Final = "serin_champion_accuracy_ratio"  # gauge by bound, as all of these by version
CHAMPION_OVERCONFIDENCE_METRIC: Final = "serin_champion_overconfidence"  # gauge by bound
CHAMPION_LABELS_METRIC: Final = "serin_champion_labels"  # gauge
CHAMPION_LAG_METRIC: Final = "serin_champion_label_lag_seconds"  # gauge
CHAMPION_DISTANCE_METRIC: Final = "serin_champion_distance"  # gauge by mix and bound: total variation
CHAMPION_BURN_METRIC: Final = "serin_champion_burn"  # gauge by window
CHAMPION_SINCE_METRIC: Final = "serin_champion_since_time_seconds"  # gauge, unix time
CHAMPION_LOOK_METRIC: Final = "serin_champion_last_look_time_seconds"  # gauge, unix time
CHAMPION_P95_METRIC: Final = "serin_champion_p95_ms"  # gauge, between the last two looks as those that follow
CHAMPION_COLD_METRIC: Final = "serin_champion_cold_ratio"  # gauge
CHAMPION_COST_METRIC: Final = "serin_champion_cost_per_1000"  # gauge
CHAMPION_REQUESTS_METRIC: Final = "serin_champion_requests"  # gauge
CHAMPION_ERRORS_METRIC: Final = "serin_champion_errors"  # gauge
RETRAIN_ASKED_METRIC: Final = "serin_retrain_asked_total"  # counter by model and cause

TOKEN_EDGES: Final = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)
"""Upper edges of the histogram of tokens."""

LATENCY_EDGE_FIRST_MS: Final = 2.0
LATENCY_EDGE_LAST_MS: Final = 12_000.0
LATENCY_EDGE_RATIO: Final = 1.1


def latency_edges_ms(objectives_ms: Iterable[float] = ()) -> tuple[float, ...]:
    """Upper edges, in ms, of the latency histogram: a grid in ratio 1.1, and an edge exactly at every objective.

    The constant ratio makes "at most 1.1 times slower" a comparison of two bucket counts, without interpolation;
    the default client buckets would misplace a P95 by up to 49 %.

    Raises:
        ValueError: an objective is not a positive finite number.
    """
    objectives = tuple(objectives_ms)
    for objective in objectives:
        if not 0 < objective < float("inf"):
            raise ValueError(f"latency objective must be a positive number of milliseconds, got {objective}")
    grid = itertools.takewhile(
        lambda edge: edge < LATENCY_EDGE_LAST_MS * LATENCY_EDGE_RATIO,
        (round(LATENCY_EDGE_FIRST_MS * LATENCY_EDGE_RATIO**k, 4) for k in itertools.count()),
    )
    return tuple(sorted({*grid, *objectives}))


GATEWAY_OBJECTIVES_MS: Final = (
    20,
    25,
    30,
    40,
    50,
    75,
    80,
    100,
    150,
    200,
    250,
    300,
    400,
    500,
    750,
    800,
    1000,
    1500,
    2000,
    2500,
    3000,
    4000,
    5000,
    7500,
    8000,
    10_000,
)


def gateway_edges_ms() -> tuple[float, ...]:
    """Upper edges, in ms, of the gateway's latency histogram: whole milliseconds, then steps of at most 1.1, and the
    usual objectives.

    Envoy counts whole milliseconds, cut off, in bins of two significant digits, and tells an edge exactly only where
    one of those begins: a request that took less than the edge is below it. The edges are fixed when Envoy starts,
    before anybody knows of a policy.
    """
    edges = list(range(1, 11))
    while edges[-1] < LATENCY_EDGE_LAST_MS:
        reach = max(edges[-1] * 11 // 10, edges[-1] + 1)
        bin_ms = 10 ** (len(str(reach)) - 2)
        edges.append(reach // bin_ms * bin_ms)
    return tuple(map(float, sorted({*edges, *GATEWAY_OBJECTIVES_MS})))


USER_PARTS: Final = 16
"""Parts of the users of a replica: about as many of them fall into one as get a candidate at its first steps."""
USER_EDGES_MS: Final = latency_edges_ms()[::3]
"""Upper edges, in ms, that requests are timed by in parts of the users: how far these differ needs no finer ones."""


def part_of_user(value: bytes) -> int:
    """The part of the users that one falls into, by what its gateway knows it by: not as a gateway hashes it, or a
    version's users would all be of some parts."""
    return int.from_bytes(hashlib.blake2b(value, digest_size=4).digest()) % USER_PARTS


# --- names of models and versions -------------------------------------------------------------------------------------
MODEL_NAME_LENGTH_MAX: Final = 100  # with version, suffix and what a write in progress adds, far below 255 bytes
VERSION_LENGTH_MAX: Final = 20
CLASS_NAME_LENGTH_MAX: Final = 1_000
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]*")
_DEVICES: Final = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
_NO_TEXT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, surrogates, ends of lines and paragraphs
_COPIES: Final = "-shadow"
_BETWEEN: Final = "-v"  # of a deployment's name; a version has no '-', so the last one parts model and version


class NameRefusedError(ValueError):
    """A name that a file, a URL, a header, a metric and a log could not all carry as it is; says what to do instead."""


def check_model_name(name: str) -> str:
    """The name, unchanged, if it can be part of a file name, a URL, a header, a metric's label and a log.

    The one rule for models' names, wherever they come from. MLflow allows more; a model that is called otherwise there
    is renamed in the registry, which keeps its versions.

    Raises:
        NameRefusedError: it is not.
    """
    problem = None
    if len(name) > MODEL_NAME_LENGTH_MAX:
        problem = f"it has {len(name)} characters, {MODEL_NAME_LENGTH_MAX} are allowed"
    elif not _MODEL_NAME.fullmatch(name):
        problem = "use letters a to z, digits, '.', '_' and '-' only, with a letter or digit first and no '.' last"
    elif name.partition(".")[0].lower() in _DEVICES:
        problem = "on some systems that names a device, not a file"
    if problem is not None:
        raise NameRefusedError(
            f"{_shown(name)} cannot name a model: {problem}. The name becomes part of URLs, files and metrics: rename "
            "the registered model, or register its versions under another name."
        )
    return name


def class_name_problem(name: str) -> str | None:
    """Return why a class cannot have this name; None if it can.

    The one rule for classes' names, asked when a version is registered: a name that the controller takes with samples
    and labels, and that stays on its line wherever it is shown.
    """
    if not name.strip():
        return "it has no letter"
    if len(name) > CLASS_NAME_LENGTH_MAX:
        return f"it has {len(name):,} characters, {CLASS_NAME_LENGTH_MAX:,} are allowed"
    if any(unicodedata.category(letter) in _NO_TEXT for letter in name):
        return "it has a line break, a control character or half of a surrogate pair"
    return None


def check_version(version: str) -> str:
    """The version, as fit as `check_model_name` asks of a model's name, and written in the one way that it can be.

    Raises:
        NameRefusedError: it is not.
    """
    problem = None
    if len(version) > VERSION_LENGTH_MAX or not _VERSION.fullmatch(version):
        problem = f"use up to {VERSION_LENGTH_MAX} letters, digits, '.' and '_'; the registry's versions are numbers"
    elif version.isdecimal() and version != str(int(version)):
        problem = f"write {int(version)}"
    if problem is not None:
        raise NameRefusedError(f"{_shown(version)} cannot be a version: {problem}.")
    return version


def deployment_name(model: str, version: str) -> str:
    """The name of a deployment: by version, never by role, so that promoting a version renames nothing."""
    return f"{model}{_BETWEEN}{version}"


def deployed(name: str) -> tuple[str, str]:
    """The model and the version of a deployment's name.

    Raises: NameRefusedError: no deployment can have this name.
    """
    model, between, version = name.rpartition(_BETWEEN)
    if not between:
        raise NameRefusedError(f"{_shown(name)} is not the name of a deployment")
    return check_model_name(model), check_version(version)


def replica_name(model: str, version: str, number: int = 1) -> str:
    """The name of one replica of a deployment: the first one bears the deployment's, ``intent-v7``, the second one
    ``intent-v7-2``. No deployment is called so, for versions have no hyphen."""
    return deployment_name(model, version) + (f"-{number}" if number > 1 else "")


def replica_of(name: str) -> tuple[str, str, int]:
    """The model, the version and the number of a replica's name.

    Raises: NameRefusedError: no replica can have this name.
    """
    deployment, between, number = name.rpartition("-")
    if between and number.isdecimal() and number.isascii():
        return *deployed(deployment), int(number)
    return *deployed(name), 1


def _shown(name: str) -> str:
    """On one line and printable, however long it is and whatever is in it."""
    return ascii(name if len(name) <= MODEL_NAME_LENGTH_MAX else name[:MODEL_NAME_LENGTH_MAX] + "...")


def shadow_cluster_name(model: str, version: str) -> str:
    """Return where copies go in the gateway: a cluster of their own, so that the counts of the one that bears the
    deployment's name are those of live requests. No deployment is called so, for versions have no hyphen."""
    return f"{deployment_name(model, version)}{_COPIES}"


def is_shadow_cluster(name: str) -> bool:
    """Return whether the gateway's cluster of this name gets copies alone."""
    return name.endswith(_COPIES)


DIGEST_KEY_BYTES_MAX: Final = 64
"""The longest key that BLAKE2b takes: of a longer one what stands first."""


def text_digest(text: str, key: bytes) -> str:
    """A keyed digest: equal texts are recognised, and without the key no guess can be tried against it."""
    return hashlib.blake2b(text.encode(), key=key, digest_size=16).hexdigest()


def is_sampled(request_id: str, ratio: float) -> bool:
    """Return whether the request belongs to the consistent sample of this ratio (0 to 1).

    A function of the id alone: both versions, in any process, choose the same requests, so their answers pair up.
    A smaller ratio's sample is contained in a larger one's: while two processes go by two ratios, a request is sampled
    by both just if it is by the smaller one, whatever its text. So a pair's chance is the smaller of the two, and a
    sample that was drawn with a larger one may be thinned to a smaller one later.
    """
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) < ratio * 2**64


def request_of(sample_id: str) -> str:
    """The request that a sample is of: the answers to a list bear its id and their place in it (``id/0``), and are
    sampled together."""
    request_id, _, place = sample_id.rpartition("/")
    return request_id if request_id and place.isascii() and place.isdecimal() else sample_id
