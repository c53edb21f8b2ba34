"""Messages reach their targets at the least once: whatever fails, hangs, or is killed in between."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.sql.store import open_store
from controller.core.notices import Message
from controller.errors import Source, TransientError
from controller.loop.courier import BACKOFF_MAX_S, GIVEN_UP_AFTER_S, POLL_S, Courier, backoff_s, delivering
from controller.ports.notices import UndeliveredError
from controller.subscribers.named_targets import NamedTargets
from controller.subscribers.undelivered import undelivered
from tests.contracts.notices import INFO, ROLLED_BACK
from tests.fakes.clock import FakeClock
from tests.fakes.notices import AWAY, FakeChannel, FakeNotices
from tests.patience import PATIENCE_S, eventually
from tests.stores import new_store


class Post:
    """A queue, a channel and their courier, at the time of the notices."""

    def __init__(self) -> None:
        self.clock = FakeClock(ROLLED_BACK.at_s)
        self.queue = FakeNotices()
        self.channel = FakeChannel(group_max=20)
        self.courier = Courier(self.queue, [self.channel], self.clock)
        self.pause_s = 0.0

    def turn(self) -> list[Message]:
        """What the channel was told in one turn."""
        before = len(self.channel.told)
        self.pause_s = self.courier.turn(self.channel)
        return self.channel.told[before:]

    def sentences(self) -> list[str]:
        return list(undelivered(self.queue.standing(), self.clock.now_s()))


@pytest.fixture
def post() -> Post:
    return Post()


def test_all_that_is_due_is_told_in_one_turn(post: Post) -> None:
    post.queue.put(INFO, ["chat"], due_at_s=0.0)
    post.queue.put(ROLLED_BACK, ["chat"], due_at_s=0.0)
    assert [message.id for message in post.turn()] == ["n1", "n2"]
    assert (post.turn(), post.pause_s) == ([], POLL_S)
    assert post.courier.tallies["chat"].delivered == 2


def test_what_failed_is_tried_again_under_the_same_id_until_it_arrives(post: Post) -> None:
    """Each time later, and never in a tight loop."""
    post.channel.raises = [AWAY, AWAY, AWAY]
    post.queue.put(ROLLED_BACK, ["chat"], due_at_s=0.0)
    pauses = []
    for _ in range(3):
        assert [message.id for message in post.turn()] == ["n1"]
        pauses.append(post.pause_s)
        assert post.turn() == [], "not before its time"
        post.clock.pass_s(pauses[-1])
    assert pauses == [2.0, 4.0, 8.0]
    assert [message.id for message in post.turn()] == ["n1"]
    assert (post.courier.tallies["chat"].failed, post.courier.tallies["chat"].delivered) == (3, 1)


def test_a_target_that_asks_to_be_left_alone_is(post: Post) -> None:
    post.channel.raises = [UndeliveredError("429", again_s=120.0)]
    post.queue.put(ROLLED_BACK, ["chat"], due_at_s=0.0)
    post.turn()
    post.clock.pass_s(119.0)
    assert post.turn() == []
    post.clock.pass_s(1.0)
    assert len(post.turn()) == 1


def test_after_a_day_it_is_given_up_and_said(post: Post) -> None:
    post.queue.put(ROLLED_BACK, ["chat"], due_at_s=0.0)
    post.channel.raises = [AWAY] * 2
    post.turn()
    post.clock.pass_s(61.0)
    (said,) = post.sentences()
    assert said.startswith("1 notices to chat wait, the first for 1 min 1 s: 127.0.0.1 cannot be reached;")
    assert "`serin notify test chat`" in said
    post.clock.pass_s(GIVEN_UP_AFTER_S)
    post.turn()
    (said,) = post.sentences()
    assert "1 notices to chat were given up" in said
    post.clock.pass_s(BACKOFF_MAX_S)
    assert post.turn() == []
    post.queue.put(replace(ROLLED_BACK, id="n9", at_s=post.clock.now_s()), ["chat"], due_at_s=0.0)
    post.turn()
    assert post.sentences() == [], "it works again: what is over is no trouble"


def test_a_defect_in_a_channel_is_told_and_ends_nothing(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    post.queue.put(ROLLED_BACK, ["chat"], due_at_s=0.0)
    post.channel.raises = [KeyError("blocks")]
    post.turn()
    assert "could not be sent" in caplog.text
    post.clock.pass_s(BACKOFF_MAX_S)
    assert len(post.turn()) == 1


def test_a_controller_that_stands_by_tells_nobody() -> None:
    queue, channel = FakeNotices(), FakeChannel()
    queue.put(ROLLED_BACK, ["chat"], due_at_s=0.0)
    Courier(queue, [channel], FakeClock(), lambda: False).turn(channel)
    assert channel.told == []


def test_a_store_that_is_away_is_asked_again(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise TransientError(Source.NOTICES, "away")

    post.queue.put(ROLLED_BACK, ["chat"], due_at_s=0.0)
    with monkeypatch.context() as broken:
        broken.setattr(post.queue, "next", away)
        assert (post.turn(), post.pause_s) == ([], POLL_S)
    assert len(post.turn()) == 1


def test_a_defect_in_the_queue_is_told_and_ends_no_thread(
    post: Post, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("of no kind that is known")

    post.queue.put(ROLLED_BACK, ["chat"], due_at_s=0.0)
    with monkeypatch.context() as patched:
        patched.setattr(post.queue, "next", broken)
        assert post.turn() == []
    assert "notices to chat wait: this turn failed" in caplog.text
    assert post.pause_s > POLL_S, "the log is not filled with it"
    assert len(post.turn()) == 1


def test_a_notice_of_a_later_serin_is_given_up_and_the_others_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also those of its own message. That nobody was told of it is said."""
    with closing(new_store(f"sqlite:///{tmp_path}/store.db")) as store:
        for notice in (ROLLED_BACK, INFO, replace(INFO, id="n3")):
            store.notices.put(notice, ["chat"], due_at_s=0.0)
        with store.database.write(Source.NOTICES) as connection:
            later = "UPDATE notices SET document = replace(document, 'release.', 'later.') WHERE event_id < 'n3'"
            connection.exec_driver_sql(later)
        channel, clock = FakeChannel(group_max=20), FakeClock(ROLLED_BACK.at_s)
        Courier(store.notices, [channel], clock).turn(channel)
        assert [[one.id for one in message.notices] for message in channel.told] == [["n3"]]
        (standing,) = store.notices.standing()
        assert (standing.waiting, standing.trouble[:33]) == (0, "another version of Serin wrote it")
        assert caplog.text.count("a notice to chat about model intent is not sent") == 2


def test_a_target_that_was_taken_out_of_the_settings_is_complained_of_no_more(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor told. One that is named goes on."""
    post.queue.put(ROLLED_BACK, ["gone", "chat"], due_at_s=0.0)
    post.clock.pass_s(61.0)
    assert len(post.sentences()) == 2
    targets = NamedTargets(post.queue, ["chat"], post.clock)
    targets.catch_up()
    assert "1 notices are told to nobody" in caplog.text
    assert [" to chat " in said for said in post.sentences()] == [True]
    assert len(post.turn()) == 1


def test_the_backoff_grows_and_is_bounded() -> None:
    assert [backoff_s(attempts) for attempts in (1, 2, 3, 9, 10_000)] == [2.0, 4.0, 8.0, BACKOFF_MAX_S, BACKOFF_MAX_S]


class Hanging(FakeChannel):
    """Hangs in every attempt until it is let go."""

    def __init__(self) -> None:
        super().__init__("hangs")
        self.held = threading.Event()

    def send(self, message: Message) -> None:
        super().send(message)
        self.held.wait(PATIENCE_S)


def test_a_target_that_hangs_keeps_no_other_and_no_end_of_the_process_waiting() -> None:
    queue, hanging, chat = FakeNotices(), Hanging(), FakeChannel()
    clock = FakeClock(ROLLED_BACK.at_s)
    channels = [hanging, chat]
    queue.put(ROLLED_BACK, ["hangs", "chat"], due_at_s=0.0)
    with delivering(Courier(queue, channels, clock), channels):
        eventually(lambda: hanging.told and chat.told, what="both were told, one of which hangs")
    hanging.held.set()


TOLD_AND_KILLED = """
import os, sys
from controller.adapters.clock import SystemClock
from controller.adapters.sql.store import open_store
from controller.core.notices import Severity
from controller.loop.courier import Courier

class Channel:
    name, severities, models, group_max = "chat", frozenset(Severity), frozenset(), 20
    def send(self, message):
        with open(sys.argv[2], "a", encoding="utf-8") as told:
            print(message.id, *(notice.id for notice in message.notices), file=told, flush=True)
        os.kill(os.getpid(), int(sys.argv[3]))

store = open_store(sys.argv[1])
Courier(store.notices, [Channel()], SystemClock()).turn(Channel())
"""


@pytest.mark.integration
def test_killed_between_telling_and_keeping_that_it_tells_the_same_again(store_url: str, tmp_path: Path) -> None:
    """The same id and the same notices, though more came meanwhile: whoever knows the id drops what came twice, and
    nothing else."""
    file = tmp_path / "told"
    store = open_store(store_url)
    store.notices.put(INFO, ["chat"], due_at_s=0.0)

    def tell(number: signal.Signals) -> int:
        command = [sys.executable, "-c", TOLD_AND_KILLED, store_url, str(file), str(int(number))]
        return subprocess.run(command, check=False, timeout=PATIENCE_S, env={**os.environ}).returncode

    assert tell(signal.SIGKILL) == -signal.SIGKILL
    store.notices.put(replace(INFO, id="n3"), ["chat"], due_at_s=0.0)
    assert tell(signal.SIGKILL) == -signal.SIGKILL
    assert tell(signal.SIGCONT) == 0
    assert file.read_text().splitlines() == ["n2 n2", "n2 n2", "n2 n2", "n3 n3"]
    store.close()
