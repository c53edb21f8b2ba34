"""A manifest's rules are read strictly: a field that is not understood may change every answer."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from serving.package.artifact import ArtifactError, Manifest
from serving.package.rules import Aggregate, AnswerRules, Task, Windows, parse_rules


@pytest.mark.parametrize(
    "rules",
    [
        AnswerRules(),
        AnswerRules(windows=Windows(0, Aggregate.MAX)),
        AnswerRules(Task.EMBEDDING, Windows(12), normalise=True),
        AnswerRules(Task.TOKEN_CLASSIFICATION),
    ],
)
def test_what_is_written_is_read(rules: AnswerRules) -> None:
    assert parse_rules(json.loads(json.dumps(asdict(rules)))) == rules


PLAIN = {"task": "embedding", "windows": None, "normalise": False}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "rules must have exactly normalise, task, windows"),
        ({**PLAIN, "pooling": "cls"}, "rules must have exactly"),
        ({"task": "embedding", "windows": None}, "rules must have exactly"),
        ({**PLAIN, "task": "translation"}, "rules.task must be one of sequence-classification, embedding"),
        ({**PLAIN, "task": None}, "rules.task must be one of"),
        ({**PLAIN, "normalise": 1}, "rules.normalise must be true or false"),
        ({**PLAIN, "windows": {"overlap_tokens": 4}}, "rules.windows must have exactly aggregate, overlap_tokens"),
        ({**PLAIN, "windows": {"overlap_tokens": True, "aggregate": "mean"}}, "must be a whole number"),
        ({**PLAIN, "windows": {"overlap_tokens": -1, "aggregate": "mean"}}, "overlap_tokens must not be negative"),
        ({**PLAIN, "windows": {"overlap_tokens": 4, "aggregate": "median"}}, "aggregate must be one of mean, max"),
        (
            {**PLAIN, "windows": {"overlap_tokens": 4, "aggregate": "max"}},
            "max is for the task sequence-classification",
        ),
        ({**PLAIN, "task": "token-classification", "normalise": True}, "normalise is for the task embedding"),
    ],
)
def test_anything_else_is_refused_by_its_field(document: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_rules(document)


def test_a_manifest_names_the_field(built_package: Path) -> None:
    manifest = json.loads((built_package / "manifest.json").read_bytes())
    for field, value, problem in (
        ("rules", {}, r"manifest\.json: rules must have exactly"),
        ("rules", PLAIN, "labels must be empty: an embedding has none"),
        ("variant_of", "7", "variant_of must be 64 lower-case hex digits"),
    ):
        with pytest.raises(ArtifactError, match=problem):
            Manifest.parse(json.dumps({**manifest, field: value}).encode())


def test_a_manifest_from_before_there_were_rules_cuts_and_classifies(built_package: Path) -> None:
    manifest = json.loads((built_package / "manifest.json").read_bytes())
    del manifest["rules"], manifest["variant_of"]
    assert Manifest.parse(json.dumps(manifest).encode()).rules == AnswerRules()
