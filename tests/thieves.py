"""Processes that steal the lease of one store from each other, and stop where that hurts most."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import connect
from controller.adapters.kubernetes.leadership import LeaseLeadership
from controller.adapters.sql.store import Store, open_store
from controller.errors import Source
from controller.ports.leadership import Leadership

ROOT: Final = Path(__file__).parents[1]
NAMES: Final = ("one", "other")

_THIEF: Final = """
import random, select, sys, time
from controller.adapters.local.loopback import free_port
from controller.adapters.sql import open_store
from controller.errors import ConflictError, TransientError
from controller.ports.leadership import Lease
from controller.ports.journal import Entry
from tests.contracts.journal import record
from tests.thieves import leadership_of

url, name, *kubeconfig = sys.argv[1:]
chance, store, lease = random.Random(name), open_store(url), None
leadership = leadership_of(store, *kubeconfig)
while not select.select([sys.stdin], [], [], 0)[0]:  # until it is closed
    try:
        if lease is None:
            found = leadership.acquire(name, lease_s=0.02)
            lease = found if isinstance(found, Lease) else None
            continue
        found = store.journal.release("r1")
        sequence = (found.sequence if found else 0) + 1
        if chance.random() < 0.3:
            time.sleep(0.03)  # as if it were stopped here: after it has read, before it writes
        entry = Entry("look", 1.0, {"fence": lease.fence, "by": name})
        store.journal.append(record(sequence), [entry], fence=lease.fence)
        print("written", flush=True)
        if chance.random() < 0.1:
            leadership.release(lease)
            lease = None
    except ConflictError:
        lease = None
        print("refused", flush=True)
    except TransientError:
        pass
"""


@dataclass(frozen=True, slots=True)
class Wrote:
    """An entry of the journal: by which thief, with which number of its lease."""

    by: str
    fence: int


@dataclass(frozen=True, slots=True)
class Robbery:
    """What two thieves said that they did, and what the journal has."""

    written: Sequence[int]
    refused: Sequence[int]
    journal: Sequence[Wrote]

    @property
    def double(self) -> int:
        """The number of writes that are not the one holder's: out of turn, of a number that two had, or untold."""
        fences = [one.fence for one in self.journal]
        out_of_turn = sum(later < earlier for earlier, later in pairwise(fences))
        shared = len({(one.fence, one.by) for one in self.journal}) - len(set(fences))
        kept = [sum(one.by == name for one in self.journal) for name in NAMES]
        untold = sum(abs(said - found) for said, found in zip(self.written, kept, strict=True))
        return out_of_turn + shared + untold


def leadership_of(store: Store, kubeconfig: str | None = None) -> Leadership:
    """What they compete for: the lease in the store, or with a kubeconfig the Lease of that cluster."""
    if kubeconfig is None:
        return store.leadership
    client = KubernetesClient(connect(Path(kubeconfig)), manager="serin", source=Source.LEADERSHIP)
    return LeaseLeadership(client, "serin", store.fences)


def robbed(
    url: str, folder: Path, until: Callable[[Callable[[str], list[int]]], None], kubeconfig: Path | None = None
) -> Robbery:
    """Let two thieves at the store at ``url`` until ``until`` returns, and say what came of it.

    ``until`` gets a function that counts, by thief, how often each said "written" or "refused" so far.
    """
    open_store(url).close()

    def said(word: str) -> list[int]:
        return [(folder / name).read_text().split().count(word) for name in NAMES]

    thieves = []
    for name in NAMES:
        with (folder / name).open("wb") as output:
            command = [sys.executable, "-c", _THIEF, url, name, *([str(kubeconfig)] if kubeconfig else [])]
            thieves.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output))
    try:
        until(said)
    finally:
        for thief in thieves:
            thief.communicate()
    store = open_store(url)
    entries = [json.loads(one.text or "{}") for one in store.journal.entries("r1")]  # the chain is checked with it
    store.close()
    return Robbery(said("written"), said("refused"), [Wrote(one["by"], one["fence"]) for one in entries])
