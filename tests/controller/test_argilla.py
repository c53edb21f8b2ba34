"""Argilla as a source of labels, by an exchange with a real one: its records, its webhooks and its exports."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.api import argilla
from controller.api.app import ARGILLA_ROUTE
from controller.api.labels import Feed, read_items
from controller.bootstrap.access import argilla_secret
from controller.config.settings import Settings
from controller.errors import UsageError
from controller.ports.samples import Label, LabelRequest
from serving.text.jsonlines import Unreadable
from tests.contracts.samples import live
from tests.controller.api_support import StoppedClock, World, error_of
from tests.controller.exchanges import argilla as sent

ASKED = LabelRequest(
    "a", "intent", {"6": "refund"}, disagree=False, directed=False, text="where is my money", inclusion_probability=0.25
)


@pytest.fixture
def world() -> World:
    found = World(clock=StoppedClock(sent.SENT_S))
    found.samples.add_predictions([live(request) for request in "abcd"])
    return found


def deliver(world: World, body: object, delivery: str = "msg_1", **changes: Any) -> httpx.Response:
    request = sent.signed(body, delivery, world.clock.at_s, **changes)
    return world.client(argilla_secret=sent.SECRET).stranger().request("POST", ARGILLA_ROUTE, **request)


def known(world: World) -> Sequence[Label]:
    return list(world.samples._labels.values())


def test_a_record_carries_which_request_it_is() -> None:
    """What Argilla's client imported as it is; a request without a text is nothing to annotate."""
    asked = [replace(ASKED, request_id=request, directed=request == "b") for request in "abcd"]
    assert argilla.records([*asked, replace(ASKED, request_id="e", text=None)]) == sent.RECORDED["records"]


def test_a_real_argilla_is_believed_and_understood(world: World) -> None:
    """Every delivery as it was signed and sent while two people annotated; events of other kinds change nothing."""
    client = world.client(argilla_secret=sent.SECRET).stranger()
    answers = [client.post(ARGILLA_ROUTE, content=one["body"], headers=one["headers"]) for one in sent.DELIVERIES]
    assert [answer.status_code for answer in answers] == [200] * len(sent.DELIVERIES)
    told = [answer.json() for answer in answers if answer.json()["action"].startswith("response.")]
    assert [(one["action"].removeprefix("response."), one.get("taken"), one.get("skipped")) for one in told] == [
        ("created", 1, 0),  # a: invoice
        ("updated", 1, 0),  # a: refund
        ("created", 0, 1),  # b: a draft
        ("updated", 1, 0),  # b: invoice, submitted
        ("created", 1, 0),  # b: refund, says another
        ("created", 0, 1),  # c: discarded
        ("created", 0, 1),  # c: a draft
        ("created", 1, 0),  # d: invoice
        ("deleted", 0, 0),  # d: takes nothing back
    ]
    assert [one for one in told if one["refused"]] == []
    assert {(one.request_id, one.label, one.source, one.directed) for one in known(world)} == {
        ("a", "refund", f"argilla/{sent.ANNOTATOR}", False),
        ("b", "invoice", f"argilla/{sent.ANNOTATOR}", True),
        ("b", "refund", f"argilla/{sent.SECOND_ANNOTATOR}", True),
        ("d", "invoice", f"argilla/{sent.ANNOTATOR}", False),
    }


def test_a_response_is_a_label(world: World) -> None:
    """With the probability that its record carried, of the annotator by id, at the time when it was given."""
    answer = deliver(world, sent.created(sent.response(updated_at="2026-11-23T11:10:48.536370")))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["action"], answer.json()["taken"]) == ("response.created", 1)
    (label,) = known(world)
    assert (label.request_id, label.label, label.source) == ("a", "invoice", f"argilla/{sent.ANNOTATOR}")
    assert (label.inclusion_probability, label.directed, label.at_s) == (0.25, False, 1_795_432_248.53637)


def test_a_delivery_is_taken_once(world: World) -> None:
    """Played again after a later one, it would take that back; a try of Argilla's own has another id, and is known."""
    change = sent.signed(sent.updated(sent.response("refund")), "msg_1", world.clock.at_s)
    client = world.client(argilla_secret=sent.SECRET).stranger()
    assert client.request("POST", ARGILLA_ROUTE, **change).json()["taken"] == 1
    world.clock.at_s += 60
    deliver(world, sent.updated(sent.response("invoice")), "msg_2")
    again = client.request("POST", ARGILLA_ROUTE, **change)
    assert (again.status_code, again.json()) == (200, {"action": "known", "received": 0})
    assert deliver(world, sent.updated(sent.response("invoice")), "msg_3").json()["repeated"] == 1
    assert [one.label for one in known(world)] == ["invoice"]


def test_a_changed_response_corrects(world: World) -> None:
    """And the first one, late, does not undo that."""
    deliver(world, sent.created(), "msg_1")
    assert deliver(world, sent.updated(sent.response("refund")), "msg_2").json()["taken"] == 1
    late = deliver(world, sent.created(), "msg_3").json()
    assert [one["code"] for one in late["refused"]] == ["contradiction"]
    assert [one.label for one in known(world)] == ["refund"]


@pytest.mark.parametrize("status", ["draft", "discarded"])
def test_only_what_was_submitted_is_a_label(world: World, status: str) -> None:
    """A draft that is submitted later comes as a change, and is the first label then."""
    answer = deliver(world, sent.created(sent.response(status=status))).json()
    assert (answer["received"], answer["skipped"], known(world)) == (0, 1, [])
    assert deliver(world, sent.updated(sent.RESPONSE), "msg_2").json()["taken"] == 1


@pytest.mark.parametrize("action", ["response.deleted", "record.completed", "dataset.published", "ping"])
def test_what_is_no_response_changes_nothing(world: World, action: str) -> None:
    answer = deliver(world, sent.told(action, {"id": sent.RESPONSE["id"]}))
    assert (answer.status_code, answer.json()["received"], known(world)) == (200, 0, [])


def test_a_request_that_was_asked_for_by_disagreement_comes_back_so(world: World) -> None:
    (made,) = argilla.records([replace(ASKED, directed=True)])
    deliver(world, sent.created(sent.response(record={**sent.RECORD, "metadata": made["metadata"]})))
    assert [one.directed for one in known(world)] == [True]


def test_only_who_has_the_secret_is_believed(world: World) -> None:
    """A token does not stand in for it, and without a secret there is no route."""
    for changes in ({"secret": b"another"}, {"delivery": ""}):
        refused = deliver(world, sent.created(), **{"delivery": "msg_1", **changes})
        assert (refused.status_code, error_of(refused)["code"]) == (401, "webhook")
    late = sent.signed(sent.created(), "msg_1", world.clock.at_s - 301)
    client = world.client("labels", argilla_secret=sent.SECRET)
    assert client.request("POST", ARGILLA_ROUTE, **late).status_code == 401
    assert client.post(ARGILLA_ROUTE, sent.created()).status_code == 401
    assert world.client().post(ARGILLA_ROUTE, sent.created()).status_code == 404
    assert known(world) == []


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "type"),
        (without(sent.created(), "data"), "data"),
        (sent.created(sent.response(values=None)), "response 0 data.values"),
        (sent.created(sent.response(values={"a": {}, "b": {}})), "response 0 data.values"),
        (sent.created(sent.response(["refund", "invoice"])), "response 0 label"),
        (sent.created(sent.response(None)), "response 0 label"),
        (sent.created(sent.response(record={})), "response 0 data.record.metadata"),
        (
            sent.created(sent.response(record=sent.record(serin_chosen="by me"))),
            "response 0 data.record.metadata.serin_chosen",
        ),
        (sent.created(sent.response(user=None)), "response 0 data.user"),
        (sent.created(sent.response(updated_at="today")), "response 0 data.updated_at"),
    ],
)
def test_what_cannot_be_read_is_named(world: World, body: object, field: str) -> None:
    """The key at fault stands in the answer, and nothing was taken."""
    answer = deliver(world, body)
    assert (answer.status_code, error_of(answer)["field"], known(world)) == (422, field, [])


def test_the_question_called_label_decides(world: World) -> None:
    """A data set may ask more than the class; one of several chosen classes is none, one alone is one."""
    values = {"sure": {"value": "no"}, "label": {"value": ["refund"]}}
    deliver(world, sent.created(sent.response(values=values)))
    assert [one.label for one in known(world)] == ["refund"]


def feed_of(document: object) -> tuple[Feed, int]:
    items, skipped = argilla.exported(document)
    return read_items(argilla.UNIT, items, now_s=1.8e9), skipped


def said(feed: Feed) -> list[tuple[str, str, str | None, bool]]:
    return [(one.request_id, one.label, one.source, one.corrects) for one in feed.labels]


def test_an_export_says_what_annotators_say_now() -> None:
    """What was not submitted is nothing; whoever answered stands in it by the id that webhooks have."""
    feed, skipped = feed_of(sent.RECORDED["flat"])
    assert said(feed) == [
        ("a", "refund", f"argilla/{sent.ANNOTATOR}", True),
        ("b", "invoice", f"argilla/{sent.ANNOTATOR}", True),
        ("b", "refund", f"argilla/{sent.SECOND_ANNOTATOR}", True),
    ]
    assert (skipped, feed.refused) == (1, ())


def test_a_nested_export_is_read_too() -> None:
    """It does not say what was submitted: a draft counts."""
    feed, skipped = feed_of(sent.RECORDED["nested"])
    flat, _ = feed_of(sent.RECORDED["flat"])
    assert said(feed) == [*said(flat), ("c", "refund", f"argilla/{sent.SECOND_ANNOTATOR}", True)]
    assert {one.inclusion_probability for one in feed.labels} == {0.25}
    assert skipped == 0


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({}, "export"),
        ([[]], "[0]"),
        (sent.RECORDED["unanswered"], "[0].label.responses"),
        ([{"responses": {"a": [], "b": []}}], "[0].responses"),
    ],
)
def test_what_is_no_export_is_named(document: object, place: str) -> None:
    with pytest.raises(Unreadable) as caught:
        argilla.exported(document)
    assert caught.value.place == place


def test_a_record_of_others_is_refused_alone() -> None:
    """It carries no request of ours."""
    foreign = {**sent.flat("x", ("refund", "eve", "submitted"))}
    del foreign["serin_request_id"]
    feed, _ = feed_of([foreign, sent.flat("a", ("invoice", "eve", "submitted"))])
    assert [(one.place, one.field) for one in feed.refused] == [(0, "record.serin_request_id")]
    assert [one.request_id for one in feed.labels] == ["a"]


def test_the_secret_is_what_argilla_shows(tmp_path: Path) -> None:
    """In base64, in a file that is read again when it changes; anything else is refused at the start."""
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text("YWJj\n", encoding="ascii")
    settings = Settings(argilla_secret_file=str(file))
    secret = argilla_secret(settings)
    assert secret is not None
    assert secret() == b"abc"
    file.write_text("no base64!", encoding="ascii")
    with pytest.raises(UsageError, match=r"argilla_secret_file .*: is not a secret as Argilla shows it"):
        argilla_secret(settings)
    assert argilla_secret(Settings()) is None
