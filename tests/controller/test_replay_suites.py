"""Labelled texts of production in files: each is asked of both versions in one release, and its label counts once."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.local.known_texts import SuiteTexts
from controller.adapters.sql.store import open_store
from controller.adapters.sql.texts import SealedTexts
from controller.config.policy_file import load_policy
from controller.core.policy import ReplayPolicy
from controller.errors import UsageError
from controller.ports.recordings import ReplayOrder
from controller.ports.samples import SampleCursor
from tests.contracts.samples import evidence, live, shadow, truth
from tests.controller.test_replay import BEGAN_S, KEY, ORDER, Place, digest, disagrees, text_of

CASES = 40


def write(path: Path, texts: Sequence[str], label: str = "refund") -> str:
    lines = [
        {"id": f"c{number}", "text": text, "label": label, "slices": ["lang:en"]} for number, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def suite(tmp_path: Path) -> str:
    return write(tmp_path / "september.jsonl", [text_of(number) for number in range(CASES)])


@pytest.fixture
def place(store_url: str) -> Iterator[Place]:
    store = open_store(store_url, SealedTexts(KEY), digest=digest, known_texts=SuiteTexts())
    yield Place(store)
    store.close()


def order_of(
    *suites: str, release: str = ORDER.release_id, judged: tuple[str, ...] = (), requests_max: int = 0
) -> ReplayOrder:
    return replace(ORDER, release_id=release, policy=ReplayPolicy(requests_max, suites=suites), judged=judged)


def test_each_text_becomes_a_labelled_pair_of_the_release(place: Place, suite: str) -> None:
    """Both versions are asked, and the truth is known at once; the suite's slices are those of its request."""
    place.go_on(order_of(suite), chance=0.25)
    found = place.store.samples.since("intent", "6", "7", SampleCursor(), slices=["lang:en"])
    apart = sum(disagrees(text_of(number)) for number in range(CASES))
    assert (found.pairs_agreed, found.pairs_disagreed) == (CASES - apart, apart)
    assert len(found.pairs) == CASES
    assert sum(pair.candidate.label != pair.truth for pair in found.pairs) == apart
    told = {
        (pair.truth, pair.replayed, pair.of_suite, pair.directed, pair.inclusion_probability, pair.slices)
        for pair in found.pairs
    }
    assert told == {("refund", True, True, False, 0.25, ("lang:en",))}
    assert found.replayed is not None
    assert (found.replayed.requests, found.paired) == (CASES, 0)
    assert found.stable_labels.labelled == 0
    assert place.progress.answered == CASES


def test_what_is_labelled_altogether_is_no_choice_of_labels(place: Place, suite: str) -> None:
    """All pairs are told of but those: of them no label was chosen."""
    place.go_on(order_of(suite))
    place.store.samples.add_predictions([live("now", at_s=BEGAN_S + 1), shadow("now", at_s=BEGAN_S + 1)])
    counts = evidence(place.store.samples).pair_counts
    assert counts is not None
    assert sum(map(sum, counts.stable.values())) == 1


def test_a_text_serves_one_release(place: Place, suite: str) -> None:
    """Also where the file grew since; and where another controller goes on after a kill, nothing is asked twice."""
    assert place.go_on(order_of(suite), for_s=1.0)
    place.replays = place.started()
    place.go_on(order_of(suite))
    assert len(place.replicas.asked) == len(set(place.replicas.asked)) == 2 * CASES
    assert len(evidence(place.store.samples).pairs) == CASES
    write(Path(suite), [text_of(number) for number in range(CASES + 3)])
    place.go_on(order_of(suite, release="intent-v7-2"))
    assert len(place.replicas.asked) == 2 * (CASES + 3)
    place.store.samples.prune(place.clock.now_s() + 1)
    assert not place.go_on(order_of(suite, release="intent-v7-3"))
    assert len(place.replicas.asked) == 2 * (CASES + 3)
    trouble = place.store.recordings.progress("intent-v7-3")
    assert trouble is not None
    assert "was replayed in an earlier release" in trouble.trouble


def test_a_text_that_is_judged_in_a_suite_is_left_out(place: Place, suite: str, tmp_path: Path) -> None:
    judged = write(tmp_path / "judged.jsonl", [text_of(number) for number in range(10)])
    place.go_on(order_of(suite, judged=(judged,)))
    assert len(evidence(place.store.samples).pairs) == CASES - 10


def test_a_text_that_users_ask_as_well_counts_once(place: Place, suite: str) -> None:
    """The first pair of the release stands for it, whichever that is."""
    place.go_on(order_of(suite))
    same = {"text_digest": digest(text_of(3)), "at_s": BEGAN_S + 100}
    place.store.samples.add_predictions([live("r", **same), shadow("r", **same)])
    place.store.samples.add_labels([truth("r")])
    found = evidence(place.store.samples)
    assert len(found.pairs) == found.pairs_agreed + found.pairs_disagreed == CASES


def test_texts_of_suites_come_beside_recorded_requests(place: Place, tmp_path: Path) -> None:
    place.record(requests=20)
    suite = write(tmp_path / "more.jsonl", [f"another {number}" for number in range(5)])
    place.go_on(order_of(suite, requests_max=100))
    found = evidence(place.store.samples)
    assert found.replayed is not None
    assert (found.replayed.requests, len(found.pairs)) == (25, 5)


def test_a_text_that_is_gone_from_its_file_is_passed_over(place: Place, suite: str) -> None:
    place.go_on(order_of(suite), for_s=0.5)
    before = place.progress.answered
    write(Path(suite), ["something else"])
    place.go_on(order_of(suite))
    assert (place.progress.answered, place.progress.unreadable) == (before, CASES - before)


def test_a_file_that_cannot_be_read_is_waited_for(place: Place, suite: str, caplog: pytest.LogCaptureFixture) -> None:
    Path(suite).rename(f"{suite}.away")
    assert place.go_on(order_of(suite))
    assert "a suite of shadow_replay cannot be read" in caplog.text
    Path(f"{suite}.away").rename(suite)
    place.go_on(order_of(suite))
    assert place.progress.answered == CASES


def test_a_suite_is_judged_or_replayed_and_not_both(tmp_path: Path) -> None:
    """However it is written; a file that is named relative to the policy lies beside it."""
    write(tmp_path / "cases.jsonl", ["a text"])
    head = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
    path = tmp_path / "policy.yaml"
    path.write_text(head + "shadow_replay: {suites: [cases.jsonl]}\n", encoding="utf-8")
    assert load_policy(path).shadow_replay.suites == (str(tmp_path / "cases.jsonl"),)
    for other in ("cases.jsonl", "./cases.jsonl"):
        path.write_text(head + f"suites: [{other}]\nshadow_replay: {{suites: [cases.jsonl]}}\n", encoding="utf-8")
        with pytest.raises(UsageError, match=r"shadow_replay.suites: .*cases.jsonl is in suites, too"):
            load_policy(path)
