"""For who looks for a cause: texts, batches and machines."""

from controller.monitoring import recordings as kept
from controller.monitoring.dashboards.common import BY_REPLICA, WINDOW, Limits, picked, summed
from controller.monitoring.dashboards.panel import Dashboard, Kind, Panel, Query, Unit
from controller.monitoring.rule import OF_VERSION
from serving import contract as names


def debug(limits: Limits) -> Dashboard:
    """The dashboard."""

    def heat(metric: str) -> Query:
        return Query(summed(f"rate({picked(f'{metric}_bucket')}[{WINDOW}])", "le"), "{{le}}")

    def per_replica(quantile: float) -> Query:
        buckets = f"rate({picked(f'{names.DURATION_METRIC}_bucket')}[{WINDOW}])"
        return Query(f"1000 * histogram_quantile({quantile:g}, {summed(buckets, 'instance', 'le')})", BY_REPLICA)

    def rate(metric: str, *labels: str) -> str:
        return summed(f"rate({picked(metric)}[{WINDOW}])", *(labels or (OF_VERSION,)))

    long_texts = f"{rate(names.TRUNCATED_METRIC)}"
    batch = f"{rate(f'{names.BATCH_SIZE_METRIC}_sum')} / ({rate(f'{names.BATCH_SIZE_METRIC}_count')} > 0)"
    return Dashboard(
        "serin-debug",
        "Serin: debug",
        "Texts, batches and machines: where the time goes. Slow requests have traces, whose ids are on the exemplars.",
        {
            "Texts": (
                Panel(
                    "Tokens",
                    "Texts a second by their length in tokens, before truncation.",
                    Unit.COUNT,
                    (heat(names.TOKENS_METRIC),),
                    Kind.HEAT,
                ),
                Panel(
                    "Tokens, 95th percentile",
                    "95 % of texts are shorter, over 15 minutes.",
                    Unit.COUNT,
                    (Query(picked(kept.TOKENS_P95)),),
                    beyond=limits.least(lambda one: one.tokens_p95_max or None),  # 0: as many as the version reads
                ),
                Panel(
                    "Texts that are cut",
                    "Texts a second, cut to the longest length that the model takes.",
                    Unit.PER_S,
                    (Query(long_texts),),
                    width=8,
                ),
                Panel(
                    "Unknown tokens",
                    "Share of tokens that the tokenizer does not know, over 15 minutes.",
                    Unit.SHARE,
                    (Query(picked(kept.UNKNOWN_RATIO)),),
                    width=8,
                    beyond=limits.least(lambda one: one.unknown_token_ratio_max),
                ),
                Panel(
                    "Cold requests",
                    "Share of requests that met a replica still warming up.",
                    Unit.SHARE,
                    (Query(picked(kept.COLD_RATIO)),),
                    width=8,
                    beyond=limits.least(lambda one: one.cold_start_ratio_max),
                ),
            ),
            "Batches": (
                Panel(
                    "Batch sizes",
                    "Calls of the engine a second, by how many texts they had.",
                    Unit.COUNT,
                    (heat(names.BATCH_SIZE_METRIC),),
                    Kind.HEAT,
                ),
                Panel("Texts of a batch", "On average.", Unit.COUNT, (Query(batch),)),
                Panel(
                    "Queue",
                    "Requests accepted and not yet answered, by replica.",
                    Unit.COUNT,
                    (Query(picked(names.QUEUE_DEPTH_METRIC), BY_REPLICA),),
                    beyond=limits.least(lambda one: one.queue_depth_max),
                ),
                Panel(
                    "Latency",
                    "Requests a second by how long they took in the replica.",
                    Unit.SECONDS,
                    (heat(names.DURATION_METRIC),),
                    Kind.HEAT,
                ),
            ),
            "Instances": (
                Panel(
                    "P95 by replica",
                    "95 % of requests take less in the replica; of the slowest, ask for a trace.",
                    Unit.MS,
                    (per_replica(0.95),),
                    width=8,
                    beyond=limits.p95_ms,
                ),
                Panel(
                    "Memory by replica",
                    "Resident, all its processes.",
                    Unit.BYTES,
                    (Query(picked(names.RESIDENT_MEMORY_METRIC), BY_REPLICA),),
                    width=8,
                ),
                Panel(
                    "CPU",
                    "Of the cores that the replica may use, over 5 minutes.",
                    Unit.SHARE,
                    (Query(picked(kept.CPU_RATIO)),),
                    width=8,
                    beyond=limits.least(lambda one: one.cpu_ratio_max),
                ),
                Panel(
                    "Throttled",
                    "Seconds a second in which a quota kept it from running.",
                    Unit.SHARE,
                    (Query(rate(names.CPU_THROTTLED_METRIC)),),
                    width=8,
                    beyond=0.1,
                ),
                Panel(
                    "GPU",
                    "Utilisation of the busiest, over 5 minutes.",
                    Unit.SHARE,
                    (Query(picked(kept.GPU_RATIO)),),
                    width=8,
                    beyond=limits.least(lambda one: one.gpu_ratio_max),
                ),
                Panel(
                    "Refused",
                    "Requests a second of who may not ask, by reason.",
                    Unit.PER_S,
                    (Query(rate(names.ACCESS_REFUSED_METRIC, OF_VERSION, names.REASON_LABEL), "{{model}} {{reason}}"),),
                    width=8,
                ),
            ),
            "Serin": (
                Panel(
                    "Journal",
                    "Entries a second.",
                    Unit.COUNT,
                    (Query(f"max(rate({names.JOURNAL_ENTRIES_METRIC}[5m]))", "entries"),),
                    width=8,
                ),
                Panel(
                    "Database",
                    "Journal, samples and labels.",
                    Unit.BYTES,
                    (Query(f"max({names.DATABASE_METRIC})", "database"),),
                    width=8,
                ),
                Panel(
                    "Samples that were lost",
                    "Sampled answers a second that did not reach the controller, by reason.",
                    Unit.PER_S,
                    (
                        Query(
                            rate(names.CAPTURE_DROPPED_METRIC, names.MODEL_LABEL, names.REASON_LABEL),
                            "{{model}} {{reason}}",
                        ),
                    ),
                    width=8,
                ),
            ),
        },
    )
