"""The stores that commands read and write without a running controller: the store, the routes, the registry's client,
policies."""

import secrets
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from controller.adapters.clock import SystemClock
from controller.adapters.envoy.tables import read_routes
from controller.adapters.sql.store import Store, open_store
from controller.adapters.sql.texts import SealedTexts, Texts
from controller.config.settings import Home, Settings
from controller.core.policy import ReleasePolicy
from controller.core.traffic import TrafficTable
from controller.errors import Source, UsageError
from controller.files import locked
from controller.naming import check_distinct, model_named
from controller.service import Service


def upgrade_schema(home: Home) -> tuple[str | None, str]:
    """Bring the home's database to the schema of this release: the one that it had (None: none), and this one.

    Raises:
        UsageError: no installation is here.
        PermanentError: the database has the schema of a newer release.
    """
    from controller.adapters.sql.upgrade import upgrade_store  # Alembic takes longer to import than a store to open

    changed = upgrade_store(home.database_url(home.load()))
    return changed.before, changed.after


def prepare_own_database(home: Home) -> str | None:
    """Before `serin up`: a home's own database is made, or upgraded (the schema that it had is returned; None: nothing
    to tell). One that it names by ``database_url`` may be others' as well, and is left as it is.

    Raises:
        PermanentError: the database has the schema of a newer release.
    """
    if home.load().database_url is not None:
        return None
    before, after = upgrade_schema(home)
    return before if before != after else None


def open_home(home: Home) -> Store:
    """The store of an installation. Raises UsageError where none is, or its schema is that of an older release."""
    return store_of(home, home.load())


def store_of(home: Home, settings: Settings, texts: Texts | None = None) -> Store:
    return open_store(home.database_url(settings), texts)


@contextmanager
def only_controller(home: Home) -> Iterator[str]:
    """See that no other controller runs in this home while the block lasts, and yield the name that this one competes
    by for its database: of this machine, this folder, and this folder alone, should it have been copied.

    Raises:
        TransientError: another one runs, or the home cannot be written to.
    """
    with locked(home.controller_lock, source=Source.HOME):
        name = home.controller_lock.read_text(encoding="ascii")
        if not name:
            name = secrets.token_hex(4)
            home.controller_lock.write_text(name, encoding="ascii")
        yield f"{home.path} on {socket.gethostname()} ({name})"


def texts_of(home: Home, settings: Settings) -> Texts | None:
    """Return how the controller keeps captured texts: sealed, and only where that was asked for.

    Raises:
        UsageError: the key is damaged.
    """
    if not home.text_key.exists():
        return None
    return SealedTexts(home.text_key.read_text(encoding="ascii").strip(), keeping=settings.capture_text)


@contextmanager
def opened(home: Home) -> Iterator[Store]:
    """The store of an installation, closed afterwards."""
    store = open_home(home)
    try:
        yield store
    finally:
        store.close()


def traffic_tables(home: Home) -> Mapping[str, TrafficTable]:
    """Every model's table, as the route file has it."""
    routes = read_routes(home.envoy)
    return {model: table for model in routes.models if (table := routes.table(model)) is not None}


def policies_of(home: Home) -> Mapping[str, ReleasePolicy]:
    """Every policy of the home, by model.

    Raises:
        UsageError: a policy is invalid, or two are for the same model, or for names that differ in case only.
    """
    from controller.config.policy_file import load_policy  # here: most commands read no policy

    policies: dict[str, ReleasePolicy] = {}
    for path in home.policy_files:
        policy = load_policy(path)
        if policy.model in policies:
            raise UsageError(f"{path}: there is another policy for model {policy.model!r} in {home.policies}")
        check_distinct(policy.model, policies)
        policies[policy.model] = policy
    return policies


def has_policy(home: Home, model: str) -> bool:
    """Return whether releases of the model can start here.

    A policy kept under the model's name counts even while it is broken: what is asked on call waits for no repair.
    Raises UsageError where no model can be called so.
    """
    model_named(model)
    return (home.policies / f"{model}.yaml").exists() or model in policies_of(home)


class _Models(Collection[str]):
    """Those that have a policy in the home, asked anew each time."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def __contains__(self, model: object) -> bool:
        return has_policy(self._home, str(model))

    def __iter__(self) -> Iterator[str]:
        return iter(policies_of(self._home))

    def __len__(self) -> int:
        return len(policies_of(self._home))


@contextmanager
def service_of(home: Home) -> Iterator[Service]:
    """Yield the service of an installation, for what is asked of it without its controller. Raises as `open_home`."""
    with opened(home) as store:
        yield Service(store.journal, store.inbox, store.freezes, SystemClock(), _Models(home))
