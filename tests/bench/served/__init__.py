"""What ``tests.bench.serving`` measures: the server beside the bare engine, and beside what others serve with."""
