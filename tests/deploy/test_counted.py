"""The line of what of `deploy/` was checked is of what ran and passed, in however many processes."""

import textwrap
from pathlib import Path

import pytest

from tests.deploy.counted import line_of

pytest_plugins = ("pytester",)

TESTS = {
    "tests/deploy/test_some.py": """
        def test_two(checked):
            checked("rules", 2)
        def test_one(checked):
            checked("rules")
            checked("units")
        def test_bad(checked):
            checked("rules", 100)
            raise AssertionError
        """,
    "tests/deploy/test_others.py": """
        import pytest
        def test_left_out():
            pytest.skip("no root")
        """,
    "tests/test_elsewhere.py": "def test_one(): pass",
}


def test_what_passed_is_counted_and_what_was_left_out_is_told(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in TESTS.items():
        file = pytester.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    done = pytester.runpytest_subprocess("-p", "tests.deploy.counted", "-n", "2")
    told = "deploy: 3 rules, 1 units; 2 tests passed, 1 failed; left out, 1 tests: no root"
    assert [line for line in done.outlines if line.startswith("deploy")] == [told]


def test_a_run_of_other_tests_tells_nothing() -> None:
    assert line_of({}) == ""
