"""A docstring says what is returned, done or held, its subject first: "Return the ...", "The ... of ..."."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = ("controller", "gates", "serving", "suites")
WITHOUT_SUBJECT = re.compile(r"(What|Who|Whose|Whom|Whether|Why|Which|How|Of|None|Is|Are|Does|Do both)\b")


def docstrings() -> Iterator[tuple[str, str]]:
    """The place and the text of each, ``controller/files.py:12``."""
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text is not None:
                    yield f"{path.relative_to(ROOT)}:{node.body[0].lineno}", text


def test_every_docstring_begins_with_its_subject() -> None:
    found = dict(docstrings())
    assert len(found) > 1000  # else they were not read at all
    assert not [f"{place}: {text.splitlines()[0]}" for place, text in found.items() if WITHOUT_SUBJECT.match(text)]
