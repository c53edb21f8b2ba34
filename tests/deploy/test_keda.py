"""The ScaledObject that the docs show: of KEDA's schema, as its documentation has it, and about what there is."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from controller.adapters.kubernetes.names import resource_name
from serving.contract import MODEL_LABEL, QUEUE_DEPTH_METRIC, VERSION_LABEL

DOCS = Path(__file__).parents[2] / "docs/kubernetes.md"


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


_TEXT = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0}
TRIGGER = _object(
    ["type", "metadata"],
    type={"const": "prometheus"},
    name=_TEXT,
    metricType={"enum": ["AverageValue", "Value"]},
    useCachedMetrics={"type": "boolean"},
    authenticationRef=_object(["name"], name=_TEXT, kind=_TEXT),
    metadata=_object(  # every value is text
        ["serverAddress", "query", "threshold"],
        **dict.fromkeys(("serverAddress", "query", "threshold", "activationThreshold", "namespace"), _TEXT),
        **dict.fromkeys(("customHeaders", "queryParameters", "ignoreNullValues", "unsafeSsl", "authModes"), _TEXT),
    ),
)
SCALED_OBJECT = _object(
    ["scaleTargetRef", "triggers"],
    scaleTargetRef=_object(["name"], name=_TEXT, apiVersion=_TEXT, kind=_TEXT, envSourceContainerName=_TEXT),
    **dict.fromkeys(("pollingInterval", "cooldownPeriod", "idleReplicaCount"), _COUNT),
    **dict.fromkeys(("minReplicaCount", "maxReplicaCount"), _COUNT),
    triggers={"type": "array", "minItems": 1, "items": TRIGGER},
)


def shown() -> dict[str, Any]:
    (found,) = (
        one
        for text in re.findall(r"(?ms)^```yaml\n(.*?)^```$", DOCS.read_text())
        if (one := yaml.safe_load(text)).get("kind") == "ScaledObject"
    )
    assert isinstance(found, dict)
    return found


def test_the_scaled_object_of_the_docs_is_one(checked: Callable[..., None]) -> None:
    found = shown()
    assert found["apiVersion"] == "keda.sh/v1alpha1"
    jsonschema.validate(found["spec"], SCALED_OBJECT)
    spec = found["spec"]
    assert spec["scaleTargetRef"]["name"] == resource_name("intent", "7")
    assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
    (trigger,) = spec["triggers"]
    asked = f'sum({QUEUE_DEPTH_METRIC}{{{MODEL_LABEL}="intent",{VERSION_LABEL}="7"}})'
    assert trigger["metadata"]["query"] == asked
    checked("scaled objects")


def test_a_slip_in_one_is_found() -> None:
    """So that the test above can fail."""
    spec = shown()["spec"]
    spec["triggers"][0]["metadata"]["threshold"] = 4  # KEDA takes text only
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, SCALED_OBJECT)
