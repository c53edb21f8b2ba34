"""Label Studio as a source of labels, by an exchange with a real one: its tasks, its webhooks and its exports."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from controller.api import label_studio
from controller.api.app import LABEL_STUDIO_ROUTE
from controller.api.labels import Feed, read_items
from controller.ports.samples import Label, LabelRequest
from serving.text.jsonlines import Unreadable
from tests.contracts.samples import live
from tests.controller.api_support import Client, StoppedClock, World, error_of
from tests.controller.exchanges import label_studio as sent

ASKED = LabelRequest("a", "intent", {"6": "refund"}, False, False, "where is my money", 0.25)


@pytest.fixture
def world() -> World:
    found = World(clock=StoppedClock(sent.ANNOTATED_S + 60))
    found.samples.add_predictions([live(request) for request in "abcdefgh"])
    return found


@pytest.fixture
def studio(world: World) -> Client:
    """A webhook with the token of a source of labels in its headers."""
    return world.client("labels", name="annotators")


def heard(delivery: dict[str, Any]) -> dict[str, Any]:
    """The delivery as arguments of a request, but for its token: each world makes its own."""
    return {"content": delivery["body"], "headers": {"content-type": delivery["headers"]["content-type"]}}


def known(world: World) -> Sequence[Label]:
    return list(world.samples._labels.values())


def test_a_task_carries_which_request_it_is() -> None:
    """What Label Studio imported as it is; a request without a text is nothing to annotate."""
    asked = [replace(ASKED, request_id=request, directed=request == "b") for request in "abcdefgh"]
    assert label_studio.tasks([*asked, replace(ASKED, request_id="i", text=None)]) == sent.RECORDED["tasks"]


def test_a_real_label_studio_is_understood(world: World, studio: Client) -> None:
    """Every delivery as it was sent while two people annotated, by a webhook that tells all it can."""
    assert {one["headers"]["authorization"] for one in sent.DELIVERIES} == {sent.RECORDED["shown"]}
    answers = [studio.post(LABEL_STUDIO_ROUTE, **heard(one)) for one in sent.DELIVERIES]
    assert [answer.status_code for answer in answers] == [200] * len(sent.DELIVERIES)
    told = [answer.json() for answer in answers]
    assert [(one["action"], one.get("taken"), one.get("skipped")) for one in told] == [
        ("TASKS_CREATED", 0, 0),
        ("ANNOTATION_CREATED", 1, 0),  # a: invoice
        ("ANNOTATION_UPDATED", 1, 0),  # a: refund, changed by another
        ("ANNOTATION_CREATED", 1, 0),  # b: invoice, once a draft
        ("ANNOTATION_CREATED", 1, 0),  # b: refund, says another
        ("ANNOTATION_CREATED", 0, 1),  # c: skipped
        ("ANNOTATION_CREATED", 1, 0),  # d: invoice
        ("ANNOTATIONS_DELETED", 0, 0),  # d: takes nothing back
        ("ANNOTATION_CREATED", 1, 0),  # e: invoice
        ("ANNOTATION_UPDATED", 0, 1),  # e: skipped later, takes nothing back
        ("ANNOTATION_CREATED", 1, 0),  # h: refund, by somebody who was shown a prediction
        ("ANNOTATIONS_CREATED", 0, 2),  # f and g: predictions that became annotations
        ("ANNOTATION_UPDATED", 1, 0),  # g: invoice, by somebody who looked at it
    ]
    assert [one for one in told if one["refused"]] == []
    first, second = (f"annotators/label-studio/{who}" for who in (sent.ANNOTATOR, sent.SECOND_ANNOTATOR))
    assert {(one.request_id, one.label, one.source, one.directed) for one in known(world)} == {
        ("a", "refund", first, False),
        ("b", "invoice", first, True),
        ("b", "refund", second, True),
        ("d", "invoice", first, False),
        ("e", "invoice", first, False),
        ("g", "invoice", first, False),
        ("h", "refund", first, False),
    }


def test_an_annotation_is_a_label(world: World, studio: Client) -> None:
    """With the probability that its task carried, of the annotator by name, at the time when it was given."""
    answer = studio.post(LABEL_STUDIO_ROUTE, sent.created())
    assert answer.status_code == 200
    assert (answer.json()["action"], answer.json()["taken"]) == ("ANNOTATION_CREATED", 1)
    (label,) = known(world)
    assert (label.request_id, label.label, label.source) == ("a", "invoice", "annotators/label-studio/1")
    assert (label.inclusion_probability, label.directed, label.at_s) == (0.25, False, sent.ANNOTATED_S)


def test_a_delivery_that_comes_twice_changes_nothing(world: World, studio: Client) -> None:
    """It is known, and told so."""
    first, again = (studio.post(LABEL_STUDIO_ROUTE, sent.created()).json() for _ in range(2))
    assert (first["taken"], again["taken"], again["repeated"]) == (1, 0, 1)
    assert len(known(world)) == 1


def test_a_changed_annotation_corrects(world: World, studio: Client) -> None:
    """And the first one, delivered late once more, does not undo that: it is a contradiction, as of any source."""
    studio.post(LABEL_STUDIO_ROUTE, sent.created())
    assert studio.post(LABEL_STUDIO_ROUTE, sent.updated(sent.annotation("refund"))).json()["taken"] == 1
    late = studio.post(LABEL_STUDIO_ROUTE, sent.created()).json()
    assert [one["code"] for one in late["refused"]] == ["contradiction"]
    assert [one.label for one in known(world)] == ["refund"]


def test_a_request_that_was_asked_for_by_disagreement_comes_back_so(world: World, studio: Client) -> None:
    """Its label says nothing of accuracy by itself."""
    (made,) = label_studio.tasks([replace(ASKED, directed=True)])
    studio.post(LABEL_STUDIO_ROUTE, sent.created(of={**sent.TASK, **made}))
    assert [one.directed for one in known(world)] == [True]


def test_annotators_are_sources_of_their_own(world: World, studio: Client) -> None:
    """Where a task has an overlap, the first one says the truth, and what others say is held against it."""
    studio.post(LABEL_STUDIO_ROUTE, sent.created())
    other = sent.annotation("refund", id=18, completed_by={"id": 2, "email": "eve@example.org"})
    assert studio.post(LABEL_STUDIO_ROUTE, sent.created(other)).json()["refused"] == []
    assert {one.source for one in known(world)} == {"annotators/label-studio/1", "annotators/label-studio/2"}


def test_an_id_that_is_not_known_is_named(studio: Client) -> None:
    """It is kept for a while, for its sample may still come."""
    answer = studio.post(LABEL_STUDIO_ROUTE, sent.created(of=sent.task("elsewhere"))).json()
    assert (answer["unmatched_requests"], answer["unmatched_request_ids"]) == (1, ["elsewhere"])


@pytest.mark.parametrize("action", ["LABEL_LINK_CREATED", "PROJECT_UPDATED", "TASKS_DELETED"])
def test_what_is_no_annotation_changes_nothing(world: World, studio: Client, action: str) -> None:
    """A webhook may be set to tell everything."""
    answer = studio.post(LABEL_STUDIO_ROUTE, {"action": action, "tasks": [{"id": 17}]})
    assert (answer.status_code, answer.json()["received"], known(world)) == (200, 0, [])


def test_a_task_that_was_passed_over_is_no_label(world: World, studio: Client) -> None:
    """Nobody said anything of it."""
    answer = studio.post(LABEL_STUDIO_ROUTE, sent.created(sent.annotation(was_cancelled=True))).json()
    assert (answer["received"], answer["skipped"], known(world)) == (0, 1, [])


def test_many_annotations_come_in_one_delivery(world: World, studio: Client) -> None:
    """Each with the task that it names; one that cannot be read is refused alone."""
    pairs = [
        ({**sent.task("b"), "id": 20}, sent.annotation("refund", task=20)),
        ({**sent.task("c"), "id": 21}, sent.annotation("invoice", task=21)),
        ({**sent.task("d"), "id": 22}, sent.annotation(task=22)),
    ]
    told = sent.created_together(*pairs)
    answer = studio.post(LABEL_STUDIO_ROUTE, {**told, "task": told["task"][::-1]}).json()
    assert {(one.request_id, one.label) for one in known(world)} == {("b", "refund"), ("c", "invoice")}
    assert [(one["annotation"], one["field"]) for one in answer["refused"]] == [(2, "annotation.result.value.choices")]


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "action"),
        (without(sent.created(), "annotation"), "annotation"),
        (without(sent.created(), "task"), "task"),
        (sent.created(of={**sent.TASK, "meta": {}}), "annotation 0 task.meta.serin_request_id"),
        (sent.created(of=sent.task(serin_chosen="by me")), "annotation 0 task.meta.serin_chosen"),
        (sent.created(of=sent.task(serin_inclusion_probability=2)), "annotation 0 inclusion_probability"),
        (sent.created(sent.annotation("refund", "invoice")), "annotation 0 annotation.result.value.choices"),
        (sent.created(sent.annotation("refund", result=[])), "annotation 0 annotation.result"),
        (sent.created(sent.annotation("refund", updated_at="today")), "annotation 0 annotation.updated_at"),
    ],
)
def test_what_cannot_be_read_is_named(world: World, studio: Client, body: object, field: str) -> None:
    """The key at fault stands in the answer, and nothing was taken."""
    answer = studio.post(LABEL_STUDIO_ROUTE, body)
    assert (answer.status_code, error_of(answer)["field"], known(world)) == (422, field, [])


def test_the_control_called_label_decides() -> None:
    """A project may ask more than the class."""
    other = {**sent.ANNOTATION["result"][0], "from_name": "sure", "value": {"choices": ["no"]}}
    one = sent.annotation("refund")
    one["result"].append(other)
    feed = read_items("annotation", label_studio.event(sent.created(one)).items, now_s=1.8e9)
    assert [label.label for label in feed.labels] == ["refund"]


def test_a_webhook_needs_the_token_of_a_source(world: World, studio: Client) -> None:
    """One that is missing, of another role, or of one model, is refused before anything is read."""
    assert studio.stranger().post(LABEL_STUDIO_ROUTE, sent.created()).status_code == 401
    for client in (world.client("view"), world.client("labels", model="tone")):
        assert client.post(LABEL_STUDIO_ROUTE, sent.created()).status_code == 403
    assert known(world) == []


def feed_of(document: object) -> tuple[Feed, int]:
    items, skipped = label_studio.exported(document)
    return read_items(label_studio.UNIT, items, now_s=sent.ANNOTATED_S), skipped


def test_an_export_says_what_annotators_say_now() -> None:
    """What was skipped or deleted is nothing; whoever annotated stands in it by the number that webhooks have."""
    feed, skipped = feed_of(sent.RECORDED["export"])
    first, second = (f"label-studio/{who}" for who in (sent.ANNOTATOR, sent.SECOND_ANNOTATOR))
    assert [(one.request_id, one.label, one.source, one.corrects) for one in feed.labels] == [
        ("a", "refund", first, True),
        ("b", "invoice", first, True),
        ("b", "refund", second, True),
        ("g", "invoice", first, True),
        ("h", "refund", first, True),
    ]
    assert (skipped, feed.refused) == (3, ())  # c and e were skipped, f is a prediction


@pytest.mark.parametrize(
    ("document", "place", "reason"),
    [
        ({}, "export", "must be a list"),
        ([[]], "[0]", "must be an object"),
        (sent.RECORDED["minimal"], "[0].annotations", "missing: take the export JSON, not JSON-MIN"),
        ([{"annotations": None}], "[0].annotations", "missing"),
    ],
)
def test_what_is_no_export_is_named(document: object, place: str, reason: str) -> None:
    """The smaller export does not carry which request a label is of."""
    with pytest.raises(Unreadable) as caught:
        label_studio.exported(document)
    assert (caught.value.place, caught.value.reason) == (place, reason)
