"""Packages of versions that left long ago are deleted; what is in use, or was lately, stays."""

import os
from pathlib import Path

import pytest

from controller.adapters.local.packages import PackageStore, UnusedPackages
from controller.bootstrap.in_use import versions_in_use
from controller.bootstrap.plane import DataPlane
from controller.bootstrap.sight import LocalSight
from controller.config.settings import Home
from controller.core.release import Phase
from controller.core.traffic import Mirror, TrafficTable
from controller.errors import Source, TransientError
from tests.controller.registered import PackagedRegistry
from tests.controller.service import GOOD, MODEL
from tests.controller.world import World

NOW_S = 1_800_000_000.0
DAY_S = 86_400.0
VERSIONS = ("5", "6", "7")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packages"


@pytest.fixture
def packages(tmp_path: Path, folder: Path) -> PackageStore:
    """Three versions, all taken in 40 days ago."""
    registry = PackagedRegistry(tmp_path / "registry")
    store = PackageStore(registry, folder)
    for number in VERSIONS:
        registry.publish(MODEL, number)
        store.obtain(MODEL, store.identify(MODEL, number))
        os.utime(folder / f"{MODEL}-v{number}", (NOW_S - 40 * DAY_S,) * 2)
    return store


def test_what_nothing_has_used_for_long_goes_and_is_fetched_again_when_it_comes_back(
    packages: PackageStore, folder: Path
) -> None:
    os.utime(folder / f"{MODEL}-v7", (NOW_S - DAY_S,) * 2)
    unused = UnusedPackages(packages, lambda: {(MODEL, "6")})
    assert unused.prune(NOW_S - 30 * DAY_S) == 1
    assert {one.name for one in folder.iterdir()} == {f"{MODEL}-v6", f"{MODEL}-v7"}
    assert packages.obtain(MODEL, packages.identify(MODEL, "5")).version.number == "5"


def test_the_time_of_what_is_in_use_begins_when_it_no_longer_is(packages: PackageStore, folder: Path) -> None:
    UnusedPackages(packages, lambda: {(MODEL, number) for number in VERSIONS}).prune(NOW_S - 30 * DAY_S)
    used_s = min(one.stat().st_mtime for one in folder.iterdir())
    later = UnusedPackages(packages, set)
    assert later.prune(used_s - 1.0) == 0
    assert later.prune(used_s + DAY_S) == len(VERSIONS)


def test_nothing_goes_while_nobody_can_tell_what_is_in_use(packages: PackageStore, folder: Path) -> None:
    def away() -> set[tuple[str, str]]:
        raise TransientError(Source.TRAFFIC, "the API server does not answer")

    with pytest.raises(TransientError):
        UnusedPackages(packages, away).prune(NOW_S)
    assert len(list(folder.iterdir())) == len(VERSIONS)


def test_what_runs_is_routed_to_or_under_way_is_in_use(tmp_path: Path) -> None:
    """The candidate, what serves, what is known good and what is copied to."""
    world = World(tmp_path).given(candidate=GOOD).when_phase(Phase.CANARY)
    other = TrafficTable("topic", {"1": 100.0}, mirror=Mirror("3", 100.0), known_good="2", generation=1)
    world.traffic.write(other)

    def tables() -> tuple[TrafficTable, ...]:
        return tuple(table for model in (MODEL, "topic") if (table := world.traffic.read(model)) is not None)

    plane = DataPlane(world.deployments, world.traffic, tables, LocalSight(Home(tmp_path / "home")))
    found = versions_in_use(plane, world.journal, [MODEL])
    assert found.versions == {(MODEL, "6"), (MODEL, "7"), ("topic", "1"), ("topic", "2"), ("topic", "3")}
