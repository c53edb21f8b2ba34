"""``python -m serving`` that counts nothing: what the metrics cost is measured against it."""

import sys
from typing import Any


class Nothing:
    """Takes whatever is counted."""

    def __init__(self, *_: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def main() -> int:
    import serving.process.life
    from serving.__main__ import main as serve

    serving.process.life.ApiMetrics = serving.process.life.WorkerMetrics = Nothing  # type: ignore[misc, assignment]
    return serve()


if __name__ == "__main__":
    sys.exit(main())
