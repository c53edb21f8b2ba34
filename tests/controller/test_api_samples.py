"""Replicas and label sources: what the interface takes, and what it says to what it does not."""

import json
from dataclasses import replace

import httpx
import pytest

from controller.api.bodies import BATCH_MAX
from controller.api.http import BODY_BYTES_MAX
from controller.core.release import Cursors, Phase
from controller.journal.codec import record_of
from controller.ports.journal import Entry
from controller.ports.samples import SampleCursor
from controller.roles import ANY, REPLICA, Role
from gates.evidence import LabelChance, LabelCounts
from serving.contract import (
    DRILL_REQUEST_PREFIX,
    LABEL_REQUESTS_ROUTE,
    LABELS_ROUTE,
    PREDICTIONS_ROUTE,
    PREDICTIONS_SCHEMA,
    Traffic,
    class_name_problem,
    is_sampled,
)
from serving.observe.capture import CapturedPrediction, encode_batch
from serving.observe.receiver import asked_ratio
from tests.controller.api_support import Client, World, error_of
from tests.controller.releases import release_in


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """That of a source of labels."""
    return world.client("labels", name="api")


@pytest.fixture
def replica(world: World) -> Client:
    """That of the replica of version 6."""
    return world.replica()


def captured(request: str, version: str, traffic: Traffic, label: str = "refund") -> CapturedPrediction:
    return CapturedPrediction(
        request_id=request,
        model="intent",
        model_version=version,
        traffic=traffic,
        at_s=1_795_432_000.5,
        label=label,
        confidence=0.75,
        probabilities={label: 0.75, "other": 0.25},
        inclusion_probability=0.5,
        text_digest=f"digest of {request}",
        tokens=9,
        tags={"lang": "en"},
    )


def body(**changes: object) -> dict[str, object]:
    one = json.loads(encode_batch([captured("a", "6", Traffic.LIVE)]))["predictions"][0]
    return {"schema": PREDICTIONS_SCHEMA, "predictions": [{**one, **changes}]}


def send(world: World, *predictions: CapturedPrediction) -> list[httpx.Response]:
    """Each by the replica that it is of, in the very bytes of serving's capture."""
    headers = {"content-type": "application/json"}
    return [
        world.replica(one.model, one.model_version).request(
            "POST", PREDICTIONS_ROUTE, content=encode_batch([one]), headers=headers
        )
        for one in predictions
    ]


def test_what_a_replica_sends_becomes_evidence(world: World, client: Client) -> None:
    """The very bytes of serving's capture, then a late label, make a labelled pair."""
    batch = captured("a", "6", Traffic.LIVE), captured("a", "7", Traffic.SHADOW, "invoice")
    for answer in send(world, *batch):
        assert (answer.status_code, answer.json()) == (200, {"received": 1, "new": 1})
    assert [answer.json() for answer in send(world, *batch)] == [{"received": 1, "new": 0}] * 2

    assert client.post(LABELS_ROUTE, {"labels": [{"request_id": "a", "label": "invoice"}]}).json()["taken"] == 1
    found = world.samples.since("intent", "6", "7", SampleCursor())
    assert (found.pairs[0].truth, found.pairs[0].stable.label) == ("invoice", "refund")
    assert found.pairs[0].inclusion_probability == 0.5
    assert found.stable_labels == LabelCounts(labelled=1, wrong=1, chances=(LabelChance(0.5, 1, 1),))
    assert {(one.tokens, one.tags["lang"]) for one in world.samples._predictions.values()} == {(9, "en")}


def test_what_a_drill_asked_is_no_sample(world: World) -> None:
    """Its texts are a suite's: no label is asked for, and no drift is seen in them."""
    drilled = captured(f"{DRILL_REQUEST_PREFIX}1", "6", Traffic.LIVE)
    assert send(world, drilled)[0].json() == {"received": 1, "new": 0}
    assert send(world, captured("a", "6", Traffic.LIVE))[0].json() == {"received": 1, "new": 1}


def test_the_answer_says_how_much_is_to_be_sampled(world: World, replica: Client) -> None:
    """To whom it sends nothing, too; and nothing is said where it is not known, as an older controller says nothing."""
    nothing = {"schema": PREDICTIONS_SCHEMA, "predictions": []}
    assert replica.post(PREDICTIONS_ROUTE, nothing).json() == {"received": 0, "new": 0}
    world.capture_ratios["tone"] = 0.125
    assert replica.post(PREDICTIONS_ROUTE, body()).json() == {"received": 1, "new": 1}
    world.capture_ratios["intent"] = 0.5
    assert replica.post(PREDICTIONS_ROUTE, nothing).json() == {"received": 0, "new": 0, "capture_ratio": 0.5}
    assert replica.post(PREDICTIONS_ROUTE, body()).json() == {"received": 1, "new": 0, "capture_ratio": 0.5}


def test_the_replica_reads_what_the_controller_answers(world: World, replica: Client) -> None:
    """The two ends of the contract: the very bytes of an answer."""
    nothing = {"schema": PREDICTIONS_SCHEMA, "predictions": []}
    assert asked_ratio(replica.post(PREDICTIONS_ROUTE, nothing).content) is None
    for ratio in (1.0, 0.0078125, 0.0):
        world.capture_ratios["intent"] = ratio
        assert asked_ratio(replica.post(PREDICTIONS_ROUTE, nothing).content) == ratio


@pytest.mark.parametrize("own", [1.0, 0.5])
def test_who_samples_more_than_is_asked_for_leaves_the_sample_that_is(world: World, own: float) -> None:
    """One that was not told yet, or never will be: of both versions the same requests are left, lists as a whole."""
    world.capture_ratios["intent"] = 0.25
    names = [name for name in (f"r-{number}" for number in range(200)) if is_sampled(name, own)]
    ids = [*names[:50], *(f"{name}/{place}" for name in names[50:] for place in range(3))]
    for version, traffic in (("6", Traffic.LIVE), ("7", Traffic.SHADOW)):
        batch = [replace(captured(one, version, traffic), inclusion_probability=own) for one in ids]
        headers = {"content-type": "application/json"}
        answer = world.replica("intent", version).request(
            "POST", PREDICTIONS_ROUTE, content=encode_batch(batch), headers=headers
        )
        assert answer.json()["received"] == len(ids)
    kept = {one.request_id for one in world.samples._predictions.values()}
    assert kept == {one for one in ids if is_sampled(one.partition("/")[0], 0.25)}
    assert {one.inclusion_probability for one in world.samples._predictions.values()} == {0.25}
    found = world.samples.since("intent", "6", "7", SampleCursor())
    assert found.paired == len(kept)


def test_what_was_sampled_by_less_stays_as_it_is(world: World) -> None:
    """Its replica has not heard yet that more is asked for."""
    world.capture_ratios["intent"] = 1.0
    send(world, captured("a", "6", Traffic.LIVE))
    assert [one.inclusion_probability for one in world.samples._predictions.values()] == [0.5]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"confidence": 1.5}, "predictions[0].confidence"),
        ({"tags": {"lang": 7}}, "predictions[0].tags.lang"),
        ({"tags": {"lang": ""}}, "predictions[0].tags.lang"),
        ({"tags": {str(number): "x" for number in range(65)}}, "predictions[0].tags"),
        ({"confidence": float("nan")}, "predictions[0].confidence"),
        ({"confidence": "0.75"}, "predictions[0].confidence"),
        ({"confidence": 0.5}, "predictions[0]"),
        ({"probabilities": {"refund": 0.75}}, "predictions[0]"),
        ({"probabilities": {"other": 1.0}}, "predictions[0]"),
        ({"probabilities": {"refund": 0.75, "other": float("inf")}}, "predictions[0].probabilities.other"),
        ({"probabilities": {}}, "predictions[0].probabilities"),
        ({"inclusion_probability": 0}, "predictions[0].inclusion_probability"),
        ({"traffic": "dark"}, "predictions[0].traffic"),
        ({"at_s": -1}, "predictions[0].at_s"),
        ({"request_id": ""}, "predictions[0].request_id"),
        ({"text_digest": None}, "predictions[0].text_digest"),
        ({"tokens": -1}, "predictions[0].tokens"),
        ({"tokens": 2**40}, "predictions[0].tokens"),
    ],
)
def test_a_wrong_prediction_is_refused_by_field(
    world: World, replica: Client, changes: dict[str, object], field: str
) -> None:
    """What cannot be right never becomes evidence, and the answer says which field it is."""
    text = json.dumps(body(**changes))
    response = replica.request("POST", PREDICTIONS_ROUTE, content=text, headers={"content-type": "application/json"})
    assert response.status_code == 422
    error = error_of(response)
    assert error["field"] == field
    assert field in error["message"]
    assert world.samples.latest() == SampleCursor()


@pytest.mark.parametrize("name", ["x" * 1_000, "naïve 🙂", "0", "a b"])
def test_what_may_name_a_class_is_taken_with_samples(world: World, replica: Client, name: str) -> None:
    """A version was registered whose every sample was then refused."""
    assert class_name_problem(name) is None
    text = json.dumps(body(label=name, probabilities={name: 0.75, "other": 0.25}))
    response = replica.request("POST", PREDICTIONS_ROUTE, content=text, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["new"]) == (200, 1)


@pytest.mark.parametrize("name", ["x" * 1_001, "a\0", "", " ", "a\nb", "a\u2028", "\ud800"])
def test_what_may_name_no_class_is_known_before(name: str) -> None:
    assert class_name_problem(name) is not None


def test_an_unknown_key_is_refused_with_the_nearest_known_one(replica: Client) -> None:
    """A misspelt key is a mistake to point at, never a value to lose."""
    error = error_of(replica.post(PREDICTIONS_ROUTE, body(confidense=0.75)))
    assert error["message"] == "predictions[0].confidense: unknown key; did you mean confidence?"
    assert "did you mean" not in error_of(replica.post(PREDICTIONS_ROUTE, body(qqqq=1)))["message"]


def test_another_schema_is_refused(replica: Client) -> None:
    """A replica of another generation is told so instead of being misread."""
    response = replica.post(PREDICTIONS_ROUTE, {"schema": "serin.predictions/v2", "predictions": []})
    assert (response.status_code, error_of(response)["field"]) == (422, "schema")


def test_labels_come_as_json_lines_too(world: World, client: Client) -> None:
    """A JSONL file is sent as it is; blank lines are nothing, times are the sender's or ours. The source is whose token
    came with it, and what it says of itself comes after that."""
    lines = b'{"request_id": "a", "label": "x"}\n\n{"request_id": "b", "label": "y", "source": "crm", "at_s": 5}\r\n'
    response = client.request("POST", LABELS_ROUTE, content=lines, headers={"content-type": "application/x-ndjson"})
    assert (response.json()["received"], response.json()["taken"]) == (2, 2)
    kept = {label.request_id: label for label in world.samples._labels.values()}
    assert (kept["a"].source, kept["a"].at_s) == ("api", world.clock.at_s)
    assert (kept["b"].source, kept["b"].at_s) == ("api/crm", 5.0)


def test_a_label_says_how_likely_it_was(world: World, client: Client) -> None:
    """As designed, with the chance of being captured: 1 unless it says otherwise, never 0 and no slip such as 1e-9."""
    send(world, captured("a", "6", Traffic.LIVE), captured("a", "7", Traffic.SHADOW))
    label = {"request_id": "a", "label": "refund"}
    for wrong in (0, 1e-9, 1.5, -0.1, "0.5", None):
        refused = client.post(LABELS_ROUTE, {"labels": [{**label, "inclusion_probability": wrong}]})
        assert (refused.status_code, error_of(refused)["field"]) == (422, "labels[0].inclusion_probability")
    assert client.post(LABELS_ROUTE, {"labels": [{**label, "inclusion_probability": 0.25}]}).json()["taken"] == 1
    found = world.samples.since("intent", "6", "7", SampleCursor())
    assert [pair.inclusion_probability for pair in found.pairs] == [0.125]


def post_lines(client: Client, *lines: str | bytes) -> httpx.Response:
    content = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    return client.request("POST", LABELS_ROUTE, content=content, headers={"content-type": "application/x-ndjson"})


def test_a_feed_of_lines_is_bounded_as_a_list_is(client: Client) -> None:
    """A hundred thousand wrong lines took eight seconds of the controller."""
    refused = post_lines(client, *["{}"] * (BATCH_MAX + 1))
    assert (refused.status_code, error_of(refused)["field"]) == (422, "labels")
    assert "more than 20,000 lines" in error_of(refused)["message"]
    listed = client.post(LABELS_ROUTE, {"labels": [{}] * (BATCH_MAX + 1)})
    assert (listed.status_code, error_of(listed)["field"]) == (422, "labels")


WRONG = [
    ('{"request_id":"b"}', "label", "invalid", "label: Field required"),
    ('{"request_id":"b","label":""}', "label", "invalid", "label: String should have at least 1 character"),
    ('{"request_id":"b","label":true}', "label", "invalid", "label: Input should be a valid string"),
    ('{"request_id":"b","label":1.5}', "label", "invalid", "label: Input should be a valid string"),
    ('{"request_id":"b","label":"x","lable":"y"}', "lable", "invalid", "lable: unknown key; did you mean label?"),
    ('{"request_id":"b","label":"x","label":"y"}', "label", "invalid", "label: occurs twice"),
    ('{"request_id":"b","label":"x","at_s":0}', "at_s", "invalid", "at_s: Input should be greater than 0"),
    ('{"request_id":"b","label":"x","at_s":1795432308000}', "at_s", "invalid",
     "at_s: 1795432308000 can only be milliseconds; in seconds it is 1795432308.000"),
    ('{"request_id":"b","label":"x","at_s":1795432308000000}', "at_s", "invalid",
     "at_s: 1795432308000000 can only be microseconds; in seconds it is 1795432308.000"),
    ('{"request_id":"b","label":"x","at_s":1795432308000000000}', "at_s", "invalid",
     "at_s: 1795432308000000000 can only be nanoseconds; in seconds it is 1795432308.000"),
    ('{"request_id":"b","label":"x","at_s":1795518709}', "at_s", "invalid",
     "at_s: 1795518709 is 1.0 days in the future; it is when the label was given"),
    ('{"request_id":"b","label":"x","at_s":NaN}', "at_s", "invalid", "at_s: NaN, which is not JSON"),
    ("{nonsense", None, "json", "not JSON: Expecting property name enclosed in double quotes at column 2"),
    ("[]", None, "invalid", "label: Input should be a valid dictionary or instance of LabelBody"),
    (b'{"request_id":"b","label":"\xff"}', None, "json", "not UTF-8 at byte 28"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "field", "code", "message"), WRONG)
def test_a_wrong_label_is_refused_alone(
    world: World, client: Client, line: str | bytes, field: str | None, code: str, message: str
) -> None:
    """The others of its batch are taken, and the answer lists it: its line, its request, its field, and why."""
    response = post_lines(client, '{"request_id":"a","label":"x"}', line, '{"request_id":"c","label":"x"}')
    assert response.status_code == 200
    answer = response.json()
    (refused,) = answer["refused"]
    assert (answer["received"], answer["taken"]) == (3, 2)
    assert (refused["line"], refused["field"], refused["code"], refused["message"]) == (2, field, code, message)
    assert {request for request, _ in world.samples._labels} == {"a", "c"}


def test_a_wrong_label_of_a_list_is_named_by_its_place(client: Client) -> None:
    """Of a JSON body places are counted from 0, as programs do."""
    labels = [{"request_id": "a", "label": "x"}, {"request_id": "b", "label": None}]
    (refused,) = client.post(LABELS_ROUTE, {"labels": labels}).json()["refused"]
    assert (refused["index"], refused["request_id"], refused["field"]) == (1, "b", "label")


def test_a_key_written_twice_costs_the_label_that_has_it(world: World, client: Client) -> None:
    """In a JSON body as in JSON Lines; twice beside the labels it refuses the whole: which counts?"""
    one, two = '{"request_id":"a","label":"x"}', '{"request_id":"b","label":"x","label":"y"}'
    json_type = {"content-type": "application/json"}
    answer = client.request("POST", LABELS_ROUTE, content=f'{{"labels":[{one},{two}]}}', headers=json_type).json()
    (refused,) = answer["refused"]
    assert (refused["index"], refused["field"], refused["message"]) == (1, "label", "label: occurs twice")
    assert {request for request, _ in world.samples._labels} == {"a"}
    response = client.request("POST", LABELS_ROUTE, content=f'{{"labels":[{one}],"labels":[]}}', headers=json_type)
    assert response.status_code == 400
    assert error_of(response)["message"] == "body: labels: occurs twice"


def test_a_prediction_with_a_key_twice_is_refused(world: World, replica: Client) -> None:
    """The last of the two was taken without a word."""
    text = json.dumps(body())
    doubled = text.replace('"label": ', '"label": "other", "label": ', 1)
    assert doubled != text
    response = replica.request("POST", PREDICTIONS_ROUTE, content=doubled, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert (error_of(response)["field"], error_of(response)["message"]) == ("label", "body: label: occurs twice")
    assert world.samples.latest() == SampleCursor()


@pytest.mark.parametrize("name", ["a:b", 'a":b', "a\\\\:", 'a\\\\":{', "ü: \u2028", 'say "no": twice'])
@pytest.mark.parametrize("spaces", [(",", ":"), (" , ", " : ")])
def test_texts_that_look_like_keys_hide_none_that_is_written_twice(
    world: World, replica: Client, name: str, spaces: tuple[str, str]
) -> None:
    """Keys are counted by what stands outside of texts."""
    probabilities = {name: 0.75, "other:": 0.25}
    document = body(probabilities=probabilities, label=name, confidence=0.75, tags={name: '":"'}, text=name)
    text = json.dumps(document, separators=spaces)
    headers = {"content-type": "application/json"}
    again = json.dumps("other:") + spaces[1] + "0.25"
    doubled = text.replace(again, again + spaces[0] + again, 1)
    assert doubled != text
    response = replica.request("POST", PREDICTIONS_ROUTE, content=doubled, headers=headers)
    assert (response.status_code, error_of(response)["message"]) == (422, "body: other:: occurs twice")
    assert replica.request("POST", PREDICTIONS_ROUTE, content=text, headers=headers).json()["new"] == 1
    (kept,) = world.samples._predictions.values()
    assert (kept.label, kept.probabilities) == (name, probabilities)


def test_where_nothing_is_a_label_the_feed_is_refused(world: World, client: Client) -> None:
    """With the first line's reason; blank lines are nothing, and nothing at all is no mistake."""
    for content, status in (('{"request_id":"b"}', 422), ("\n{nonsense", 400), ("hello\nworld", 400)):
        response = post_lines(client, content)
        assert response.status_code == status
        assert error_of(response)["field"].startswith("line ")
    assert world.samples._labels == {}
    assert post_lines(client, "", "\r", "").json()["received"] == 0


def test_a_contradiction_is_listed_and_a_correction_taken(client: Client) -> None:
    """The same label again is free; another one for the same request has to say that it corrects."""
    label = {"request_id": "req-17", "label": "refund"}
    assert client.post(LABELS_ROUTE, {"labels": [label]}).json()["taken"] == 1
    assert client.post(LABELS_ROUTE, {"labels": [label]}).json()["repeated"] == 1
    other = {**label, "label": "invoice"}
    response = client.post(LABELS_ROUTE, {"labels": [other, {**label, "request_id": "req-18"}]})
    (refused,) = response.json()["refused"]
    assert (response.status_code, response.json()["taken"]) == (200, 1)
    assert (refused["request_id"], refused["code"]) == ("req-17", "contradiction")
    assert "'refund' before and says 'invoice' now" in refused["message"]
    assert client.post(LABELS_ROUTE, {"labels": [{**other, "corrects": True}]}).json()["taken"] == 1


def test_a_batch_is_told_what_of_it_names_no_class_and_no_request(world: World, client: Client) -> None:
    """So that whoever sends labels of another vocabulary, or by ids of their own, learns it at once."""
    send(world, captured("a", "6", Traffic.LIVE))
    labels = [{"request_id": "a", "label": "Refund"}, {"request_id": "ticket 5", "label": "refund"}]
    answer = client.post(LABELS_ROUTE, {"labels": labels}).json()
    assert (answer["taken"], answer["unknown_classes"], answer["unmatched_requests"]) == (2, 1, 1)
    assert answer["unknown_names"] == [{"name": "Refund", "labels": 1, "nearest": "refund"}]


def test_a_class_may_be_named_by_a_whole_number(world: World, client: Client) -> None:
    """Classes are called 0 and 1 where nobody gave them names, and feeds write such names as numbers."""
    post_lines(client, '{"request_id":17,"label":10}')
    assert {(one.request_id, one.label) for one in world.samples._labels.values()} == {("17", "10")}


def test_a_prediction_of_the_far_future_is_refused(world: World, replica: Client) -> None:
    """It would never expire."""
    response = replica.post(PREDICTIONS_ROUTE, body(at_s=world.clock.at_s + 90_000))
    assert (response.status_code, error_of(response)["field"]) == (422, "predictions[0].at_s")


def test_disagreements_are_handed_out(world: World, client: Client) -> None:
    """A labeller gets what tells most to the release under way, and whether to send it back as directed."""
    under_way(world, Cursors(first_pair=0))
    send(world, captured("a", "6", Traffic.LIVE), captured("a", "7", Traffic.SHADOW, "invoice"))
    assert client.get(LABEL_REQUESTS_ROUTE, params={"model": "intent"}).json() == {
        "label_requests": [
            {
                "request_id": "a",
                "model": "intent",
                "answers": {"6": "refund", "7": "invoice"},
                "disagree": True,
                "directed": True,
                "inclusion_probability": 1.0,
                "text": None,
            }
        ],
        "label_sources": [],
    }


def test_whoever_labels_is_told_what_helped_nobody_so_far(world: World, client: Client) -> None:
    """Beside the requests to label: by source, how many labels named no class, and how many matched no request."""
    under_way(world, Cursors(first_pair=0))
    send(world, captured("a", "6", Traffic.LIVE))
    client.post(LABELS_ROUTE, {"labels": [{"request_id": r, "label": "Refund", "source": "crm"} for r in ("a", "b")]})
    world.clock.at_s += 61.0
    (source,) = client.get(LABEL_REQUESTS_ROUTE, params={"model": "intent"}).json()["label_sources"]
    assert (source["source"], source["labelled"], source["unknown_classes"]) == ("api/crm", 1, 1)
    assert (source["settled"], source["unmatched_requests"]) == (2, 1)


@pytest.mark.parametrize("cursors", [None, Cursors()], ids=["no release", "not yet observed"])
def test_no_label_is_asked_for_that_would_help_nobody(world: World, client: Client, cursors: Cursors | None) -> None:
    """Where no release is judged on samples, there is nothing to label."""
    if cursors is not None:
        under_way(world, cursors)
    send(world, captured("a", "6", Traffic.LIVE), captured("a", "7", Traffic.SHADOW, "invoice"))
    assert client.get(LABEL_REQUESTS_ROUTE, params={"model": "intent"}).json()["label_requests"] == []


@pytest.mark.parametrize("other", [("intent", "7"), ("tone", "6")])
def test_a_replica_speaks_of_itself_only(world: World, replica: Client, other: tuple[str, str]) -> None:
    """One prediction of another version, or of another model, and nothing of the batch is taken."""
    batch = [captured("a", "6", Traffic.LIVE), replace(captured("b", other[1], Traffic.LIVE), model=other[0])]
    headers = {"content-type": "application/json"}
    response = replica.request("POST", PREDICTIONS_ROUTE, content=encode_batch(batch), headers=headers)
    assert (response.status_code, error_of(response)["field"]) == (403, "predictions[1]")
    assert "the replica of intent version 6" in error_of(response)["message"]
    assert world.samples.latest() == SampleCursor()


@pytest.mark.parametrize("role", [*Role, REPLICA])
def test_a_token_without_a_version_sends_no_predictions(world: World, role: str) -> None:
    """Not even an admin's: predictions come from what made them."""
    response = world.client(role).post(PREDICTIONS_ROUTE, body())
    assert (response.status_code, error_of(response)["code"]) == (403, "forbidden")
    assert world.samples.latest() == SampleCursor()


def test_replicas_of_a_cluster_share_a_token(world: World) -> None:
    """Each batch is of the replica that sent it, and told its model's share; no other role is widened so."""
    world.capture_ratios["intent"] = 0.5
    for version in ("6", "7"):
        sent = encode_batch([captured("a", version, Traffic.LIVE)])
        headers = {"content-type": "application/json"}
        sender = world.client(REPLICA, model=ANY, version=ANY)
        response = sender.request("POST", PREDICTIONS_ROUTE, content=sent, headers=headers)
        assert (response.status_code, response.json()["capture_ratio"]) == (200, 0.5)
    admin = world.client("admin", model=ANY, version=ANY)
    assert admin.post(PREDICTIONS_ROUTE, body()).status_code == 403


@pytest.mark.parametrize("roles", [("labels",), ("labels", "operator"), ("admin",)])
def test_a_token_of_one_model_sends_no_labels(world: World, roles: tuple[str, ...]) -> None:
    """They name requests, and may be of any model; the command makes no such token, and a person may write one."""
    sender = world.client(*roles, name="crm", model="tone")
    response = sender.post(LABELS_ROUTE, {"labels": [{"request_id": "a", "label": "refund"}]})
    assert (response.status_code, error_of(response)["code"]) == (403, "forbidden")
    assert "tone" in error_of(response)["message"]
    assert world.samples.latest() == SampleCursor()


def under_way(world: World, cursors: Cursors) -> None:
    """A release of version 7 beside 6 that has read samples so far."""
    release = release_in(Phase.SHADOW, cursors=cursors)
    world.journal.append(record_of(release, 1), [Entry("Started", 1.0, {})])


@pytest.mark.parametrize(
    "query", [{}, {"model": " "}, *({"model": "m", "limit": bad} for bad in ("0", "x", "1e3", "-1", "9" * 99))]
)
def test_a_wrong_question_is_refused(client: Client, query: dict[str, str]) -> None:
    """Which parameter is wrong stands in the answer."""
    response = client.get(LABEL_REQUESTS_ROUTE, params=query)
    assert response.status_code == 422
    assert error_of(response)["field"] == ("limit" if "limit" in query else "model")


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_a_web_page_could_send_by_itself_is_refused(client: Client, content_type: str | None) -> None:
    """A form, or a script of another site, can send only such types without asking: none of them writes here."""
    headers = {} if content_type is None else {"content-type": content_type}
    response = client.request("POST", LABELS_ROUTE, content=b'{"labels": []}', headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (415, "content_type")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff", b'{"labels": 1}', b'{"labels": [{}]}', b"[" * 9_999]
)
def test_a_body_that_is_none_is_refused(client: Client, content: bytes) -> None:
    """Broken JSON, another shape, no UTF-8, deep nesting: a reason each, never a failure of ours."""
    response = client.request("POST", LABELS_ROUTE, content=content, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    error_of(response)


def test_a_body_beyond_the_limit_is_refused(client: Client) -> None:
    """Whether its length is announced or not."""

    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(BODY_BYTES_MAX // 2**20 + 1):
            yield b" " * 2**20

    headers = {"content-type": "application/json"}
    announced = client.request("POST", LABELS_ROUTE, content=b" " * (BODY_BYTES_MAX + 1), headers=headers)
    streamed = client.request("POST", LABELS_ROUTE, content=chunks(), headers=headers)
    for response in (announced, streamed):
        assert response.status_code == 413
        error_of(response)
