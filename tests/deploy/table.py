"""The table of values in the chart's README, from their schema and defaults: made by ``make docs``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy/helm/serin"
BEGIN, END = "<!-- values -->\n", "<!-- end -->"


def rows(schema: dict[str, Any], defaults: Any, path: str = "") -> Iterator[str]:
    """Yield a line for each value that is no group of others."""
    for key, part in schema["properties"].items():
        name = f"{path}.{key}" if path else key
        if part.get("additionalProperties") is False and key != "resources" and defaults[key] is not None:
            yield from rows(part, defaults[key], name)
            continue
        yield f"| `{name}` | `{json.dumps(defaults[key])}` | {part['description'].replace('|', chr(92) + '|')} |"


def table() -> str:
    """Return the table."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return "\n".join(["| value | default | |", "| --- | --- | --- |", *rows(schema, defaults), ""])


def readme() -> str:
    """Return the README with the table as it should be."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:before] + table() + text[after:]


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme(), encoding="utf-8")
