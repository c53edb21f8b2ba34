"""What `serin up` sees to beside its processes."""

import os
import time
from pathlib import Path

import pytest

from controller.adapters.local.clockwatch import ClockWatch
from controller.bootstrap.chores import chores_of
from controller.config.settings import Home
from controller.errors import TransientError
from controller.reserve import RESERVE_FILE


@pytest.mark.parametrize("step_s", [5, -5, 3_600, -3_600, 86_400, -86_400])
def test_a_step_of_the_clock_is_told_once(step_s: float) -> None:
    """By how much, and that nothing comes of it; what merely passes is no step."""
    wall = [1_000.0]
    passed = [50.0]
    watch = ClockWatch(lambda: wall[0], lambda: passed[0])
    for now in (wall, passed):
        now[0] += 600
    assert watch.step() is None
    wall[0] += step_s
    told = watch.step()
    assert told is not None
    assert f"set {'forward' if step_s > 0 else 'back'} by {abs(step_s):,} s" in told
    assert watch.step() is None


def test_drift_is_no_step() -> None:
    wall = [0.0]
    watch = ClockWatch(lambda: wall[0], lambda: 0.0)
    for _ in range(10):
        wall[0] += 0.5
        assert watch.step() is None


def test_a_full_disk_is_told_though_the_reserve_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others than rollbacks find no room there: the journal stands still."""
    home, now_s = Home(tmp_path), [0.0]
    home.envoy.mkdir()
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    keep, *_ = chores_of(home, lambda: None, lambda _: None)
    keep()
    room = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*room[:4], 0, *room[5:])))
    now_s[0] += 60
    with pytest.raises(TransientError, match="is almost full: make room"):
        keep()
    monkeypatch.undo()
    keep, *_ = chores_of(home, lambda: None, lambda _: None)
    keep()


def test_what_cannot_be_done_is_told_until_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chore that is not due yet says what kept it from being done the last time: it is no news, and not over."""
    home = Home(tmp_path)
    home.envoy.mkdir()
    now_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    in_the_way = tmp_path / RESERVE_FILE
    in_the_way.mkdir()
    reserve, *_ = chores_of(home, lambda: None, lambda _: None)
    for _ in range(2):
        with pytest.raises(TransientError, match="cannot be written"):
            reserve()
    in_the_way.rmdir()
    with pytest.raises(TransientError, match="cannot be written"):
        reserve()
    now_s[0] += 60
    reserve()
    assert in_the_way.is_file()
