"""Label Studio: what is handed out there, and what comes back by webhook and as an export."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from controller.api import label_studio
from controller.api.app import LABEL_STUDIO_ROUTE
from controller.api.labels import read_items
from controller.ports.samples import Label, LabelRequest
from tests.contracts.samples import live
from tests.controller.api_support import Client, World, error_of
from tests.controller.exchanges import label_studio as sent

ASKED = LabelRequest("a", "intent", {"6": "refund"}, False, False, "where is my money", 0.25)


@pytest.fixture
def world() -> World:
    found = World()
    found.samples.add_predictions([live(request) for request in "abc"])
    return found


@pytest.fixture
def studio(world: World) -> Client:
    """A webhook with the token of a source of labels in its headers."""
    return world.client("labels", name="annotators")


def known(world: World) -> Sequence[Label]:
    return list(world.samples._labels.values())


def test_a_task_carries_which_request_it_is() -> None:
    """What Label Studio imports, word for word; a request without a text is nothing to annotate."""
    assert label_studio.tasks([ASKED, replace(ASKED, request_id="b", text=None)]) == [
        {"data": sent.TASK["data"], "meta": sent.TASK["meta"]}
    ]


def test_an_annotation_is_a_label(world: World, studio: Client) -> None:
    """With the probability that its task carried, of the annotator by name, at the time when it was given."""
    answer = studio.post(LABEL_STUDIO_ROUTE, sent.created())
    assert answer.status_code == 200
    assert (answer.json()["action"], answer.json()["taken"]) == ("ANNOTATION_CREATED", 1)
    (label,) = known(world)
    assert (label.request_id, label.label, label.source) == ("a", "invoice", "annotators/label-studio/4")
    assert (label.inclusion_probability, label.directed, label.at_s) == (0.25, False, 1_795_432_248.53637)


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
    other = sent.annotation("refund", id=18, completed_by={"id": 5, "email": "eve@example.org"})
    assert studio.post(LABEL_STUDIO_ROUTE, sent.created(other)).json()["refused"] == []
    assert {one.source for one in known(world)} == {"annotators/label-studio/4", "annotators/label-studio/5"}


def test_an_id_that_is_not_known_is_named(studio: Client) -> None:
    """It is kept for a while, for its sample may still come."""
    answer = studio.post(LABEL_STUDIO_ROUTE, sent.created(of=sent.task("elsewhere"))).json()
    assert (answer["unmatched_requests"], answer["unmatched_request_ids"]) == (1, ["elsewhere"])


@pytest.mark.parametrize("action", ["ANNOTATIONS_DELETED", "PROJECT_UPDATED", "TASKS_CREATED"])
def test_what_is_no_annotation_changes_nothing(world: World, studio: Client, action: str) -> None:
    """A webhook may be set to tell everything."""
    answer = studio.post(LABEL_STUDIO_ROUTE, {"action": action, "annotations": [{"id": 17}], "project": sent.PROJECT})
    assert (answer.status_code, answer.json()["received"], known(world)) == (200, 0, [])


def test_a_task_that_was_passed_over_is_no_label(world: World, studio: Client) -> None:
    """Nobody said anything of it."""
    answer = studio.post(LABEL_STUDIO_ROUTE, sent.created(sent.annotation(was_cancelled=True))).json()
    assert (answer["received"], answer["skipped"], known(world)) == (0, 1, [])


def test_many_annotations_come_in_one_delivery(world: World, studio: Client) -> None:
    """Each with the task that it names; one that cannot be read is refused alone."""
    annotations = [sent.annotation("refund", task=20), sent.annotation("invoice", task=21), sent.annotation(task=19)]
    told = {"action": "ANNOTATIONS_CREATED", "annotation": annotations, "project": sent.PROJECT}
    of = [{**sent.task("b"), "id": 20}, {**sent.task("c"), "id": 21}, sent.TASK]
    answer = studio.post(LABEL_STUDIO_ROUTE, {**told, "task": of}).json()
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
    other = {**sent.ANNOTATION["result"][0], "from_name": "sure", "value": {"choices": ["no"]}}  # type: ignore[index]
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


def test_an_export_says_what_annotators_say_now(world: World, studio: Client) -> None:
    """All of it is known after a webhook; what was changed meanwhile corrects."""
    studio.post(LABEL_STUDIO_ROUTE, sent.created())
    document = sent.export((sent.TASK, sent.ANNOTATION), (sent.task("b"), sent.annotation("refund")))
    items, skipped = label_studio.exported(
        [*document, *sent.export((sent.task("c"), sent.annotation(was_cancelled=True)))]
    )
    feed = read_items(label_studio.UNIT, items, now_s=world.clock.at_s)
    assert [(one.request_id, one.label, one.corrects) for one in feed.labels] == [
        ("a", "invoice", True),
        ("b", "refund", True),
    ]
    assert skipped == 1
