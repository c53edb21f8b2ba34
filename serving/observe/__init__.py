"""What a replica tells of itself: metrics, use of resources, traces, sampled predictions."""
