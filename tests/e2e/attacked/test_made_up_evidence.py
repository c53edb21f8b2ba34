"""A process of this machine invents answers of both versions, and their true labels."""

import sqlite3
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.conftest import Site
from tests.patience import eventually

pytestmark = pytest.mark.integration

RIGHT, WRONG = "refund_status", "close_account"
PAIRS_A_BATCH = 1_000


def prediction(number: int, version: str, traffic: str, label: str, *, mark: str) -> dict[str, object]:
    return {
        "request_id": f"{mark}-{number}",
        "model": "intent",
        "model_version": version,
        "traffic": traffic,
        "at_s": 1_795_000_000.0,
        "label": label,
        "confidence": 0.9,
        "probabilities": {label: 0.9, "other": 0.1},
        "inclusion_probability": 1.0,
        "text_digest": f"{mark}-{number}",
        "tokens": 5,
    }


def batches(pairs: int, *, good: str, mark: str) -> Iterator[tuple[str, dict[str, object]]]:
    """What the attacker sends: pairs in which one version is right every time, and labels that say so."""
    for first in range(0, pairs, PAIRS_A_BATCH):
        numbers = range(first, min(first + PAIRS_A_BATCH, pairs))
        for version, traffic in (("1", "live"), ("2", "shadow")):
            label = RIGHT if version == good else WRONG
            rows = [prediction(number, version, traffic, label, mark=mark) for number in numbers]
            yield "/v1/predictions", {"schema": "serin.predictions/v1", "predictions": rows}
        yield "/v1/labels", {"labels": [{"request_id": f"{mark}-{number}", "label": RIGHT} for number in numbers]}


def send(site: Site, sends: Iterator[tuple[str, dict[str, object]]], headers: dict[str, str]) -> set[int]:
    with httpx.Client(base_url=site.serin.api, timeout=60, trust_env=False) as client:
        return {client.post(path, json=body, headers=headers).status_code for path, body in sends}


def kept(site: Site, mark: str) -> int:
    """How much of it the controller took for something that happened."""
    with sqlite3.connect(f"file:{site.serin.home / 'serin.db'}?mode=ro", uri=True) as database:
        return sum(
            database.execute(f"SELECT count(*) FROM {table} WHERE request_id LIKE ?", (f"{mark}-%",)).fetchone()[0]  # noqa: S608
            for table in ("predictions", "labels", "pairs")
        )


@pytest.mark.parametrize(("pairs", "good"), [(6_000, "2"), (300, "1")], ids=["to promote", "to roll back"])
def test_without_a_credential_nothing_of_it_is_taken(installed: Site, pairs: int, good: str) -> None:
    """6,000 pairs promoted a bad model and 300 rolled a good one back; now each batch is refused, and the release waits
    for evidence as before."""
    mark = f"made-up-{good}"
    looks = installed.release("2")["state"]["looks"]
    assert send(installed, batches(pairs, good=good, mark=mark), {}) == {401}
    assert kept(installed, mark) == 0
    eventually(lambda: installed.release("2")["state"]["looks"] >= looks + 2, what="two more looks")
    state = installed.release("2")["state"]
    assert (installed.phase("2"), state["blamed"]) == ("shadow", [])
    assert state["verdicts"]["accuracy.shadow"]["samples"] < 10  # of what other tests here asked and labelled


def test_a_source_of_labels_sends_no_predictions(installed: Site) -> None:
    """Who may say what is true may not say what was answered."""
    token = installed.serin.label_token_file.read_text().strip()
    sends = ((path, body) for path, body in batches(300, good="1", mark="source") if path == "/v1/predictions")
    assert send(installed, sends, {"authorization": f"Bearer {token}"}) == {403}
    assert kept(installed, "source") == 0


def test_an_admin_sends_no_predictions(installed: Site) -> None:
    """The most powerful token that is given to anybody makes no evidence."""
    sends = ((path, body) for path, body in batches(300, good="1", mark="admin") if path == "/v1/predictions")
    assert send(installed, sends, installed.serin.token()) == {403}
    assert kept(installed, "admin") == 0


def test_a_replica_sends_no_other_versions_predictions(installed: Site) -> None:
    """What leaks from one side of a pair does not make the other."""
    own = (installed.serin.home / "deployments" / "intent-v1.token").read_text().strip()
    headers = {"authorization": f"Bearer {own}"}
    made_up = [prediction(number, "2", "shadow", WRONG, mark="other") for number in range(300)]
    body = {"schema": "serin.predictions/v1", "predictions": made_up}
    assert send(installed, iter([("/v1/predictions", body)]), headers) == {403}
    labels = {"labels": [{"request_id": "other-1", "label": RIGHT}]}
    assert send(installed, iter([("/v1/labels", labels)]), headers) == {403}
    assert kept(installed, "other") == 0
