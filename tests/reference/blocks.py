"""Blocks of a page that are made from the code: between ``<!-- NAME -->`` and ``<!-- end -->``."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"<!-- ([a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)


def rewritten(page: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """The page with every block as the code has it. Raises KeyError where a block is of no known name."""
    return _BLOCK.sub(lambda found: f"<!-- {found[1]} -->\n{blocks[found[1]]()}\n<!-- end -->", page)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
