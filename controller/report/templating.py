"""The templates of pages: nothing that others wrote turns or hides text, and a name that is missing fails."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from controller.report.words import SYMBOLS, duration, exact, figure, is_signed, measures, oddities, utc
from serving.text.printable import printable


@cache
def environment_of(package: str) -> Environment:
    """The environment of a package's ``templates``, with the words that every page has."""
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
    """Return what others wrote, without what would turn or hide text on the page; markup of ours as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
