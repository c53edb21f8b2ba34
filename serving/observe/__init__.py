"""What a replica tells of itself: metrics, traces, sampled predictions."""
