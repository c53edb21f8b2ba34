"""Records the exchange in ``label_studio.json`` again: with a real Label Studio and SQLite, on loopback.

Run it with the Python of an environment of its own that has ``label-studio``. The tasks are those that stand in the
file, which a test holds against what Serin writes. Without a queue Label Studio tells a webhook before it answers
whoever annotates, so nothing is waited for.
"""

import json
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from loopback import DEADLINE_S, awaited, free_port, received, running

EXCHANGE = Path(__file__).with_name("label_studio.json")
SHOWN = "Bearer the-token-of-annotators"
ROUTE = "/v1/webhooks/label-studio"
HEADERS = ("authorization", "content-type")
LABEL_CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single">'
    '<Choice value="refund"/><Choice value="invoice"/></Choices></View>'
)


def main() -> None:
    tasks = json.loads(EXCHANGE.read_text())["tasks"]
    with (
        tempfile.TemporaryDirectory() as home,
        received(ROUTE, HEADERS) as (deliveries, hook),
        label_studio(home) as ann,
    ):
        exchange = annotated(ann, tasks, hook)
    packages = {"label-studio": version("label-studio")}
    recorded = {"packages": packages, "tasks": tasks, **exchange, "deliveries": deliveries}
    EXCHANGE.write_text(json.dumps(recorded, indent=1) + "\n")


def annotated(ann: httpx.Client, tasks: list[dict[str, Any]], hook: str) -> dict[str, Any]:
    """What was exchanged while two people annotated the tasks."""
    project = made(ann, "projects/", {"title": "Intents", "label_config": LABEL_CONFIG})["id"]
    made(ann, "webhooks/", {"project": project, "url": hook, "headers": {"Authorization": SHOWN}})
    file = {"file": ("tasks.json", json.dumps(tasks))}
    ann.post(f"/api/projects/{project}/import", files=file).raise_for_status()
    listed = ann.get("/api/tasks", params={"project": project, "fields": "all"}).raise_for_status().json()["tasks"]
    task = {one["meta"]["serin_request_id"]: one["id"] for one in listed}

    def say(who: httpx.Client, request: str, *choices: str, **more: object) -> int:
        said = {"result": result(*choices), "lead_time": 1.5, **more}
        return int(made(who, f"tasks/{task[request]}/annotations/", said)["id"])

    with second(ann) as eve:
        people = {"ann": me(ann), "eve": me(eve)}
        first = say(ann, "a", "invoice")
        changed(eve, first, result=result("refund"))
        draft = made(ann, f"tasks/{task['b']}/drafts", {"result": result("invoice"), "lead_time": 1.5})["id"]
        say(ann, "b", "invoice", draft_id=draft)
        say(eve, "b", "refund")
        say(ann, "c", was_cancelled=True)
        gone = say(ann, "d", "invoice")
        ann.delete(f"/api/annotations/{gone}/").raise_for_status()
        passed_over = say(ann, "e", "invoice")
        changed(ann, passed_over, was_cancelled=True)
        predicted = {request: prediction(ann, task[request]) for request in "fgh"}
        say(ann, "h", "refund", parent_prediction=predicted["h"])
        action = {"id": "predictions_to_annotations", "project": project}
        chosen = {"selectedItems": {"all": False, "included": [task["f"], task["g"]]}}
        ann.post("/api/dm/actions", params=action, json=chosen).raise_for_status()
        copied = ann.get(f"/api/tasks/{task['g']}/annotations/").raise_for_status().json()[0]["id"]
        changed(eve, copied, result=result("invoice"))
    exports = {form: export(ann, project, form) for form in ("JSON", "JSON_MIN")}
    return {"shown": SHOWN, "annotators": people, "export": exports["JSON"], "minimal": exports["JSON_MIN"]}


def prediction(who: httpx.Client, task: int) -> int:
    """A program's answer, which is shown to whoever annotates the task."""
    said = {"task": task, "result": result("refund"), "model_version": "6", "score": 0.75}
    return int(made(who, "predictions/", said)["id"])


def result(*choices: str) -> list[dict[str, Any]]:
    """What the page of Label Studio sends of one control of choices."""
    about = {"id": "WArqkkifYE", "from_name": "label", "to_name": "text", "type": "choices", "origin": "manual"}
    return [{"value": {"choices": list(choices)}, **about}] if choices else []


def made(who: httpx.Client, path: str, body: object) -> dict[str, Any]:
    answer: dict[str, Any] = who.post(f"/api/{path}", json=body).raise_for_status().json()
    return answer


def changed(who: httpx.Client, annotation: int, **changes: object) -> None:
    who.patch(f"/api/annotations/{annotation}/", json=changes).raise_for_status()


def export(who: httpx.Client, project: int, form: str) -> list[dict[str, Any]]:
    answer = who.get(f"/api/projects/{project}/export", params={"exportType": form}).raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def me(who: httpx.Client) -> int:
    return int(who.get("/api/current-user/whoami").raise_for_status().json()["id"])


@contextmanager
def second(first: httpx.Client) -> Iterator[httpx.Client]:
    """Another person, who was invited and signs up."""
    invited = first.get("/api/invite").raise_for_status().json()["invite_url"]
    form = {"email": "eve@example.org", "password": secrets.token_hex(8), "allow_newsletters": "false"}
    with httpx.Client(base_url=first.base_url, timeout=DEADLINE_S, follow_redirects=True) as who:
        who.get(invited).raise_for_status()
        who.post(invited, data={**form, "csrfmiddlewaretoken": who.cookies["csrftoken"]}).raise_for_status()
        who.headers["X-CSRFToken"] = who.cookies["csrftoken"]
        yield who


@contextmanager
def label_studio(home: str) -> Iterator[httpx.Client]:
    """A running Label Studio, asked by the person who owns it."""
    port, token = free_port(), secrets.token_hex(20)
    environment = {
        "LABEL_STUDIO_BASE_DATA_DIR": home,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "USE_DEFAULT_BANNED_SUBNETS": "false",  # or it refuses a webhook at an address that is not public
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
    }
    account = ["--username", "ann@example.org", "--password", secrets.token_hex(8), "--user-token", token]
    served = ["--internal-host", "127.0.0.1", "--port", str(port), "--no-browser"]
    command = [str(Path(sys.executable).with_name("label-studio")), "start", *served, *account]
    url = f"http://127.0.0.1:{port}"
    with running(command, environment):
        awaited(lambda: httpx.get(f"{url}/health").raise_for_status())
        with httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=DEADLINE_S) as owner:
            yield owner


if __name__ == "__main__":
    main()
