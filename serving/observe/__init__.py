"""The signals of a replica: metrics, use of resources, traces, sampled predictions."""
