"""Stores for tests: made, and opened."""

from controller.adapters.sql.store import Store, open_store
from controller.adapters.sql.texts import Texts
from controller.adapters.sql.upgrade import upgrade_store


def new_store(url: str, texts: Texts | None = None) -> Store:
    """The store at the URL, with the schema of this release, whatever was there before."""
    upgrade_store(url)
    return open_store(url, texts)
