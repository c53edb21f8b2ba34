"""The templates of pages. Text from outside cannot reverse or hide other text, and a missing name is an error."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from controller.report.words import SYMBOLS, duration, exact, figure, is_signed, measures, oddities, utc
from serving.text.printable import printable


@cache
def environment_of(package: str) -> Environment:
    """Return the environment of a package's ``templates``, with the filters of every page."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        finalize=_readable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "duration": duration,
        "exact": exact,
        "figure": figure,
        "measures": measures,
        "printable": printable,
        "utc": utc,
    }
    environment.filters.update(filters)
    environment.globals.update(SYMBOLS=SYMBOLS, is_signed=is_signed, oddities=oddities)
    return environment


def _readable(value: Any) -> Any:
    """Return text without characters that reverse or hide other text; our own markup and other values unchanged."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
