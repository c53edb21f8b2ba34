"""The keys of the limits on what a candidate uses."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """Limits on what the candidate uses, as warnings; ``null`` switches one off."""

    memory_ratio_max: Annotated[float | None, "resident memory, of what the replica may use"] = 0.9
    cpu_ratio_max: Annotated[float | None, "CPU, of the cores that the replica may use"] = 0.7
    gpu_ratio_max: Annotated[float | None, "of the GPU that is used most"] = 0.9
    gpu_ratio_min: Annotated[float | None, "below it, a GPU is paid for and idle"] = 0.6
    queue_depth_max: Annotated[float | None, "requests accepted and not yet answered, on average"] = 5.0
    cold_start_ratio_max: Annotated[float | None, "of requests, that met a replica still warming up"] = 0.01
    restarts_max: Annotated[float | None, "of workers, since the release started"] = 0.0
    unknown_token_ratio_max: Annotated[float | None, "of tokens, that the tokenizer does not know"] = 0.05
    truncated_ratio_max: Annotated[float | None, "of texts, cut to the longest length that the model takes"] = 0.01
    tokens_p95_max: Annotated[
        float | None, "of a text's tokens, the 95th percentile; the longest text DistilBERT takes"
    ] = 512.0
    throughput_ratio_min: Annotated[float | None, "answers per second of computing, candidate over stable"] = 0.8
    replica_hour_price: Annotated[
        float | None, "in the currency of `cost_per_1000_max`; without it no cost is known"
    ] = None
    cost_per_1000_max: Annotated[float | None, "of 1,000 requests; set by the business"] = None
