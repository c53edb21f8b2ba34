"""The life of a replica: it refuses what it must not serve, ends whole, and loses nothing on the way."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import onnxruntime
import psutil
import pytest

from serving.contract import (
    BATCH_SIZE_METRIC,
    CAPTURED_METRIC,
    CLIENT_GONE_CODE,
    COLD_REQUESTS_METRIC,
    DURATION_METRIC,
    FAILURES_METRIC,
    PREDICT_ROUTE,
    PREDICTIONS_SCHEMA,
    QUEUE_DEPTH_METRIC,
    REQUEST_ID_HEADER,
    REQUESTS_METRIC,
    TAGS_HEADER,
    WORKER_RESTARTS_METRIC,
)
from serving.inference.engine import ProviderError
from serving.package.artifact import MANIFEST_FILE, ArtifactError, file_record
from serving.packaging.check import check
from serving.settings import Provider
from tests.patience import PATIENCE_S
from tests.serving.replica import REPOSITORY, Replica, replica, until
from tests.serving.test_capture import Receiver, receiver  # noqa: F401  (a fixture)

pytestmark = pytest.mark.integration


def serve(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run to the end; for starts that are refused."""
    command = [sys.executable, "-m", "serving", "--model", "intent", "--version", "1", "--port", "0", *flags]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def predict(running: Replica, texts: int = 1) -> httpx.Response:
    body = {"texts": ["where is my order " * 20] * texts}
    return httpx.post(running.url + PREDICT_ROUTE, json=body, trust_env=False, timeout=30)


def all_gone(family: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


def test_a_tampered_artifact_is_refused_by_name(package: Path) -> None:
    with (package / "tokenizer.json").open("ab") as file:
        file.write(b" ")
    done = serve("--artifact", str(package))
    assert done.returncode == 3
    assert "artifact refused: tokenizer.json: has" in done.stderr


def test_a_graph_that_cannot_run_is_refused_by_the_first_worker(package: Path) -> None:
    """The manifest may be right about a broken graph: the replica must end, not stay unhealthy, nor try it again."""
    (package / "model.onnx").write_bytes(b"no graph")
    manifest = json.loads((package / MANIFEST_FILE).read_bytes())
    record = file_record(package / "model.onnx")
    manifest["files"]["model.onnx"] = {"sha256": record.sha256, "size_bytes": record.size_bytes}
    (package / MANIFEST_FILE).write_text(json.dumps(manifest))
    done = serve("--artifact", str(package))
    assert done.returncode == 3
    assert done.stderr.count("artifact refused: model.onnx: is not a graph") == 1


def test_a_sound_artifact_is_told_apart_without_serving_it(built_package: Path) -> None:
    command = [sys.executable, "-m", "serving", "--check", "--artifact", str(built_package)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0
    assert "artifact is sound: sequence-classification (3 labels), distilbert, fp32, texts to 64 tokens" in done.stdout


def test_a_tokenizer_that_splits_otherwise_than_when_packaged_is_found_without_serving_it(package: Path) -> None:
    """Identical weights, upgraded library, silently other token ids: that a digest cannot see."""
    manifest = json.loads((package / MANIFEST_FILE).read_bytes())
    manifest["golden"][3]["token_ids"] = [1, 2, 3]
    (package / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"tokenizer\.json: gives other token ids for golden text 3"):
        check(package)


def test_where_cuda_is_not_it_is_said(built_package: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has it")
    with pytest.raises(ProviderError, match="no CUDAExecutionProvider here"):
        check(built_package, provider=Provider.CUDA)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--host", "0.0.0.0"], "--allow-unauthenticated"),  # noqa: S104
        (["--host", "example.org"], "--allow-unauthenticated"),
        (["--capture-ratio", "1.5"], "--capture-ratio"),
        (["--max-batch-size", "0"], "--max-batch-size"),
        (["--threads", "0"], "--threads"),
        (["--max-wait-ms", "0"], "--max-wait-ms"),
    ],
)
def test_a_wrong_flag_is_a_usage_error(built_package: Path, flags: list[str], words: str) -> None:
    """Without authentication a replica is reachable from this machine only, unless it is told otherwise."""
    done = serve("--artifact", str(built_package), *flags)
    assert done.returncode == 2
    assert words in done.stderr


def test_sigterm_drains_and_leaves_no_process(built_package: Path) -> None:
    """Requests that were accepted are answered; afterwards nothing is left, the metrics directory included."""
    with replica(built_package) as running, ThreadPoolExecutor(8) as pool:
        family = running.family()
        assert len(family) == 3
        family[2].suspend()
        answers = [pool.submit(predict, running) for _ in range(8)]
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 8, "requests are in flight")
        running.process.terminate()
        until(lambda: not running.is_healthy(), "no new request is taken")
        family[2].resume()
        assert [answer.result().status_code for answer in answers] == [200] * 8
        assert running.process.wait(PATIENCE_S) == 0
        assert all_gone(family)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_drains_too(built_package: Path, number: signal.Signals) -> None:
    """Ctrl-C reaches every process of a terminal's foreground group at once."""
    with replica(built_package) as running, ThreadPoolExecutor(1) as pool:
        family = running.family()
        family[2].suspend()
        answer = pool.submit(predict, running)
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 1, "a request is in flight")
        for process in family:
            process.send_signal(number)
        family[2].resume()
        assert answer.result().status_code == 200
        assert running.process.wait(PATIENCE_S) == 0
        assert all_gone(family)


@pytest.mark.parametrize("victim", [0, 1], ids=["supervisor", "http process"])
def test_no_process_outlives_the_replica_even_after_kill_9(built_package: Path, victim: int) -> None:
    with replica(built_package) as running:
        family = running.family()
        family[victim].kill()
        until(lambda: all_gone(family), "every process has ended")
        assert running.process.wait(PATIENCE_S) != 0


def test_a_killed_worker_is_replaced(built_package: Path) -> None:
    with replica(built_package) as running:
        worker = running.family()[2]
        worker.kill()
        until(lambda: running.is_healthy() and running.family()[-1].pid != worker.pid, "a new worker is ready")
        assert predict(running).status_code == 200
        assert running.total(WORKER_RESTARTS_METRIC) == 1


def test_the_requests_of_a_killed_worker_are_answered_with_an_error(built_package: Path) -> None:
    with replica(built_package) as running, ThreadPoolExecutor(4) as pool:
        worker = running.family()[2]
        worker.suspend()
        answers = [pool.submit(predict, running) for _ in range(4)]
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 4, "requests are with the worker")
        worker.kill()
        assert [answer.result().status_code for answer in answers] == [500] * 4
        assert answers[0].result().json()["error"]["code"] == "inference_failed"
        until(running.is_healthy, "a new worker is ready")
        assert running.total(REQUESTS_METRIC, code="500") == 4
        assert running.total(FAILURES_METRIC) == 1, "one cause, whatever was lost with it"


def test_too_many_waiting_requests_are_refused_at_once(built_package: Path) -> None:
    with replica(built_package, "--queue-limit", "2") as running, ThreadPoolExecutor(2) as pool:
        worker = running.family()[2]
        worker.suspend()
        answers = [pool.submit(predict, running) for _ in range(2)]
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 2, "the queue is full")
        refused = predict(running)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert running.total(FAILURES_METRIC) == 1
        worker.resume()
        assert [answer.result().status_code for answer in answers] == [200, 200]


def test_a_worker_that_hangs_is_ended_and_replaced(built_package: Path) -> None:
    """Its requests get 504 when their time is over; it is ended once it said nothing for as long."""
    with replica(built_package, "--answer-timeout-s", "1") as running:
        worker = running.family()[2]
        assert predict(running).status_code == 200  # a sign of life: it owes none that was asked for before
        worker.suspend()
        late = predict(running)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
        until(lambda: predict(running).status_code == 200, "another worker answers")
        assert not worker.is_running()
        assert running.total(WORKER_RESTARTS_METRIC) == 1
        assert "no sign of life" in running.log.read_text()


def test_a_client_that_goes_away_frees_its_place_and_is_not_computed(built_package: Path) -> None:
    """Nobody reads the answer, so nobody waits behind it; it is no error of the version, but its wait counts."""
    with replica(built_package) as running, ThreadPoolExecutor(1) as pool:
        worker = running.family()[2]
        answered = pool.submit(predict, running).result()
        assert answered.status_code == 200
        computed = running.total(f"{BATCH_SIZE_METRIC}_sum")
        worker.suspend()
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(running.url + PREDICT_ROUTE, json={"text": "refund"}, trust_env=False, timeout=0.2)
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 0, "their places are free")
        worker.resume()
        assert predict(running).status_code == 200
        assert running.total(REQUESTS_METRIC, code=str(CLIENT_GONE_CODE)) == 3
        assert running.total(REQUESTS_METRIC, code="500") == 0
        assert running.total(f"{DURATION_METRIC}_count", traffic="live") == 5
        assert running.total(f"{BATCH_SIZE_METRIC}_sum") == computed + 1


def test_requests_before_the_warm_up_wait_and_are_counted(built_package: Path) -> None:
    with replica(built_package) as running:
        worker = running.family()[2]
        worker.kill()
        until(lambda: not running.is_healthy(), "no worker is ready")
        assert predict(running).status_code == 200
        assert running.total(COLD_REQUESTS_METRIC) == 1


def test_overload_is_refused_at_once_and_the_accepted_are_in_time(built_package: Path) -> None:
    """A queue that nobody would get through in time takes nobody in."""
    with replica(built_package, "--max-wait-ms", "50") as running, ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            predict(running, texts=64)
        worker = running.family()[2]
        worker.suspend()
        first = pool.submit(predict, running, 256)
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 1, "a large request waits")
        with ThreadPoolExecutor(20) as crowd:
            statuses = [answer.result().status_code for answer in [crowd.submit(refused, running) for _ in range(20)]]
        worker.resume()
        assert first.result().status_code == 200
    assert 503 in statuses


def refused(running: Replica) -> httpx.Response:
    """What a crowd of large requests gets while the worker does nothing; those that wait are let go."""
    body = {"texts": ["where is my order " * 20] * 256}
    try:
        return httpx.post(running.url + PREDICT_ROUTE, json=body, trust_env=False, timeout=1)
    except httpx.ReadTimeout:
        return httpx.Response(CLIENT_GONE_CODE)


def test_sampled_predictions_reach_the_controller(built_package: Path, receiver: Receiver) -> None:  # noqa: F811
    with replica(built_package, "--capture-url", receiver.url) as running:
        httpx.post(
            running.url + PREDICT_ROUTE,
            json={"text": "refund"},
            headers={REQUEST_ID_HEADER: "one", TAGS_HEADER: "lang=en"},
            trust_env=False,
        )
        httpx.post(
            running.shadow_url + PREDICT_ROUTE,
            json={"texts": ["refund", "where is my order"]},
            headers={REQUEST_ID_HEADER: "many"},
            trust_env=False,
        )
        until(lambda: running.total(CAPTURED_METRIC) == 3, "three predictions are delivered")
        captured = {entry["request_id"]: entry for body in receiver.bodies for entry in body["predictions"]}
        assert {body["schema"] for body in receiver.bodies} == {PREDICTIONS_SCHEMA}
    assert captured.keys() == {"one", "many/0", "many/1"}
    assert captured["one"]["traffic"] == "live"
    assert captured["many/0"]["traffic"] == "shadow"
    assert (captured["one"]["tags"], captured["many/0"].get("tags")) == ({"lang": "en"}, None)
    assert captured["one"]["text_digest"] == captured["many/0"]["text_digest"] != captured["many/1"]["text_digest"]
    assert captured["one"]["confidence"] == max(captured["one"]["probabilities"].values())
    assert not any("text" in entry for entry in captured.values())


def test_texts_leave_only_when_asked_for(built_package: Path, receiver: Receiver) -> None:  # noqa: F811
    with replica(built_package, "--capture-url", receiver.url, "--capture-text") as running:
        predict(running)
        until(lambda: receiver.bodies, "the prediction is delivered")
    assert receiver.bodies[0]["predictions"][0]["text"].startswith("where is my order")


def test_a_controller_that_is_away_fails_no_request(built_package: Path) -> None:
    with replica(built_package, "--capture-url", "http://127.0.0.1:9") as running:
        assert {predict(running).status_code for _ in range(20)} == {200}
