"""The lease of a service stolen at random for ten minutes, from two processes that both want to write."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import connect
from controller.adapters.kubernetes.resources import LEASES
from controller.adapters.sql.upgrade import upgrade_store
from controller.errors import Source
from tests.bench._table import Bar
from tests.fakes.kubernetes import FakeCluster
from tests.postgres_support import postgres_server
from tests.thieves import NAMES, Robbery, robbed

STEALING_S: Final = 600.0
STOLEN_EVERY_S: Final = 0.1
SEED: Final = 22

Said = Callable[[str], list[int]]


def of_databases() -> list[Bar]:
    """On both databases at once, each with two processes."""
    pause = threading.Event()
    with TemporaryDirectory() as directory, postgres_server() as server, server.database() as url:
        places = {"SQLite": f"sqlite:///{directory}/store.db", "PostgreSQL": url}
        for kind, place in places.items():
            (Path(directory) / kind).mkdir()
            upgrade_store(place)
        with ThreadPoolExecutor() as pool:
            done = {
                kind: pool.submit(robbed, place, Path(directory) / kind, lambda _: pause.wait(STEALING_S) and None)
                for kind, place in places.items()
            }
            found = {kind: one.result() for kind, one in done.items()}
    return [row for kind, one in found.items() for row in rows_of(kind, one)]


def of_a_cluster(stealing_s: float = STEALING_S) -> list[Bar]:
    """The Lease on an API server of ours, given to one of the two or to nobody at random, past both."""
    chance, pause, stolen = random.Random(SEED), threading.Event(), 0
    with TemporaryDirectory() as directory, FakeCluster() as cluster:
        url, kubeconfig = f"sqlite:///{directory}/store.db", Path(directory) / "kubeconfig.yaml"
        upgrade_store(url)
        kubeconfig.write_text(yaml.safe_dump(cluster.kubeconfig()), encoding="utf-8")
        thief = KubernetesClient(connect(kubeconfig), manager="thief", source=Source.LEADERSHIP)

        def steal(_: Said) -> None:
            nonlocal stolen
            until_s = time.monotonic() + stealing_s
            while time.monotonic() < until_s:
                pause.wait(chance.uniform(0.0, 2 * STOLEN_EVERY_S))
                if thief.get(LEASES, "serin") is not None:
                    thief.merge(LEASES, "serin", {"spec": {"holderIdentity": chance.choice(["", *NAMES])}})
                    stolen += 1

        found = robbed(url, Path(directory), steal, kubeconfig)
    what = "a cluster's Lease"
    return [Bar(f"{what}: given to another or to nobody", stolen, "times", at_least=1), *rows_of(what, found)]


def rows_of(kind: str, found: Robbery) -> list[Bar]:
    """What a robbery has to come to."""
    what = f"{kind}, the lease stolen at random for {STEALING_S / 60:g} minutes"
    return [
        Bar(f"{what}: entries written by its holder", len(found.journal), "", at_least=1),
        Bar(f"{what}: of one that had lost it, refused", sum(found.refused), "", at_least=1),
        Bar(f"{what}: written twice, out of turn, or by two of one number", found.double, "", at_most=0),
    ]
