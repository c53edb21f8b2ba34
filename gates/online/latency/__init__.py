"""latency.p95 and latency.p99: is the candidate slower, by bucket counts and without interpolation?"""
