"""The ledger of the route file: what was written for each model, and in which revision of the file.

One route of the file holds it, and tells by which revision it was answered: which of Envoy's worker threads goes by
what cannot be seen in any other way. Standard library only, and quick to import.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

METADATA: Final = "serin"
REVISION_ROUTE: Final = "/serin/routes"
"""Answered by Envoy itself, with the revision of the routes that the worker thread goes by which was asked."""

_OK: Final = 200
_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class Written:
    """A model's route as it was written: its digest, and the revision of the file in which it came."""

    digest: str
    revision: int


def teller(revision: int, written: Mapping[str, Written]) -> dict[str, Any]:
    """The route by which it is told what is served."""
    ledger = {model: {"digest": one.digest, "revision": one.revision} for model, one in sorted(written.items())}
    return {
        "name": REVISION_ROUTE,  # no model's: those have no slash
        "match": {"path": REVISION_ROUTE},
        "direct_response": {"status": _OK, "body": {"inline_string": str(revision)}},
        "metadata": {"filter_metadata": {METADATA: {"written": ledger}}},
    }


def ledger_of(teller: Mapping[str, Any]) -> dict[str, Written]:
    ledger = teller["metadata"]["filter_metadata"][METADATA]["written"]
    return {model: Written(str(one["digest"]), int(one["revision"])) for model, one in ledger.items()}


def digest_of(route: Mapping[str, Any]) -> str:
    text = json.dumps(route, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
