"""Serving and probing a version both ask for its package, at the same time: one fetches it, nobody is refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from controller.adapters.local.packages import PackageStore
from controller.ports.registry import RegisteredVersion
from tests.controller.registered import PackagedRegistry
from tests.patience import PATIENCE_S

CALLERS = 4


class SlowRegistry(PackagedRegistry):
    """Its files arrive one by one; it counts how often it was asked for them."""

    fetched = 0

    def fetch(self, version: RegisteredVersion, into: Path) -> Path:
        self.fetched += 1
        found = super().fetch(version, into)
        for file in sorted(found.iterdir()):  # as files that arrive one by one
            content = file.read_bytes()
            file.unlink()
            file.write_bytes(content)
        return found


def test_two_that_ask_at_once_get_the_same_package_fetched_once(tmp_path: Path) -> None:
    registry = SlowRegistry(tmp_path / "registry")
    registry.publish("intent", "7")
    for number in range(10):
        store = PackageStore(registry, tmp_path / f"packages-{number}")
        registry.fetched = 0
        version = store.identify("intent", "7")
        with ThreadPoolExecutor(CALLERS) as pool:
            asked = [pool.submit(store.obtain, "intent", version) for _ in range(CALLERS)]
            packages = [one.result(PATIENCE_S) for one in asked]
        assert packages == packages[:1] * CALLERS
        assert registry.fetched == 1
