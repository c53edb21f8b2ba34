"""Values of a query, no more at once than a database accepts."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

from controller.adapters.sql.database import IN_CLAUSE_MAX

Item = TypeVar("Item")


def chunks(values: Iterable[Item]) -> Iterator[list[Item]]:
    """The values in lists that fit into one ``IN (...)`` each."""
    rest = iter(values)
    while some := list(itertools.islice(rest, IN_CLAUSE_MAX)):
        yield some
