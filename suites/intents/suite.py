"""Writes the suite of labelled cases, suite.jsonl: the first cases of the held-out part.

    python -m suites.intents.suite

Each line is one object: {"id", "text", "label", "slices"}.
"""

import json
from pathlib import Path
from typing import Final

from suites.intents.generator import held_out

SUITE: Final = Path(__file__).resolve().parent / "suite.jsonl"
SUITE_SIZE: Final = 600


def lines() -> str:
    """Return the content of the suite's file."""
    cases = (
        {"id": f"intents-{i:04}", "text": e.text, "label": e.label, "slices": e.slices}
        for i, e in enumerate(held_out(SUITE_SIZE))
    )
    return "".join(json.dumps(case) + "\n" for case in cases)


if __name__ == "__main__":
    SUITE.write_text(lines(), encoding="utf-8")
