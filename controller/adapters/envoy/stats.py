"""The counts of Envoy itself: only what is read, under labels that no name can spoil.

Each user's request is counted once, in the cluster of the version that it was dealt to, by the class of the status that
the user got: answers of the replica and Envoy's own (no connection, a time-out, a reset) alike, after retries. Envoy's
default labels end a cluster's name at its first dot; these do not.
"""

from typing import Any, Final

from serving.contract import gateway_edges_ms

# Envoy counts each request again as ``<cluster>.external...``, ``.retry...`` and so on: no part of a version that
# follows a dot begins with a letter, so that none of those is taken for a deployment.
_DEPLOYMENT: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*-v[A-Za-z0-9][A-Za-z0-9_]*(\.[0-9][A-Za-z0-9_]*)*(-shadow)?"
_KEPT: Final = (
    rf"cluster\.{_DEPLOYMENT}\.upstream_rq_(time|completed|total|[1-5]xx)",
    r"http\.models\.(no_cluster|no_route|downstream_rq_[1-5]xx)",
    r"server\.(uptime|live)",
)


def stats_settings() -> dict[str, Any]:
    """Keys of the bootstrap.

    Histograms are brought up to date when the counts are asked for, so that they are one scrape old at most, and not
    as old as the time between two flushes.
    """
    return {
        "stats_flush_on_admin": True,
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [
                {"tag_name": "envoy.cluster_name", "regex": r"^cluster\.((.+)\.)upstream_rq_"},
                {"tag_name": "envoy.response_code_class", "regex": r"_rq_((\d))xx$"},
                {"tag_name": "envoy.http_conn_manager_prefix", "regex": r"^http\.((.*?)\.)"},
            ],
            "stats_matcher": {
                "inclusion_list": {"patterns": [{"safe_regex": {"regex": pattern}} for pattern in _KEPT]},
            },
            "histogram_bucket_settings": [{"match": {"suffix": "upstream_rq_time"}, "buckets": gateway_edges_ms()}],
        },
    }
