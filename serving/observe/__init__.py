"""A replica's own account of itself: metrics, use of resources, traces, sampled predictions."""
