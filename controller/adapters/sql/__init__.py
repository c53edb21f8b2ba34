"""The store: journal, inbox, freezes and samples in one SQL database (SQLite, or PostgreSQL with the same code)."""

from controller.adapters.sql.store import Store, open_store

__all__ = ["Store", "open_store"]
